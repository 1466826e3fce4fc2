"""Fixtures of torchvision, pytorch_pretrained_vit and the projects that trained DINO, DINOv2, MAE and DeiT."""

import argparse
import collections
import math
import pathlib
import sys
from collections.abc import Callable

import pytorch_pretrained_vit
import timm
import torch
import torchvision
from pytorch_pretrained_vit.utils import resize_positional_embedding_
from torch import nn
from torch.nn import functional as F

from foreign_common import (
    NARROW,
    ONE_HEAD,
    PATCH,
    SIDE,
    SIZES,
    SQUARES,
    TWO_BLOCKS,
    Size,
    State,
    halved,
    prefixed,
    round_weights,
    run,
    save,
    timm_model,
)
from model_fixtures import CLASSES, SEED, image, randomise, run_timm

# --- torchvision ------------------------------------------------------------------------------------------------------


def torchvision_model(side: int, layers: int, **options) -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=side, patch_size=PATCH, num_layers=layers, num_heads=1, hidden_dim=64, mlp_dim=32,
        num_classes=len(CLASSES), **options,
    )  # fmt: skip


def write_torchvision(folder: pathlib.Path) -> None:
    options = {"representation_size": 40} if folder.name.endswith("-representation") else {}
    layers = 2 if folder.name == "torchvision" else 1
    model = torchvision_model(SIDE, layers, **options)
    randomise(model, folder.name)
    round_weights(model)
    state = halved(model.state_dict())
    if folder.name.endswith("-old-names"):
        renamed = {key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): key for key in state}
        state = collections.OrderedDict((new, state[old]) for new, old in renamed.items())
    torch.save(state, folder / "model.pth")
    for size in [None, *(SQUARES if folder.name == "torchvision" else [])]:
        side = size[0] if size else SIDE
        model_state = collections.OrderedDict((key, value.float()) for key, value in model.state_dict().items())
        resized = torchvision_model(side, layers, **options)
        resized.load_state_dict(torchvision.models.vision_transformer.interpolate_embeddings(side, PATCH, model_state))
        encoder = resized.encoder
        expected, logits = run(resized, image(folder.name, side, side), encoder.layers, encoder.ln, resized.heads.head)
        save(folder, expected | {"logits": logits[0]}, size)


# --- pytorch_pretrained_vit -------------------------------------------------------------------------------------------


def pretrained_vit_model(side: int, representation: int | None) -> nn.Module:
    """Through its table of models: its constructor fails without a name."""
    config = dict(
        patches=PATCH, dim=64, ff_dim=32, num_heads=1, num_layers=1, attention_dropout_rate=0.0, dropout_rate=0.1,
        representation_size=representation, classifier="token",
    )  # fmt: skip
    pytorch_pretrained_vit.configs.PRETRAINED_MODELS["tiny"] = dict(
        config=config, num_classes=len(CLASSES), image_size=(side, side)
    )
    return pytorch_pretrained_vit.ViT("tiny", load_repr_layer=representation is not None)


def write_pretrained_vit(folder: pathlib.Path) -> None:
    """With a representation layer the package norms what comes out of its tanh."""
    representation = 40 if folder.name.endswith("-representation") else None
    model = pretrained_vit_model(SIDE, representation)
    randomise(model, folder.name)
    round_weights(model)
    torch.save(halved(model.state_dict()), folder / "model.pth")
    for size in [None, *([] if representation else SQUARES)]:
        side = size[0] if size else SIDE
        resized = pretrained_vit_model(side, representation)
        state = model.state_dict()
        key = "positional_embedding.pos_embedding"
        if size:
            state[key] = resize_positional_embedding_(state[key], resized.state_dict()[key])
        resized.load_state_dict(state)
        blocks = resized.transformer.blocks
        expected, logits = run(resized, image(folder.name, side, side), blocks, resized.norm)
        save(folder, expected | {"pooled": expected["features"][0].clone(), "logits": logits[0]}, size)


# --- DINO, DINOv2, MAE, DeiT ------------------------------------------------------------------------------------------


def resampled_patches(patches: torch.Tensor, grid: Size, offset: float, antialias: bool) -> torch.Tensor:
    """Positions [1, N, D] for another grid, as facebookresearch/dino and dinov2 resample them.

    `interpolate_pos_encoding` in vision_transformer.py of both: PyTorch samples with the scale (grid + 0.1) / trained
    side, also where the grid has as many patches as the trained one but is no square. DINOv2 with registers gives the
    size instead (offset 0) and antialiases.
    """
    side = math.isqrt(patches.shape[1])
    if grid == (side, side):
        return patches
    scaling = dict(scale_factor=tuple((n + offset) / side for n in grid)) if offset else dict(size=grid)
    square = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(square, mode="bicubic", antialias=antialias, **scaling)
    if resized.shape[-2:] != grid:
        sys.exit(f"positions for {grid} became {tuple(resized.shape[-2:])}")
    return resized.permute(0, 2, 3, 1).reshape(1, grid[0] * grid[1], -1)


def expect_dino(folder: pathlib.Path, model: nn.Module, architecture: str, arguments: dict, sizes: list[Size]) -> None:
    """timm's network, with the positions that the original code would give it."""
    registers = model.reg_token is not None
    for size in [None, *sizes]:
        resized = timm.create_model(architecture, **dict(arguments, img_size=size or SIDE))
        state = model.state_dict()
        grid = resized.patch_embed.grid_size
        first = 0 if registers else 1
        patches = resampled_patches(state["pos_embed"][:, first:], grid, 0.0 if registers else 0.1, registers)
        state["pos_embed"] = torch.cat((state["pos_embed"][:, :first], patches), dim=1)
        resized.load_state_dict(state)
        save(folder, run_timm(resized, image(folder.name, *(size or (SIDE, SIDE)))), size)


def write_dino_teacher(folder: pathlib.Path) -> None:
    """A training checkpoint: the student, which is another model, stands first; both have a projection head."""
    architecture, arguments = "vit_small_patch16_224", dict(ONE_HEAD, num_classes=0)
    teacher = timm_model(folder.name, architecture, **arguments)
    student = timm_model(f"{folder.name} student", architecture, **arguments)
    head = nn.Sequential(nn.Linear(64, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 8))
    randomise(head, folder.name)
    states = {}
    for role, backbone, prefix in (("student", student, "module."), ("teacher", teacher, "")):
        state = prefixed(halved(backbone.state_dict()), f"{prefix}backbone.")
        state.update(prefixed(halved(head.state_dict()), f"{prefix}head.mlp."))
        state[f"{prefix}head.last_layer.weight_g"] = torch.ones(12, 1).half()
        state[f"{prefix}head.last_layer.weight_v"] = torch.randn(12, 8).half()
        states[role] = state
    optimizer = {
        "state": {},
        "param_groups": [{"lr": 5e-4, "weight_decay": 0.4, "betas": (0.9, 0.999), "params": [0, 1]}],
    }
    settings = argparse.Namespace(arch="vit_small", patch_size=PATCH, out_dim=12, norm_last_layer=False, use_fp16=True)
    center = collections.OrderedDict(center=torch.zeros(1, 12))
    training = dict(states, optimizer=optimizer, epoch=3, args=settings, dino_loss=center, fp16_scaler=None)
    torch.save(training, folder / "checkpoint.pth")
    expect_dino(folder, teacher, architecture, arguments, SIZES)


def dinov2_names(model: nn.Module, chunks: int = 0) -> State:
    """timm's state under the names of facebookresearch/dinov2 (the inverse of timm's `_convert_dinov2`)."""
    original: State = collections.OrderedDict()
    for key, value in model.state_dict().items():
        if model.reg_token is not None and key in ("cls_token", "pos_embed", "reg_token"):
            continue
        if hasattr(model.blocks[0].mlp, "gate_last"):
            key = key.replace("mlp.fc1.", "mlp.w12.").replace("mlp.fc2.", "mlp.w3.")
        if chunks and key.startswith("blocks."):
            index = int(key.split(".")[1])
            key = key.replace("blocks.", f"blocks.{index * chunks // len(model.blocks)}.", 1)
        original[key] = value
    original["mask_token"] = torch.full((1, model.embed_dim), 0.5)
    return original


# name: (timm architecture, arguments, sizes); the giant's w12 is [80, 64]: two halves of 40
DINOV2: dict[str, tuple[str, dict, list[Size]]] = {
    "dinov2-original": ("vit_small_patch14_dinov2", ONE_HEAD, SIZES),
    "dinov2-original-registers": ("vit_small_patch14_reg4_dinov2", ONE_HEAD, SIZES),
    "dinov2-original-giant": ("vit_giant_patch14_dinov2", dict(ONE_HEAD, mlp_ratio=1.25), []),
    "dinov2-chunked": ("vit_small_patch14_dinov2", TWO_BLOCKS, SIZES[:1]),
}


def write_dinov2(folder: pathlib.Path) -> None:
    architecture, arguments, sizes = DINOV2[folder.name]
    arguments = dict(arguments, num_classes=0)
    chunked = folder.name == "dinov2-chunked"
    model = timm_model(folder.name, architecture, **arguments)
    state = dinov2_names(model, chunks=2 if chunked else 0)
    if model.reg_token is not None:
        # The original has positions for class token and patches and inserts the registers afterwards; timm adds the
        # class token's position to the token itself, in the precision of the file.
        generator = torch.Generator().manual_seed(SEED)
        position = (0.6 * torch.randn(1, 1, model.embed_dim, generator=generator)).half().float()
        token = (model.cls_token.data - position).half().float()
        state["cls_token"], state["register_tokens"] = token, model.reg_token.data
        state["pos_embed"] = torch.cat((position, model.pos_embed.data), dim=1)
        model.cls_token.data.copy_(token + position)
    state = halved(state)
    if chunked:  # a training checkpoint: the teacher's backbone beside its heads
        heads = {
            "dino_head.mlp.0.weight": torch.randn(8, 64).half(),
            "ibot_head.mlp.0.weight": torch.randn(8, 64).half(),
        }
        state = {"teacher": prefixed(state, "backbone.") | heads}
    torch.save(state, folder / "model.pth")
    expect_dino(folder, model, architecture, arguments, sizes)


def write_mae(folder: pathlib.Path) -> None:
    """Encoder and decoder of a pre-training run; the class token is read."""
    arguments = dict(ONE_HEAD, num_classes=0)
    model = timm_model(folder.name, "vit_base_patch16_224", **arguments)
    narrow = dict(NARROW, embed_dim=16, num_heads=2, depth=1, num_classes=0)
    decoder = timm_model(f"{folder.name} decoder", "vit_base_patch16_224", **narrow)
    state = halved(model.state_dict())
    state["mask_token"] = torch.randn(1, 1, 16).half()
    renamed = {"pos_embed": "decoder_pos_embed", "blocks.": "decoder_blocks.", "norm.": "decoder_norm."}
    for key, value in halved(decoder.state_dict()).items():
        for old, new in renamed.items():
            if key.startswith(old):
                state[key.replace(old, new, 1)] = value
    for name, shape in {"decoder_embed": (16, 64), "decoder_pred": (PATCH**2 * 3, 16)}.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.randn(shape).half(), torch.randn(shape[0]).half()
    settings = argparse.Namespace(model="mae_vit_base_patch16", mask_ratio=0.75, norm_pix_loss=True, input_size=SIDE)
    training = {
        "model": state,
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 799,
        "scaler": {},
        "args": settings,
    }
    torch.save(training, folder / "checkpoint.pth")
    save(folder, run_timm(model, image(folder.name, SIDE, SIDE)))


def write_deit(folder: pathlib.Path) -> None:
    model = timm_model(folder.name, "deit_tiny_patch16_224", **ONE_HEAD)
    torch.save({"model": halved(model.state_dict())}, folder / "model.pth")
    save(folder, run_timm(model, image(folder.name, SIDE, SIDE)))


MAKERS: dict[str, Callable[[pathlib.Path], None]] = {
    **dict.fromkeys(("torchvision", "torchvision-old-names", "torchvision-representation"), write_torchvision),
    **dict.fromkeys(("pytorch-pretrained-vit", "pytorch-pretrained-vit-representation"), write_pretrained_vit),
    "dino-teacher": write_dino_teacher,
    **dict.fromkeys(DINOV2, write_dinov2),
    "mae-pretrain": write_mae,
    "deit-original": write_deit,
}
