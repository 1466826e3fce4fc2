"""Models of full size with random weights, as timm and transformers save them: what parity.py and peers.py run."""

import pathlib
from collections.abc import Callable

import timm
import torch
import transformers
from timm.layers import RmsNorm
from timm.models import save_for_hf
from torch import nn

SEED = 223


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Weights that keep activations and logits as large as trained ones: logits spread by a few units."""
    generator = torch.Generator().manual_seed(SEED)
    kinds = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d, RmsNorm)
    normalisations = {id(m.weight) for m in model.modules() if isinstance(m, kinds)}
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        if id(parameter) in normalisations:
            parameter.copy_(1 + 0.2 * noise)
        elif name.endswith((".gamma", ".lambda1")):
            parameter.copy_(0.3 + 0.1 * noise)
        elif parameter.ndim == 0:
            continue  # a temperature
        elif name.endswith("bias"):
            parameter.copy_(0.1 * noise)
        elif "token" in name or "pos" in name:
            parameter.copy_(0.3 * noise)
        elif "latent" in name or name.endswith("probe"):
            parameter.copy_(noise)
        elif ".lambda_" in name:
            parameter.copy_(0.1 * noise)
        else:
            gain = 2.5 if "head" in name or "classifier" in name else 1.0
            parameter.copy_(gain * noise / parameter[0].numel() ** 0.5)


def make_timm(architecture: str, **arguments) -> Callable[[pathlib.Path], None]:
    def make(folder: pathlib.Path) -> None:
        model = timm.create_model(architecture, **arguments)
        randomise(model)
        save_for_hf(model, folder, safe_serialization=True)

    return make


@torch.no_grad()
def rescale_head(model: nn.Module) -> None:
    """Logits of a few units whatever comes before: without a final norm, features grow with the depth of the network."""
    pixels = torch.randn(1, model.in_chans, *model.patch_embed.img_size, generator=torch.Generator().manual_seed(SEED))
    spread = model.eval()(pixels).std()
    for name, parameter in model.named_parameters():
        if name.startswith("head"):
            parameter *= 2.5 / spread


def make_architecture(name: str) -> Callable[[pathlib.Path], None]:
    """Any architecture of timm, with or without a tag. Where it has no head, one is added so that there are logits."""

    def make(folder: pathlib.Path) -> None:
        classes = timm.get_pretrained_cfg_value(name, "num_classes")
        model = timm.create_model(name, num_classes=classes or 1000)
        randomise(model)
        rescale_head(model)
        save_for_hf(model, folder, safe_serialization=True)

    return make


def make_hugging_face(kind: type, config: transformers.PretrainedConfig, processor: Callable) -> Callable:
    def make(folder: pathlib.Path) -> None:
        model = kind(config)
        randomise(model)
        model.save_pretrained(folder)
        processor().save_pretrained(folder)

    return make


def vit_processor() -> transformers.BaseImageProcessor:
    return transformers.ViTImageProcessor(size={"height": 224, "width": 224})


def dino_processor() -> transformers.BaseImageProcessor:
    return transformers.BitImageProcessor(
        size={"shortest_edge": 256},
        crop_size={"height": 224, "width": 224},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )


SMALL = dict(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, num_labels=1000)
MAKERS: dict[str, Callable[[pathlib.Path], None]] = {
    **{
        name: make_timm(name)
        for name in (
            "vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "vit_base_patch32_224",
            "deit_small_patch16_224",
        )
    },
    # timm's DINOv2 come without a head; one is added so that there are logits to compare.
    "vit_small_patch14_dinov2": make_timm("vit_small_patch14_dinov2", num_classes=1000),
    "vit_small_patch14_reg4_dinov2": make_timm("vit_small_patch14_reg4_dinov2", num_classes=1000),
    "hf_vit_small": make_hugging_face(
        transformers.ViTForImageClassification, transformers.ViTConfig(**SMALL, intermediate_size=1536), vit_processor
    ),
    "hf_dinov2_small": make_hugging_face(
        transformers.Dinov2ForImageClassification,
        transformers.Dinov2Config(**SMALL, image_size=518, patch_size=14),
        dino_processor,
    ),
}  # fmt: skip

# What is run when nothing is named: a model, optionally at another size ("name@size").
DEFAULTS = (
    "vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "vit_base_patch32_224",
    "vit_small_patch14_dinov2", "vit_small_patch14_dinov2@224", "vit_small_patch14_reg4_dinov2",
    "deit_small_patch16_224", "hf_vit_small", "hf_dinov2_small",
)  # fmt: skip


def kept(name: str, cache: pathlib.Path, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """The folder of a model in the cache, made where it is missing."""
    folder = cache / name
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)
        (folder / "complete").touch()
    return folder


def random_model(name: str, cache: pathlib.Path) -> pathlib.Path:
    """The folder of a model with random weights: one of MAKERS or an architecture of timm."""
    return kept(name, cache, MAKERS.get(name) or make_architecture(name))
