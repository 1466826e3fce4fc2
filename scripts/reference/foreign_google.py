"""Fixtures in the names of Google's `vision_transformer` and `big_vision`: NumPy archives of Flax parameters."""

import functools
import pathlib
from collections.abc import Callable

import numpy as np
import timm
import torch
from timm.layers import HybridEmbed, StdConv2dSame
from timm.models.resnetv2 import ResNetV2, create_resnetv2_stem
from torch import nn

from foreign_common import NARROW, SIDE, SIZES, Size, round_weights, save, timm_model
from model_fixtures import CLASSES, SEED, image, randomise, run_timm

Arrays = dict[str, np.ndarray]
FEW_BITS = torch.float8_e4m3fn  # of these, float32 arrays deflate well


def kernel(weight: torch.Tensor) -> np.ndarray:
    """Flax's order: [in, out] for a linear layer, [height, width, in, out] for a convolution."""
    return weight.detach().permute(*((1, 0) if weight.ndim == 2 else (2, 3, 1, 0))).contiguous().numpy()


def dense(prefix: str, layer: nn.Module) -> Arrays:
    return {f"{prefix}/kernel": kernel(layer.weight), f"{prefix}/bias": layer.bias.detach().numpy()}


def scale(prefix: str, norm: nn.Module, shape: tuple[int, ...] = (-1,)) -> Arrays:
    parts = {"scale": norm.weight, "bias": norm.bias}
    return {f"{prefix}/{key}": value.detach().numpy().reshape(shape) for key, value in parts.items()}


def attention(
    prefix: str, projections: dict[str, tuple[torch.Tensor, torch.Tensor]], out: nn.Linear, heads: int
) -> Arrays:
    """Queries, keys and values [D, H, Hd] with biases [H, Hd]; the output [H, Hd, D] with a bias [D]."""
    width = out.in_features
    arrays = {f"{prefix}/out/kernel": kernel(out.weight).reshape(heads, width // heads, -1)}
    arrays[f"{prefix}/out/bias"] = out.bias.detach().numpy()
    for name, (weight, bias) in projections.items():
        arrays[f"{prefix}/{name}/kernel"] = kernel(weight).reshape(-1, heads, width // heads)
        arrays[f"{prefix}/{name}/bias"] = bias.detach().numpy().reshape(heads, width // heads)
    return arrays


def encoder_block(prefix: str, block: nn.Module, big_vision: bool) -> Arrays:
    attention_name, norm_name, mlp_name = (0, 1, 0) if big_vision else (1, 2, 3)
    stacked = zip(block.attn.qkv.weight.chunk(3), block.attn.qkv.bias.chunk(3), strict=True)
    projections = dict(zip(("query", "key", "value"), stacked, strict=True))
    name = f"{prefix}/MultiHeadDotProductAttention_{attention_name}"
    arrays = attention(name, projections, block.attn.proj, block.attn.num_heads)
    arrays |= scale(f"{prefix}/LayerNorm_0", block.norm1) | scale(f"{prefix}/LayerNorm_{norm_name}", block.norm2)
    for index, layer in enumerate((block.mlp.fc1, block.mlp.fc2)):
        arrays |= dense(f"{prefix}/MlpBlock_{mlp_name}/Dense_{index}", layer)
    return arrays


def attention_pool(prefix: str, pool: nn.Module) -> Arrays:
    keys, values = zip(pool.kv.weight.chunk(2), pool.kv.bias.chunk(2), strict=True)
    projections = {"query": (pool.q.weight, pool.q.bias), "key": keys, "value": values}
    arrays = {f"{prefix}/probe": pool.latent.detach().numpy()} | scale(f"{prefix}/LayerNorm_0", pool.norm)
    arrays |= attention(f"{prefix}/MultiHeadDotProductAttention_0", projections, pool.proj, pool.num_heads)
    for index, layer in enumerate((pool.mlp.fc1, pool.mlp.fc2)):
        arrays |= dense(f"{prefix}/MlpBlock_0/Dense_{index}", layer)
    return arrays


def residual_stem(backbone: nn.Module) -> Arrays:
    """The ResNet of a hybrid; older Flax wrote group norms as [1, 1, 1, C]."""
    shape = (1, 1, 1, -1)
    stem = getattr(backbone, "stem", backbone)
    arrays = {"conv_root/kernel": kernel(stem.conv.weight)} | scale("gn_root", stem.norm, shape)
    for stage_index, stage in enumerate(getattr(backbone, "stages", []), start=1):
        for unit_index, unit in enumerate(stage.blocks, start=1):
            prefix = f"block{stage_index}/unit{unit_index}"
            for part in (1, 2, 3):
                arrays[f"{prefix}/conv{part}/kernel"] = kernel(getattr(unit, f"conv{part}").weight)
                arrays |= scale(f"{prefix}/gn{part}", getattr(unit, f"norm{part}"), shape)
            if unit.downsample is not None:
                arrays[f"{prefix}/conv_proj/kernel"] = kernel(unit.downsample.conv.weight)
                arrays |= scale(f"{prefix}/gn_proj", unit.downsample.norm, shape)
    return arrays


def google_arrays(model: nn.Module, big_vision: bool = False, stacked: bool = False) -> Arrays:
    """The inverse of timm's `_load_weights` (timm/models/vision_transformer.py)."""
    positions = "pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding"
    arrays = dense("embedding", model.patch_embed.proj) | {positions: model.pos_embed.detach().numpy()}
    if hasattr(model.patch_embed, "backbone"):
        arrays |= residual_stem(model.patch_embed.backbone)
    if model.cls_token is not None:
        arrays["cls"] = model.cls_token.detach().numpy()
    if stacked:
        layers = [encoder_block("Transformer/encoderblock", block, big_vision) for block in model.blocks]
        arrays |= {key: np.stack([layer[key] for layer in layers]) for key in layers[0]}
    else:
        for index, block in enumerate(model.blocks):
            arrays |= encoder_block(f"Transformer/encoderblock_{index}", block, big_vision)
    arrays |= scale("Transformer/encoder_norm", model.norm)
    if model.attn_pool is not None:
        arrays |= attention_pool("MAPHead_0", model.attn_pool)
    if model.num_classes:
        arrays |= dense("head", model.head)
    return arrays


def save_arrays(path: pathlib.Path, arrays: Arrays, prefix: str = "", compressed: bool = False) -> None:
    write = np.savez_compressed if compressed else np.savez
    write(path, **{prefix + key: np.ascontiguousarray(value) for key, value in sorted(arrays.items())})


def expect_npz(folder: pathlib.Path, make: Callable[[Size], nn.Module], sizes: list[Size]) -> None:
    """What timm computes with the file, which it loads itself, also into models of other sizes."""
    path = next(folder.glob("*.npz"))
    for size in [None, *sizes]:
        model = make(size or (SIDE, SIDE))
        model.load_pretrained(str(path))
        side = model.patch_embed.img_size
        save(folder, run_timm(model, image(folder.name, *side)), size)


VARIANTS_OF_GOOGLE: dict[
    str, tuple[dict, dict, dict]
] = {  # arguments of the model, of `google_arrays`, of `save_arrays`
    "google-npz": ({}, {}, {}),
    "google-npz-opt-target": ({}, {}, dict(prefix="opt/target/", compressed=True)),
    "big-vision": (
        dict(class_token=False, global_pool="avg", fc_norm=False),
        dict(big_vision=True),
        dict(prefix="params/", compressed=True),
    ),
    "big-vision-token": (dict(no_embed_class=True), dict(big_vision=True), dict(prefix="params/", compressed=True)),
    "big-vision-stacked": (
        dict(class_token=False, global_pool="avg", fc_norm=False),
        dict(big_vision=True, stacked=True),
        dict(prefix="params/", compressed=True),
    ),
}


def write_google(folder: pathlib.Path) -> None:
    arguments, naming, saving = VARIANTS_OF_GOOGLE[folder.name]
    arguments = dict(NARROW, **arguments)
    model = timm_model(folder.name, "vit_tiny_patch16_224", FEW_BITS, **arguments)
    save_arrays(folder / "model.npz", google_arrays(model, **naming), **saving)
    expect_npz(folder, lambda size: timm.create_model("vit_tiny_patch16_224", **dict(arguments, img_size=size)), SIZES)


@torch.inference_mode()
def write_google_pre_logits(folder: pathlib.Path) -> None:
    """A representation layer: head(tanh(pre_logits(class token))), vit_jax/models_vit.py. timm has dropped it."""
    arguments = dict(NARROW, num_classes=0)
    model = timm_model(folder.name, "vit_tiny_patch16_224", FEW_BITS, **arguments)
    layers = nn.Sequential(nn.Linear(NARROW["embed_dim"], 24), nn.Tanh(), nn.Linear(24, len(CLASSES)))
    randomise(layers, folder.name)
    round_weights(layers, FEW_BITS)
    arrays = google_arrays(model) | dense("pre_logits", layers[0]) | dense("head", layers[2])
    save_arrays(folder / "model.npz", arrays, compressed=True)
    expected = run_timm(model, image(folder.name, SIDE, SIDE))
    expected["pooled"] = torch.tanh(layers[0](expected["features"][0]))
    expected["logits"] = layers[2](expected["pooled"])
    save(folder, expected)


def write_siglip(folder: pathlib.Path) -> None:
    """The image tower of a pair, pooled by attention; text, temperature and bias lie beside it."""
    arguments = dict(NARROW, num_classes=0)
    model = timm_model(folder.name, "vit_base_patch16_siglip_224", FEW_BITS, **arguments)
    generator = np.random.default_rng(SEED)
    arrays = {f"img/{key}": value for key, value in google_arrays(model, big_vision=True).items()}
    for name, shape in {"t": (1,), "b": (1,), "txt/Embed_0/embedding": (9, 8), "txt/head/kernel": (8, 24)}.items():
        arrays[name] = generator.standard_normal(shape, dtype=np.float32)
    save_arrays(folder / "model.npz", arrays, prefix="params/", compressed=True)
    expect_npz(
        folder, lambda size: timm.create_model("vit_base_patch16_siglip_224", **dict(arguments, img_size=size)), SIZES
    )


def hybrid(size: Size, stem_only: bool) -> nn.Module:
    """timm's `vit_base_r50_s16_224` or `vit_tiny_r_s16_p8_224`, tiny; 32 groups divide all channels."""
    options = dict(in_chans=3, preact=False, stem_type="same", conv_layer=functools.partial(StdConv2dSame, eps=1e-8))
    if stem_only:
        backbone = create_resnetv2_stem(options.pop("in_chans"), **options)
    else:
        backbone = ResNetV2(layers=(2, 1), channels=(128, 128), num_classes=0, global_pool="", **options)
    embed = functools.partial(HybridEmbed, backbone=backbone)
    arguments = dict(NARROW, depth=1, patch_size=2 if stem_only else 1, img_size=size, embed_layer=embed)
    return timm.models.VisionTransformer(**arguments)


def write_hybrid(folder: pathlib.Path) -> None:
    make = functools.partial(hybrid, stem_only=folder.name.endswith("-stem"))
    model = make((32, 32))
    randomise(model, folder.name)
    round_weights(model, FEW_BITS)
    save_arrays(folder / "model.npz", google_arrays(model), compressed=True)
    expect_npz(folder, lambda size: make((32, 32) if size == (SIDE, SIDE) else size), [(40, 48)])


MAKERS: dict[str, Callable[[pathlib.Path], None]] = {
    **dict.fromkeys(VARIANTS_OF_GOOGLE, write_google),
    "google-npz-pre-logits": write_google_pre_logits,
    "siglip-npz": write_siglip,
    "google-hybrid": write_hybrid,
    "google-hybrid-stem": write_hybrid,
}
