#!/usr/bin/env python3
"""Classify a folder with PyTorch, timm and a DataLoader, and say how fast that went.

    torch_folder.py FOLDER --model CHECKPOINT_FOLDER [--threads 2] [--workers 0,1,2] [--batch-sizes 8,16]

Writes one JSON line for each combination: images a second from the first batch asked for to the last result, decoding
included, and the peak resident memory of the main process. Start-up and warm-up are left out, in PyTorch's favour.
"""

import argparse
import json
import pathlib
import resource
import time

import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

SUFFIXES = {".jpg", ".jpeg", ".png"}


class Photos(Dataset):
    def __init__(self, folder: pathlib.Path, transform) -> None:
        self.paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB"))


@torch.inference_mode()
def measure(model: torch.nn.Module, photos: Photos, workers: int, batch_size: int) -> dict:
    loader = DataLoader(photos, batch_size=batch_size, num_workers=workers)
    started = time.perf_counter()
    best = []
    for batch in loader:
        best.append(model(batch).topk(5).indices)
    seconds = time.perf_counter() - started
    return {
        "workers": workers,
        "batch_size": batch_size,
        "images": sum(len(rows) for rows in best),
        "images_per_second": len(photos) / seconds,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="folder with config.json and model.safetensors")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=numbers, default=[0, 1, 2])
    parser.add_argument("--batch-sizes", type=numbers, default=[8, 16])
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    model = timm.create_model(f"local-dir:{options.model.resolve()}", pretrained=True).eval()
    data = timm.data.resolve_model_data_config(model)
    photos = Photos(options.folder, timm.data.create_transform(**data, is_training=False))
    with torch.inference_mode():
        for batch_size in options.batch_sizes:
            model(torch.zeros(batch_size, *data["input_size"]))
    for workers in options.workers:
        for batch_size in options.batch_sizes:
            print(json.dumps(measure(model, photos, workers, batch_size)), flush=True)


if __name__ == "__main__":
    main()
