"""Models of full size with random weights, as libraries other than timm publish them: named LIBRARY:MODEL.

Each is one file in the library's own names and layout, without any configuration, except Hugging Face's folders. It is
read back, and run, by the library: Google's arrays by timm, which has their loader; the projects that trained DINO,
DINOv2, MAE and DeiT publish no package, and timm reads their files too.
"""

import pathlib
from collections.abc import Callable

import open_clip
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

import parity_google as google
import parity_torch as projects
from foreign_clip import OpenAIArchive
from parity_models import dino_processor, make_hugging_face, randomise, vit_processor
from parity_reference import Reference, Scheme, UnknownModel, load_hugging_face, no_other_size, pillow_transform

# --- CLIP --------------------------------------------------------------------------------------------------------------


def clip_model(name: str) -> nn.Module:
    model = open_clip.create_model(name, pretrained=None, load_weights=False).eval()
    randomise(model.visual)
    return model


def openai_clip(name: str) -> Scheme:
    """The archive that OpenAI traced, in half precision; open_clip reads it."""
    quick = f"{name}-quickgelu"
    if quick not in open_clip.list_models() or name.startswith("RN"):
        raise UnknownModel("such as ViT-B-32, ViT-B-16 or ViT-L-14-336")

    def make(folder: pathlib.Path) -> None:
        model = clip_model(quick)
        side = model.visual.image_size[0]
        archive = OpenAIArchive(model)
        for buffer, value in dict(input_resolution=side, context_length=77, vocab_size=model.vocab_size).items():
            getattr(archive, buffer).fill_(value)
        with torch.inference_mode():
            traced = torch.jit.trace(archive, torch.zeros(1, 3, side, side), check_trace=False)
        traced.half().save(str(folder / "model.pt"))

    def load(folder: pathlib.Path, size: int | None) -> Reference:
        no_other_size(size)
        model = open_clip.load_openai_model(str(folder / "model.pt"), "fp32", "cpu").eval()
        transform = open_clip.image_transform(model.visual.image_size, is_train=False)
        return Reference(pillow_transform(transform), model.encode_image, has_head=False)

    return Scheme(make, load, "model.pt")


def openclip(name: str) -> Scheme:
    """Nothing in OpenCLIP's files tells quick GELU from the exact one: the former has to be told."""
    if name not in open_clip.list_models() or not name.startswith("ViT"):
        raise UnknownModel("such as ViT-B-16: one of open_clip.list_models()")

    def make(folder: pathlib.Path) -> None:
        model = clip_model(name)
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")

    def load(folder: pathlib.Path, size: int | None) -> Reference:
        no_other_size(size)
        model, _, transform = open_clip.create_model_and_transforms(name, pretrained=None, load_weights=False)
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return Reference(pillow_transform(transform), model.eval().encode_image, has_head=False)

    width, _, patch = name.removesuffix("-quickgelu").removeprefix("ViT-").partition("-")
    told = f"vit_{google.WIDTHS.get(width)}_patch{patch}_clip_quickgelu_224"
    return Scheme(make, load, "model.safetensors", ("--architecture", told) if name.endswith("-quickgelu") else ())


# --- Hugging Face ------------------------------------------------------------------------------------------------------

SMALL = dict(hidden_size=384, num_hidden_layers=12, num_attention_heads=6)


def deit_processor() -> transformers.BaseImageProcessor:
    return transformers.DeiTImageProcessor(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])


# name: (class, configuration, image processor), as published
HUGGING_FACE: dict[str, tuple[type, Callable[[], transformers.PretrainedConfig], Callable]] = {
    "vit-base-patch16-224": (
        transformers.ViTForImageClassification, lambda: transformers.ViTConfig(num_labels=1000), vit_processor,
    ),
    "deit-small-distilled": (
        transformers.DeiTForImageClassificationWithTeacher,
        lambda: transformers.DeiTConfig(**SMALL, intermediate_size=1536, num_labels=1000),
        deit_processor,
    ),
    "dinov2-small": (
        transformers.Dinov2Model,
        lambda: transformers.Dinov2Config(**SMALL, image_size=518, patch_size=14),
        dino_processor,
    ),
    "dinov2-with-registers-small": (
        transformers.Dinov2WithRegistersModel,
        lambda: transformers.Dinov2WithRegistersConfig(**SMALL, image_size=518, patch_size=14),
        dino_processor,
    ),
    "clip-vit-base-patch32": (transformers.CLIPModel, transformers.CLIPConfig, transformers.CLIPImageProcessor),
    "siglip-base-patch16-224": (transformers.SiglipModel, transformers.SiglipConfig, transformers.SiglipImageProcessor),
}  # fmt: skip


def hugging_face(name: str) -> Scheme:
    if name not in HUGGING_FACE:
        raise UnknownModel(", ".join(HUGGING_FACE))
    kind, config, processor = HUGGING_FACE[name]
    return Scheme(make_hugging_face(kind, config(), processor), load_hugging_face)


# -----------------------------------------------------------------------------------------------------------------------

LIBRARIES: dict[str, Callable[[str], Scheme]] = {
    "google": google.google,
    "big_vision": google.big_vision,
    "torchvision": projects.torchvision_scheme,
    "pytorch_pretrained_vit": projects.pretrained_vit,
    "dino": projects.dino,
    "dinov2": projects.dinov2,
    "mae": projects.mae,
    "deit": projects.deit,
    "clip": openai_clip,
    "openclip": openclip,
    "huggingface": hugging_face,
}

# What `--schemes` runs: a model of each scheme, and each of its forms that differs.
ALL = (
    "google:ViT-B_16", "google:ViT-B_16@384", "google:R50+ViT-B_16", "google:R+ViT-Ti_16",
    "big_vision:vit_s16", "big_vision:vit_s16_stacked", "big_vision:flexivit_s", "big_vision:siglip_b16",
    "torchvision:vit_b_16", "torchvision:vit_b_16.IMAGENET1K_SWAG_E2E_V1", "torchvision:vit_l_16",
    "pytorch_pretrained_vit:B_16", "pytorch_pretrained_vit:B_16_imagenet1k",
    "dino:vit_small_patch16", "dinov2:vit_small_patch14", "dinov2:vit_small_patch14_reg4", "mae:vit_base_patch16",
    "deit:deit_small_patch16", "clip:ViT-B-32", "openclip:ViT-B-16", "openclip:ViT-B-32-quickgelu",
    *(f"huggingface:{name}" for name in HUGGING_FACE),
)  # fmt: skip


def scheme(name: str) -> Scheme:
    library, _, model = name.partition(":")
    if library not in LIBRARIES:
        raise UnknownModel(f"libraries: {', '.join(LIBRARIES)}")
    return LIBRARIES[library](model)
