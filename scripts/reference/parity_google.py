"""Models of full size with random weights in Google's names: `google:` and `big_vision:` of parity_schemes.py."""

import pathlib
import re

import timm
from torch import nn

from foreign_google import google_arrays, save_arrays
from parity_models import randomise, rescale_head
from parity_reference import Reference, Scheme, UnknownModel, timm_transform

WIDTHS = {"Ti": "tiny", "S": "small", "B": "base", "L": "large", "H": "huge", "g": "giant"}
# big_vision's plain networks: patches only, pooled by their mean.
MEAN_POOLED = dict(class_token=False, global_pool="avg", fc_norm=False)


def arrays(architecture: str, arguments: dict, naming: dict, prefix: str = "", told: tuple[str, ...] = ()) -> Scheme:
    """An `.npz` of the parameters of a model of timm's."""
    if not timm.is_model(architecture):
        raise UnknownModel(f"timm has no {architecture} to compare with")

    def build(size: int | None) -> nn.Module:
        return timm.create_model(architecture, **arguments, **({"img_size": size} if size else {}))

    def make(folder: pathlib.Path) -> None:
        model = build(None)
        randomise(model)
        if model.num_classes:
            rescale_head(model)
        tensors = google_arrays(model, **naming)
        save_arrays(folder / "model.npz", tensors, prefix=prefix)

    def load(folder: pathlib.Path, size: int | None) -> Reference:
        model = build(size).eval()
        model.load_pretrained(str(folder / "model.npz"))
        data = timm.data.resolve_model_data_config(model, args={"img_size": size} if size else {})
        return Reference(timm_transform(data), model, model.num_classes > 0)

    return Scheme(make, load, "model.npz", told)


def google(name: str) -> Scheme:
    match = re.fullmatch(r"(R(\d*)\+)?ViT-(Ti|S|B|L|H|g)_(\d+)", name)
    if not match:
        raise UnknownModel("such as ViT-B_16, R50+ViT-B_16 or R+ViT-Ti_16")
    hybrid, depth, width, patch = match.groups()
    kind = (f"r{depth}_s{patch}" if depth else f"r_s{patch}_p8") if hybrid else f"patch{patch}"
    return arrays(f"vit_{WIDTHS[width]}_{kind}_224", dict(num_classes=1000), {})


def big_vision(name: str) -> Scheme:
    if match := re.fullmatch(r"siglip_(b|l)(\d+)", name):
        width, patch = match.groups()
        size = 256 if width == "l" else 224
        architecture = f"vit_{WIDTHS[width.upper()]}_patch{patch}_siglip_{size}"
        return arrays(architecture, dict(num_classes=0), dict(big_vision=True), "params/img/")
    if match := re.fullmatch(r"flexivit_(s|b|l)", name):
        margin = ("--crop-fraction", "0.95")  # of the plain models 0.9
        return arrays(f"flexivit_{WIDTHS[match[1].upper()]}", {}, dict(big_vision=True), "params/", margin)
    if match := re.fullmatch(r"vit_(ti|s|b|l)(\d+)(_stacked)?", name):
        width, patch, stacked = match.groups()
        naming = dict(big_vision=True, stacked=stacked is not None)
        architecture = f"vit_{WIDTHS[width.capitalize()]}_patch{patch}_224"
        return arrays(architecture, MEAN_POOLED | dict(num_classes=1000), naming, "params/")
    raise UnknownModel("such as vit_s16, vit_s16_stacked, flexivit_s or siglip_b16")
