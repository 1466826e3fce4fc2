"""A folder of photos, end to end: `vitrine classify` as a whole process beside PyTorch, timm and a DataLoader.

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

from peers_network import bench, export
from peers_start import spawn

HERE = pathlib.Path(__file__).parent
SUFFIXES = {".jpg", ".jpeg", ".png"}


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
    return spawn([binary, "classify", inputs, "--model", model, "--threads", threads, "--quiet"])


def run_torch(folder: pathlib.Path, model: pathlib.Path, threads: int, choice: dict | None) -> list[dict]:
    line = [sys.executable, HERE / "torch_folder.py", folder, "--model", model, "--threads", threads]
    if choice:
        line += ["--workers", choice["workers"], "--batch-sizes", choice["batch_size"]]
    output = subprocess.run([str(part) for part in line], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [json.loads(text) for text in output.splitlines()]


def compare_model(name: str, folder: pathlib.Path, options: argparse.Namespace) -> dict:
    model, _ = export(name, options, [])
    count = sum(1 for _ in folder.iterdir())
    first = min(folder.iterdir())
    best: dict | None = None
    torch_rates, whole_rates, steady_rates, bench_rates, torch_peak, vitrine_peak = [], [], [], [], 0, 0
    for _ in range(options.rounds):
        best = max(run_torch(folder, model, options.threads, best), key=lambda row: row["images_per_second"])
        torch_rates.append(best["images_per_second"])
        torch_peak = max(torch_peak, best["peak_rss_bytes"])
        single, _ = run_vitrine(options.vitrine, first, model, options.threads)
        seconds, peak = run_vitrine(options.vitrine, folder, model, options.threads)
        whole_rates.append(count / seconds)
        steady_rates.append((count - 1) / (seconds - single))
        vitrine_peak = max(vitrine_peak, peak)
        report = bench(options.vitrine, model, threads=options.threads, mode="throughput", seconds=options.seconds)
        bench_rates.append(report["images_per_second"])
    torch_rate, whole, steady, alone = map(statistics.median, (torch_rates, whole_rates, steady_rates, bench_rates))
    print(
        f"{name:22} {torch_rate:8.1f} ({best['workers']} workers, batch {best['batch_size']:2}) {whole:8.1f} {steady:8.1f}"
        f" {100 * steady / alone:6.0f} % {whole / torch_rate:6.2f} {torch_peak / 2**20:8.0f} {vitrine_peak / 2**20:8.0f}",
        flush=True,
    )
    return {
        "model": name, "torch": torch_rate, "workers": best["workers"], "batch": best["batch_size"], "vitrine": whole,
        "steady": steady, "bench": alone, "ratio": whole / torch_rate, "torch_peak_rss_bytes": torch_peak,
        "vitrine_peak_rss_bytes": vitrine_peak,
    }  # fmt: skip


def compare(options: argparse.Namespace) -> list[dict]:
    print(
        f"A folder of {options.images} photos, {options.threads} threads, medians of {options.rounds}; images/s, memory in MiB.\n"
        "vitrine: the whole process; steady: without its start; of bench: steady, as a share of what the network alone does"
    )
    print(
        f"{'model':22} {'torch':>8} {'':21} {'vitrine':>8} {'steady':>8} {'of bench':>8} {'ratio':>6} {'torch':>8} {'vitrine':>8}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = repeat(options.photos, options.images, pathlib.Path(scratch) / "photos")
        return [compare_model(name, folder, options) for name in options.models]
