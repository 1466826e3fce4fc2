"""One photo, whole processes: wall time and peak memory of `vitrine classify` and of scripts that do the same with its peers."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

from peers_network import export

HERE = pathlib.Path(__file__).parent


def spawn(line: list) -> tuple[float, int]:
    """Seconds and peak resident bytes; raises where the command fails. A small process starts it (spawn.py says why)."""
    command = [sys.executable, "-I", "-S", HERE / "spawn.py", *line]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr.strip().splitlines()[-1] if result.stderr.strip() else "it could not be started")
    seconds, peak, status = json.loads(result.stdout.splitlines()[-1])
    if status:
        # Vitrine's errors begin so; Python's stand last.
        lines = [text for text in result.stderr.splitlines() if text.strip()] or [f"status {status}"]
        raise RuntimeError(next((text for text in lines if text.startswith("Error: ")), lines[-1]))
    return seconds, peak


def commands(options: argparse.Namespace, photo: pathlib.Path, model: pathlib.Path) -> dict[str, list]:
    threads = options.threads
    lines = {}
    for precision in options.precisions:
        line = [options.vitrine, "classify", photo, "--model", model, "--threads", threads, "--quiet"]
        lines[f"vitrine {precision}"] = [*line, "--precision", precision]
    if "onnxruntime" in options.peers:
        lines["onnxruntime"] = [sys.executable, HERE / "start_onnxruntime.py", photo, model / "model.onnx", threads]
    if "onnxruntime-int8" in options.peers:
        file = model / "model-int8.onnx"
        lines["onnxruntime int8"] = [sys.executable, HERE / "start_onnxruntime.py", photo, file, threads]
    if "torch" in options.peers:
        lines["torch"] = [sys.executable, HERE / "start_torch.py", photo, model, threads]
    return lines


def compare(options: argparse.Namespace, photo: pathlib.Path) -> list[dict]:
    floor = spawn(["true"])[1]
    print(
        f"One photo, whole process, {options.threads} threads, medians of {options.rounds}: wall time; peak memory "
        f"(figures near {floor / 2**20:.0f} MiB cannot be told apart)"
    )
    print(f"{'model':22} {'with':18} {'ms':>8} {'MiB':>8}", flush=True)
    rows = []
    for name in options.models:
        peers = [peer for peer in ("onnxruntime", "onnxruntime-int8") if peer in options.peers]
        folder, failures = export(name, options, peers)
        measured: dict[str, list[tuple[float, int]]] = {}
        lines = commands(options, photo, folder)
        for round in range(options.rounds + 1):  # the first brings the files into memory
            for label in list(lines):
                try:
                    result = spawn(lines[label])
                except RuntimeError as error:
                    print(f"left out: {name} with {label}: {failures.get(label.replace(' ', '-'), error)}")
                    del lines[label]
                    measured.pop(label, None)
                    continue
                if round > 0:
                    measured.setdefault(label, []).append(result)
        for label, results in measured.items():
            seconds = statistics.median(result[0] for result in results)
            peak = max(result[1] for result in results)
            rows.append({"model": name, "with": label, "seconds": seconds, "peak_rss_bytes": peak})
            print(f"{name:22} {label:18} {1000 * seconds:8.1f} {peak / 2**20:8.1f}", flush=True)
    return rows
