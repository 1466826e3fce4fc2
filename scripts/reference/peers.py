#!/usr/bin/env python3
"""Time Vitrine and PyTorch on one folder, turn by turn, and print medians.

    peers.py --vitrine .build/release/vitrine --photos DIR --cache DIR [--images 200] [--rounds 5] [--models a,b]

PyTorch tries every number of workers and batch size in the first round and keeps the fastest; its start-up (seconds) is
not counted. Vitrine is timed as a whole process; its steady rate leaves out what a run over one image takes.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
SUFFIXES = {".jpg", ".jpeg", ".png"}


def random_model(name: str, cache: pathlib.Path) -> pathlib.Path:
    """parity.py's model of this name. Made by another process: a child's peak memory counts what its parent held."""
    code = "import pathlib, sys, parity; parity.random_model(sys.argv[1], pathlib.Path(sys.argv[2]))"
    subprocess.run([sys.executable, "-c", code, name, str(cache.resolve())], check=True, cwd=HERE)
    return cache / name


def repeat(photos: pathlib.Path, count: int, folder: pathlib.Path) -> pathlib.Path:
    """A folder of `count` files: the photos again and again, linked where the file system allows it."""
    originals = sorted(path for path in photos.iterdir() if path.suffix.lower() in SUFFIXES)
    if not originals:
        sys.exit(f"no photos in {photos}")
    folder.mkdir()
    for index in range(count):
        original = originals[index % len(originals)]
        copy = folder / f"{index:05}{original.suffix.lower()}"
        try:
            os.link(original.resolve(), copy)
        except OSError:
            shutil.copyfile(original, copy)
    return folder


def run_vitrine(binary: pathlib.Path, inputs: pathlib.Path, model: pathlib.Path, threads: int) -> tuple[float, int]:
    """Seconds and peak resident bytes of one whole process."""
    line = [binary, "classify", inputs, "--model", model, "--threads", threads, "--output", os.devnull, "--quiet"]
    started = time.perf_counter()
    process = subprocess.Popen([str(part) for part in line])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"vitrine ended with status {process.returncode}")
    return seconds, usage.ru_maxrss * 1024


def run_torch(folder: pathlib.Path, model: pathlib.Path, threads: int, choice: dict | None) -> list[dict]:
    line = [sys.executable, HERE / "torch_folder.py", folder, "--model", model, "--threads", threads]
    if choice:
        line += ["--workers", choice["workers"], "--batch-sizes", choice["batch_size"]]
    output = subprocess.run([str(part) for part in line], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(text) for text in output.splitlines()]


def compare(name: str, folder: pathlib.Path, options: argparse.Namespace) -> None:
    model = random_model(name, options.cache)
    count = sum(1 for _ in folder.iterdir())
    first = min(folder.iterdir())
    best: dict | None = None
    torch_rates, whole_rates, steady_rates, torch_peak, vitrine_peak = [], [], [], 0, 0
    for _ in range(options.rounds):
        best = max(run_torch(folder, model, options.threads, best), key=lambda row: row["images_per_second"])
        torch_rates.append(best["images_per_second"])
        torch_peak = max(torch_peak, best["peak_rss_bytes"])
        single, _ = run_vitrine(options.vitrine, first, model, options.threads)
        seconds, peak = run_vitrine(options.vitrine, folder, model, options.threads)
        whole_rates.append(count / seconds)
        steady_rates.append((count - 1) / (seconds - single))
        vitrine_peak = max(vitrine_peak, peak)
    torch_rate, whole, steady = map(statistics.median, (torch_rates, whole_rates, steady_rates))
    print(
        f"{name:24} {torch_rate:8.1f} ({best['workers']} workers, batch {best['batch_size']:2}) {whole:8.1f} {steady:8.1f}"
        f" {whole / torch_rate:6.2f} {torch_peak / 2**20:8.0f} {vitrine_peak / 2**20:8.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vitrine", type=pathlib.Path, required=True)
    parser.add_argument("--photos", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", default="vit_tiny_patch16_224,vit_small_patch16_224")
    options = parser.parse_args()
    if options.images < 2 or options.rounds < 1:
        parser.error("at least two images and one round")

    print(f"{options.images} images, {options.threads} threads, median of {options.rounds}; images a second, memory in MiB")
    print(f"{'model':24} {'torch':>8} {'':21} {'vitrine':>8} {'steady':>8} {'ratio':>6} {'torch':>8} {'vitrine':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = repeat(options.photos, options.images, pathlib.Path(scratch) / "photos")
        for name in options.models.split(","):
            compare(name, folder, options)


if __name__ == "__main__":
    main()
