"""What parity.py compares with: a photograph's tensor and a model's result, as the libraries compute them."""

import json
import math
import pathlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import timm
import torch
import transformers
from PIL import Image, ImageOps

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


# --- Models ------------------------------------------------------------------------------------------------------

Preprocess = Callable[[Image.Image], np.ndarray]


@dataclass
class Reference:
    """A model as its library runs it."""

    library_preprocess: Preprocess
    run: Callable[[torch.Tensor], torch.Tensor]
    has_head: bool
    # A second description of the preprocessing, which must agree with the library's own; none where it is the library's.
    preprocess: Preprocess | None = None
    # What `vitrine embed` is asked for where there is no head; None: what it takes for the result of such a model.
    tokens: str | None = None
    channels: int = 3


def load_timm(folder: pathlib.Path, size: int | None) -> Reference:
    arguments = {"img_size": size} if size else {}
    model = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True, **arguments).eval()
    data = timm.data.resolve_model_data_config(model, args=arguments)
    height, width = data["input_size"][1:]
    filter = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}.get(data["interpolation"])

    def preprocess(image: Image.Image) -> np.ndarray:
        scaled = resize_short_edge(image, math.floor(height / data["crop_pct"]), filter)
        cropped = crop_centre(scaled, height, width, lambda excess: int(round(excess / 2)))  # half to even
        return to_tensor(cropped, data["mean"], data["std"])

    if data["crop_mode"] != "center" or height != width or not filter:
        preprocess = None  # other forms have no second description in here
    return Reference(
        timm_transform(data), model, model.num_classes > 0, preprocess, tokens="pooled", channels=model.in_chans
    )


def timm_transform(data: dict) -> Preprocess:
    transform = timm.data.create_transform(**data, is_training=False)
    return lambda image: transform(image).numpy()


def load_hugging_face(folder: pathlib.Path, size: int | None) -> Reference:
    if size:
        sys.exit(f"{folder}: another size is compared with timm and Google's names only")
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, architecture).from_pretrained(folder, dtype=torch.float32).eval()
    is_tower = hasattr(model, "get_image_features")
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
        if is_tower:
            return model.get_image_features(batch).pooler_output
        output = model(batch)
        return output.logits if has_head else output.last_hidden_state[:, 0]

    return Reference(
        lambda image: np.asarray(processor(image, return_tensors="np")["pixel_values"])[0], run, has_head, preprocess,
        tokens=None if is_tower or has_head else "class",
    )  # fmt: skip


def load_folder(folder: pathlib.Path, size: int | None) -> Reference:
    config = json.loads((folder / "config.json").read_text())
    return (load_timm if "architecture" in config else load_hugging_face)(folder, size)


# --- Models of other libraries -------------------------------------------------------------------------------------


class UnknownModel(Exception):
    """No model of that name; the message says which there are."""


@dataclass
class Scheme:
    """A model with the names of one library; `folder` is where it is kept."""

    make: Callable[[pathlib.Path], None]
    load: Callable[[pathlib.Path, int | None], Reference]
    # The file in the folder; None: the folder itself.
    file: str | None = None
    # What the user says of a file that cannot tell its preprocessing, or its activation: options of Vitrine.
    told: tuple[str, ...] = ()


def pillow_transform(transform: Callable[[Image.Image], torch.Tensor]) -> Preprocess:
    return lambda image: transform(image).numpy()


def no_other_size(size: int | None) -> None:
    if size:
        sys.exit("another size is compared with timm and Google's names only")
