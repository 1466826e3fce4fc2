#!/usr/bin/env python3
"""Compare Vitrine with timm and transformers: preprocessed tensors, logits (or features) and top-1, model by model.

    parity.py --vitrine .build/release/vitrine --photos DIR --cache DIR [--models a,b] [--architecture NAME]...
        [CHECKPOINT_FOLDER...]

Each photo is decoded by Pillow, preprocessed by Pillow and numpy in float32 (checked against the library's own transform),
and run by the library; Vitrine is run on the same files. Bounds: tensors 1 unit in the last place, logits 1e-4 (features
without a head: 1e-4 too), top-1 the same for every photo. A broken bound ends in exit status 1.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import timm
import torch
import transformers
from PIL import Image, ImageOps
from torch import nn

from parity_models import DEFAULTS, MAKERS, random_model

ULP_BOUND = 1
LOGIT_BOUND = 1e-4
SUFFIXES = {".jpg", ".jpeg", ".png"}


# --- Preprocessing with Pillow and numpy -------------------------------------------------------------------------


def decode(path: pathlib.Path, channels: int) -> Image.Image:
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    return upright.convert("L") if channels == 1 else upright


def resize_short_edge(image: Image.Image, size: int, filter: int) -> Image.Image:
    width, height = image.size
    long = int(size * max(width, height) / min(width, height))
    return image.resize((size, long) if width <= height else (long, size), filter)


def crop_centre(image: Image.Image, height: int, width: int, offset: Callable[[int], int]) -> Image.Image:
    left, top = offset(image.width - width), offset(image.height - height)
    return image.crop((left, top, left + width, top + height))


def to_tensor(image: Image.Image, mean: list[float], std: list[float]) -> np.ndarray:
    """float32 [channels, height, width]: (pixel / 255 - mean) / std, each step rounded to float32."""
    pixels = np.atleast_3d(np.asarray(image)).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    column = lambda values: np.asarray(values, np.float32).reshape(-1, 1, 1)
    return (pixels - column(mean)) / column(std)


@dataclass
class Reference:
    """A model as its library runs it."""

    model: nn.Module
    preprocess: Callable[[Image.Image], np.ndarray]
    library_preprocess: Callable[[Image.Image], np.ndarray]
    run: Callable[[torch.Tensor], torch.Tensor]
    has_head: bool
    channels: int = 3


def timm_reference(folder: pathlib.Path, size: int | None) -> Reference:
    arguments = {"img_size": size} if size else {}
    model = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True, **arguments).eval()
    data = timm.data.resolve_model_data_config(model, args=arguments)
    height, width = data["input_size"][1:]
    transform = timm.data.create_transform(**data, is_training=False)
    library_preprocess = lambda image: transform(image).numpy()
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    filter = filters.get(data["interpolation"])

    def preprocess(image: Image.Image) -> np.ndarray:
        scaled = resize_short_edge(image, math.floor(height / data["crop_pct"]), filter)
        cropped = crop_centre(scaled, height, width, lambda excess: int(round(excess / 2)))  # half to even
        return to_tensor(cropped, data["mean"], data["std"])

    if data["crop_mode"] != "center" or height != width or not filter:
        preprocess = library_preprocess  # other forms have no second description in here
    return Reference(
        model, preprocess, library_preprocess, lambda batch: model(batch), model.num_classes > 0, model.in_chans
    )


def hugging_face_reference(folder: pathlib.Path, size: int | None) -> Reference:
    if size:
        sys.exit(f"{folder}: another size is compared with timm only")
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, architecture).from_pretrained(folder).eval()
    has_head = "Classification" in architecture
    options = json.loads((folder / "preprocessor_config.json").read_text())
    edges = options["size"]

    def preprocess(image: Image.Image) -> np.ndarray:
        if "shortest_edge" in edges:
            image = resize_short_edge(image, edges["shortest_edge"], options["resample"])
        else:
            image = image.resize((edges["width"], edges["height"]), options["resample"])
        if options.get("do_center_crop"):
            crop = options["crop_size"]
            image = crop_centre(image, crop["height"], crop["width"], lambda excess: excess // 2)  # towards zero
        return to_tensor(image, options["image_mean"], options["image_std"])

    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")

    def run(batch: torch.Tensor) -> torch.Tensor:
        output = model(batch)
        return output.logits if has_head else output.last_hidden_state[:, 0]

    return Reference(
        model, preprocess, lambda image: np.asarray(processor(image, return_tensors="np")["pixel_values"])[0], run, has_head
    )


def load_reference(folder: pathlib.Path, size: int | None) -> Reference:
    config = json.loads((folder / "config.json").read_text())
    return (timm_reference if "architecture" in config else hugging_face_reference)(folder, size)


# --- Vitrine -----------------------------------------------------------------------------------------------------


@dataclass
class Vitrine:
    binary: pathlib.Path
    model: pathlib.Path
    size: int | None

    def call(self, command: str, paths: list[pathlib.Path], *options: str | pathlib.Path) -> None:
        line = [self.binary, command, *paths, "--model", self.model, *options]
        if self.size:
            line += ["--size", str(self.size)]
        result = subprocess.run(list(map(str, line)), capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"vitrine {command} ended with status {result.returncode}:\n{result.stderr.strip()}")

    def preprocess(self, path: pathlib.Path, scratch: pathlib.Path) -> np.ndarray:
        self.call("preprocess", [path], "--output", scratch / "tensor.npy")
        return np.load(scratch / "tensor.npy")

    def classify(self, paths: list[pathlib.Path], scratch: pathlib.Path) -> tuple[np.ndarray, list[int]]:
        results = scratch / "results.jsonl"
        self.call("classify", paths, "--logits", scratch / "logits.npy", "--format", "jsonl", "--output", results, "--quiet")
        rows = [json.loads(line) for line in results.read_text().splitlines()]
        if [row["path"] for row in rows] != list(map(str, paths)):
            sys.exit("vitrine classify: results are not in the order of the inputs")
        return np.load(scratch / "logits.npy"), [row["predictions"][0]["index"] for row in rows]

    def embed(self, paths: list[pathlib.Path], scratch: pathlib.Path) -> np.ndarray:
        self.call("embed", paths, "--tokens", "class", "--output", scratch / "features.npy", "--quiet")
        return np.load(scratch / "features.npy")


# --- Comparison --------------------------------------------------------------------------------------------------


def ulps(a: np.ndarray, b: np.ndarray) -> int:
    """The largest distance in units in the last place; NaN counts as infinitely far."""
    if np.isnan(a).any() or np.isnan(b).any():
        return 2**32
    ordered = lambda x: (lambda bits: np.where(bits < 0, -(bits & 0x7FFFFFFF), bits))(
        np.ascontiguousarray(x, np.float32).view(np.int32).astype(np.int64)
    )
    return int(np.abs(ordered(a) - ordered(b)).max())


def same_shape(name: str, a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.dtype != b.dtype:
        sys.exit(f"{name}: vitrine wrote {a.dtype} {list(a.shape)}, expected {b.dtype} {list(b.shape)}")


def compare(name: str, folder: pathlib.Path, size: int | None, photos: list[pathlib.Path], binary: pathlib.Path) -> bool:
    """Prints one row of the table; False when a bound is broken."""
    reference = load_reference(folder, size)
    vitrine = Vitrine(binary, folder, size)
    with tempfile.TemporaryDirectory() as temporary, torch.inference_mode():
        scratch = pathlib.Path(temporary)
        expected, difference, distance = [], 0.0, 0
        for path in photos:
            image = decode(path, reference.channels)
            tensor = reference.preprocess(image)
            if ulps(tensor, reference.library_preprocess(image)) > ULP_BOUND:
                sys.exit(f"{name}: {path.name}: the library preprocesses otherwise than this script")
            expected.append(reference.run(torch.from_numpy(tensor).unsqueeze(0))[0].numpy())
            actual = vitrine.preprocess(path, scratch)
            same_shape(name, actual, tensor)
            difference = max(difference, float(np.abs(actual - tensor).max()))
            distance = max(distance, ulps(actual, tensor))
        wanted = np.stack(expected)
        top1 = "-"
        agreed = len(photos)
        if reference.has_head:
            found, best = vitrine.classify(photos, scratch)
            agreed = int((np.asarray(best) == wanted.argmax(axis=1)).sum())
            top1 = f"{agreed} of {len(photos)}"
        else:
            found = vitrine.embed(photos, scratch)
        same_shape(name, found, wanted)
        error = float(np.abs(found - wanted).max())

    good = distance <= ULP_BOUND and error <= LOGIT_BOUND and agreed == len(photos)  # false for NaN
    what = "logits" if reference.has_head else "features"
    print(
        f"{name:30} {difference:10.1e} {distance:5} {what:>9} {error:9.1e} {wanted.std(axis=1).mean():7.2f}"
        f" {top1:>9}  {'ok' if good else 'BROKEN'}",
        flush=True,
    )
    return good


def split_size(name: str) -> tuple[str, int | None]:
    base, _, size = name.partition("@")
    return base, int(size) if size else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vitrine", type=pathlib.Path, required=True)
    parser.add_argument("--photos", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="where models with random weights are kept")
    parser.add_argument("--models", help=f"of these, separated by commas, at another size as NAME@SIZE: {', '.join(MAKERS)}")
    parser.add_argument(
        "--architecture", action="append", default=[], metavar="NAME", help="of timm, also NAME.TAG or NAME@SIZE"
    )
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="CHECKPOINT_FOLDER")
    options = parser.parse_args()

    nothing_named = not options.models and not options.architecture and not options.folders
    names = options.models.split(",") if options.models else list(DEFAULTS) if nothing_named else []
    if unknown := [name for name in names if split_size(name)[0] not in MAKERS]:
        parser.error(f"no such model: {', '.join(unknown)} (known: {', '.join(MAKERS)})")
    names += options.architecture
    if unknown := [name for name in options.architecture if not timm.is_model(split_size(name)[0])]:
        parser.error(f"timm {timm.__version__} has no architecture {', '.join(unknown)}")
    photos = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in SUFFIXES)
    if not photos:
        parser.error(f"no photos in {options.photos}")
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    print(f"{len(photos)} photos of {options.photos}; torch {torch.__version__}, timm {timm.__version__},"
          f" transformers {transformers.__version__}")  # fmt: skip
    print(f"{'model':30} {'tensors':>10} {'ulps':>5} {'compared':>9} {'error':>9} {'spread':>7} {'top-1':>9}")
    good = True
    for name in names:
        base, size = split_size(name)
        good &= compare(name, random_model(base, options.cache), size, photos, options.vitrine)
    for folder in options.folders:
        good &= compare(folder.resolve().name, folder, None, photos, options.vitrine)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
