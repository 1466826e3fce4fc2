#!/usr/bin/env python3
"""Time Vitrine beside PyTorch, ONNX Runtime and OpenVINO, turn by turn on this machine.

Three parts (--parts network,folder,start; all by default), and a fourth where it is asked for (scaling):

- network: the network alone on images in memory, by model, batch size and precision.
- folder: a folder of photos, decoded and classified, beside PyTorch with a DataLoader.
- start: one photo, the whole process: wall time and peak memory.
- scaling: Vitrine with one thread and with all.

Models are timm's architectures with random weights (the time does not depend on them), the same for all, made once. A peer that is
not installed, or that fails, is named and left out.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import signal
import sys

import peers_folder
import peers_network
import peers_start

PARTS = ("network", "folder", "start", "scaling")
MODELS = ["vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224"]


def names(allowed: list[str] | None = None):
    def parse(argument: str) -> list[str]:
        parts = [part for part in argument.split(",") if part]
        for part in parts:
            if allowed is not None and part not in allowed:
                raise argparse.ArgumentTypeError(f"{part} is none of {', '.join(allowed)}")
        return parts

    return parse


def numbers(argument: str) -> list[int]:
    values = [int(part) for part in argument.split(",")]
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError("numbers above 0, separated by commas")
    return values


def processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def environment() -> dict:
    versions = {}
    for package in ("torch", "timm", "onnxruntime", "openvino", "nncf", "onnx", "numpy", "pillow"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return {"date": date, "processor": processor(), "cores": cores, "system": platform.platform(), "versions": versions}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    all_peers = [peer for peers in peers_network.PEERS.values() for peer in peers]
    parser.add_argument("--vitrine", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--parts", type=names(list(PARTS)), default=["network", "folder", "start"], help="what to measure")
    parser.add_argument("--models", type=names(), help=f"timm's names (default: {','.join(MODELS)}; folder: the first two)")
    parser.add_argument("--batch", type=numbers, default=[1, 8], help="images at a time (default: 1,8)")
    parser.add_argument(
        "--precisions", type=names(list(peers_network.PEERS)), default=list(peers_network.PEERS), help="(default: fp32,bf16,int8)"
    )
    parser.add_argument(
        "--peers", type=names(all_peers), default=peers_network.DEFAULT_PEERS,
        help=f"any of {', '.join(all_peers)} (default: all but those that are compiled)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="turns of each; medians count (default: 5)")
    parser.add_argument("--seconds", type=float, default=2, help="length of a turn (default: 2)")
    parser.add_argument("--threads", type=int, default=2, help="of each (default: 2)")
    parser.add_argument("--photos", type=pathlib.Path, required=True, help="folder of photos (default: samples/photos)")
    parser.add_argument("--images", type=int, default=200, help="length of the folder part (default: 200)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write all figures here")
    parser.add_argument("--verbose", action="store_true", help="show the messages of the peers")
    options = parser.parse_args()
    if options.images < 2 or options.rounds < 1 or options.threads < 1 or options.seconds <= 0:
        parser.error("at least two images, one round, one thread, and some time")
    return options


def main() -> None:
    options = parse()
    # A closed pipe ends the run; the workers see that their input ends.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    photos = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not photos:
        sys.exit(f"no JPEG photos in {options.photos}")
    report = environment()
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    print(f"{report['processor']}, {report['cores']} cores, {report['date']}; {versions}", flush=True)
    options.named, models = bool(options.models), options.models or MODELS
    for part in [part for part in PARTS if part in options.parts]:
        print()
        options.models = models if options.named or part != "folder" else MODELS[:2]
        match part:
            case "network":
                report[part] = peers_network.compare(options)
            case "folder":
                report[part] = peers_folder.compare(options)
            case "start":
                report[part] = peers_start.compare(options, photos[0])
            case "scaling":
                report[part] = peers_network.scale(options)
        if options.json:
            options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
