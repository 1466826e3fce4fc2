"""Models of full size with random weights in PyTorch's files: torchvision, pytorch_pretrained_vit, DINO, DINOv2, MAE, DeiT.

parity_schemes.py has their names.
"""

import argparse
import pathlib
from collections.abc import Callable

import pytorch_pretrained_vit
import timm
import torch
import torchvision
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn

from foreign_common import State, prefixed
from foreign_torch import dinov2_names
from parity_models import SEED, randomise, rescale_head
from parity_reference import Reference, Scheme, UnknownModel, no_other_size, pillow_transform, timm_transform

# --- torchvision and pytorch_pretrained_vit --------------------------------------------------------------------------


def torchvision_scheme(name: str) -> Scheme:
    """NAME is that of the function, optionally with that of the weights: vit_b_16.IMAGENET1K_SWAG_E2E_V1."""
    base, _, tag = name.partition(".")
    known = [model for model in torchvision.models.list_models(torchvision.models) if model.startswith("vit_")]
    if base not in known:
        raise UnknownModel(", ".join(known))
    kinds = torchvision.models.get_model_weights(base)
    if tag and tag not in kinds.__members__:
        raise UnknownModel(", ".join(f"{base}.{kind}" for kind in kinds.__members__))
    weights = kinds[tag] if tag else kinds.DEFAULT
    transform = weights.transforms()

    def build() -> nn.Module:
        return torchvision.models.get_model(base, image_size=transform.crop_size[0])

    def make(folder: pathlib.Path) -> None:
        model = build()
        randomise(model)
        torch.save(model.state_dict(), folder / "model.pth")

    def load(folder: pathlib.Path, size: int | None) -> Reference:
        no_other_size(size)
        model = build().eval()
        model.load_state_dict(torch.load(folder / "model.pth"))
        return Reference(pillow_transform(transform), model, has_head=True)

    return Scheme(make, load, "model.pth")


def pretrained_vit(name: str) -> Scheme:
    models = pytorch_pretrained_vit.configs.PRETRAINED_MODELS
    if name not in models:
        raise UnknownModel(", ".join(models))
    # The package has no transform; this is the one of its README.
    transforms = torchvision.transforms
    transform = transforms.Compose(
        [transforms.Resize(models[name]["image_size"]), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    )

    def make(folder: pathlib.Path) -> None:
        model = pytorch_pretrained_vit.ViT(name)
        randomise(model)
        torch.save(model.state_dict(), folder / "model.pth")

    def load(folder: pathlib.Path, size: int | None) -> Reference:
        no_other_size(size)
        model = pytorch_pretrained_vit.ViT(name).eval()
        model.load_state_dict(torch.load(folder / "model.pth"))
        return Reference(pillow_transform(transform), model, has_head=True)

    return Scheme(make, load, "model.pth")


# --- The projects that trained DINO, DINOv2, MAE and DeiT ------------------------------------------------------------


def project(architecture: str, names: Callable[[nn.Module], dict], part: str | None, classes: int, named: bool) -> Scheme:
    """A file whose tensors are the model's: under the key `part`, among others, or all there is.

    - named: whether the architecture, and so the preprocessing, has to be told.
    """

    def make(folder: pathlib.Path) -> None:
        model = timm.create_model(architecture, num_classes=classes)
        randomise(model)
        if classes:
            rescale_head(model)
        torch.save(names(model), folder / "checkpoint.pth")

    def load(folder: pathlib.Path, size: int | None) -> Reference:
        no_other_size(size)
        model = timm.create_model(architecture, num_classes=classes).eval()
        # It holds the Namespace of a training run, and is our own.
        state = torch.load(folder / "checkpoint.pth", weights_only=False)
        state = checkpoint_filter_fn(state[part] if part else state, model)
        state = {key.removeprefix("backbone."): value for key, value in state.items()}
        wanted = model.state_dict().keys()
        model.load_state_dict({key: value for key, value in state.items() if key in wanted})
        data = timm.data.resolve_model_data_config(model)
        return Reference(timm_transform(data), model, model.num_classes > 0)

    return Scheme(make, load, "checkpoint.pth", ("--architecture", architecture) if named else ())


def dino_names(model: nn.Module) -> dict:
    """A training checkpoint: the student, which is another model, stands first; both have a projection head."""
    teacher = prefixed(model.state_dict(), "backbone.")
    for name, shape in {"mlp.0.weight": (64, model.embed_dim), "last_layer.weight_v": (128, 64)}.items():
        teacher[f"head.{name}"] = torch.zeros(shape)
    student = prefixed({key: 0.5 * value for key, value in teacher.items()}, "module.")
    settings = argparse.Namespace(arch="vit_small", patch_size=16, out_dim=128)
    return dict(student=student, teacher=teacher, optimizer={"state": {}, "param_groups": []}, epoch=100, args=settings)


def mae_names(model: nn.Module) -> dict:
    """Encoder and decoder of a pre-training run."""
    state = dict(model.state_dict(), mask_token=torch.zeros(1, 1, 512), decoder_pos_embed=torch.zeros(1, 197, 512))
    state |= {"decoder_embed.weight": torch.zeros(512, model.embed_dim), "decoder_embed.bias": torch.zeros(512)}
    state |= {"decoder_blocks.0.attn.qkv.weight": torch.zeros(1536, 512), "decoder_norm.weight": torch.ones(512)}
    return {"model": state, "optimizer": {"state": {}}, "epoch": 799, "args": argparse.Namespace(mask_ratio=0.75)}


@torch.no_grad()
def original_dinov2_names(model: nn.Module) -> State:
    state = dinov2_names(model)
    if model.reg_token is not None:
        # The original has a position for the class token, which timm adds to the token itself.
        position = 0.3 * torch.randn(1, 1, model.embed_dim, generator=torch.Generator().manual_seed(SEED))
        state["cls_token"], state["register_tokens"] = model.cls_token - position, model.reg_token.data
        state["pos_embed"] = torch.cat((position, model.pos_embed), dim=1)
    return state


def dino(name: str) -> Scheme:
    return project(known_tag(f"{name}_224.dino"), dino_names, "teacher", 0, named=True)


def mae(name: str) -> Scheme:
    return project(known_tag(f"{name}_224.mae"), mae_names, "model", 0, named=True)


def deit(name: str) -> Scheme:
    names = lambda model: {"model": model.state_dict()}
    return project(known_tag(f"{name}_224.fb_in1k"), names, "model", 1000, named=True)


def dinov2(name: str) -> Scheme:
    architecture = name.replace("giant2", "giant").replace("patch14_reg4", "patch14-reg4")
    base, _, registers = architecture.partition("-")
    name = f"{base}_reg4_dinov2.lvd142m" if registers else f"{base}_dinov2.lvd142m"
    return project(known_tag(name), original_dinov2_names, None, 0, named=False)


def known_tag(name: str) -> str:
    base, _, tag = name.partition(".")
    if not timm.is_model(base) or tag not in timm.models._registry._model_default_cfgs[base].tags:
        raise UnknownModel(f"timm has no {name} to compare with")
    return name
