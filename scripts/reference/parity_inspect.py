#!/usr/bin/env python3
"""Open every architecture of timm with Vitrine, and compare what it says with what timm's model says of itself.

    parity_inspect.py --vitrine .build/release/vitrine [--quiet] [NAME...]

Each is written without ever being computed: names and shapes from the meta device, a sparse file of zeros. It is opened
twice, as timm's folder with config.json and as a lone file, whose configuration Vitrine has to find by itself. The folder must
be read exactly. A lone file may be taken for another architecture, but then a warning has to say what was assumed. Where
tensors or configuration are such that Vitrine refuses the model, the table says with what reason.
Exit status 1: a folder was read otherwise, or a lone file without a warning.
"""

import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import timm
import torch
from timm import layers
from timm.models import deit, vision_transformer, vision_transformer_hybrid
from timm.models._hub import save_config_for_hf
from timm.models._registry import _module_to_models
from torch import nn

MODULES = (vision_transformer, deit, vision_transformer_hybrid)
Facts = dict[str, object]


def names() -> list[str]:
    found = []
    for module in MODULES:
        short = module.__name__.rpartition(".")[2]
        found += _module_to_models[short] - set(timm.models.get_deprecated_models(short))
    return sorted(found)


# --- What timm says --------------------------------------------------------------------------------------------------

ACTIVATIONS = {
    nn.GELU: "gelu", layers.GELU: "gelu", layers.GELUTanh: "gelu_tanh", layers.QuickGELU: "quick_gelu", nn.SiLU: "silu",
}  # fmt: skip
NORMALISATIONS = {"LayerNorm": "layernorm", "RmsNorm": "rmsnorm"}
PARALLEL = (vision_transformer.ParallelScalingBlock, vision_transformer.DiffParallelScalingBlock)


def is_there(module: nn.Module | None) -> bool:
    return module is not None and not isinstance(module, nn.Identity)


def facts_of_timm(model: nn.Module) -> Facts:
    block = model.blocks[0]
    branched = isinstance(block, vision_transformer.ParallelThingsBlock)
    parallel = isinstance(block, PARALLEL)
    attention = block if parallel else block.attns[0].attn if branched else block.attn
    mlp = block if parallel else block.ffns[0].mlp if branched else block.mlp
    norm = block.in_norm if parallel else block.attns[0].norm if branched else block.norm1
    gated = isinstance(mlp, (layers.GluMlp, layers.SwiGLU))
    act = mlp.mlp_act if parallel else mlp.act
    data = timm.data.resolve_model_data_config(model)
    fused = getattr(attention, "qkv", None) or getattr(attention, "in_proj", None)
    grid = model.patch_embed.grid_size
    positions = 0 if model.pos_embed is None else model.pos_embed.shape[1] - grid[0] * grid[1]
    post = isinstance(block, vision_transformer.ResPostBlock)
    return {
        "embedDim": model.embed_dim,
        "depth": len(model.blocks),
        "numHeads": attention.num_heads,
        "mlpDim": mlp.in_proj.out_features - 3 * model.embed_dim if parallel else mlp.fc2.in_features,
        "numClasses": model.num_classes,
        "inChannels": model.in_chans,
        "norm": NORMALISATIONS[type(norm).__name__],
        "normEpsilon": norm.eps,
        "activation": ACTIVATIONS[type(act)],
        "block": "parallel" if parallel else "post-norm" if post else "pre-norm",
        "numBranches": block.num_parallel if branched else None,
        "gatedMLP": gated,
        "differentialAttention": hasattr(attention, "lambda_init"),
        "hasClassToken": model.cls_token is not None,
        "hasDistillationToken": getattr(model, "dist_token", None) is not None,
        "numRegisterTokens": model.num_reg_tokens,
        "hasPositions": model.pos_embed is not None,
        "numPositionedPrefixTokens": positions,
        "gridSize": {"height": grid[0], "width": grid[1]},
        "qkvBias": fused.bias is not None or getattr(attention, "qkv_bias", None) is not None,
        "layerScale": any(".gamma" in key for key in model.state_dict()),
        "queryKeyNorm": is_there(attention.q_norm),
        "hasPatchNorm": is_there(getattr(model.patch_embed, "norm", None)),
        "hasPreNorm": is_there(model.norm_pre),
        "globalPool": model.global_pool or "token",
        "poolsPrefixTokens": model.pool_include_prefix,
        "hasNorm": is_there(model.norm),
        "hasFeatureNorm": is_there(model.fc_norm),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "size": {"height": data["input_size"][1], "width": data["input_size"][2]},
        "interpolation": data["interpolation"],
        "mean": list(data["mean"]),
        "std": list(data["std"]),
        "resize": resizing(data),
    }


def resizing(data: dict) -> str:
    height, width = data["input_size"][1:]
    scaled = [int(side / data["crop_pct"]) for side in (height, width)]
    size = f"{scaled[0]}x{scaled[1]}"
    match data["crop_mode"]:
        case "squash":
            return f"resized to {size}"
        case "border":
            return f"resized to fit into {size}"
    return f"shortest edge to {scaled[0]}" if height == width else f"resized to cover {size}"


# --- What Vitrine says -----------------------------------------------------------------------------------------------

ASSUMED_PREPROCESSING = "the preprocessing is not in the checkpoint"
PREPROCESSING = ("size", "interpolation", "mean", "std", "resize")


def write_zeros(path: pathlib.Path, model: nn.Module) -> None:
    """A safetensors file with the model's names and shapes, all zero, of which the disk holds the header only."""
    header, offset = {}, 0
    for name, tensor in model.state_dict().items():
        end = offset + 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)


def inspect(binary: pathlib.Path, path: pathlib.Path) -> tuple[Facts | None, list[str]]:
    """What Vitrine reads, or None; and its warnings, or why not."""
    result = subprocess.run([binary, "inspect", "--json", path], capture_output=True, text=True)
    messages = [line.replace(f"{path}: ", "") for line in result.stderr.splitlines() if line.strip()]
    if result.returncode:
        return None, messages
    report = json.loads(result.stdout)
    return report["architecture"] | report["preprocessing"] | {"parameters": report["parameters"]}, messages


def differences(read: Facts, wanted: Facts) -> dict[str, tuple]:
    return {key: (read.get(key), value) for key, value in wanted.items() if not equal(read.get(key), value)}


def equal(a: object, b: object) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and abs(a - b) <= 1e-6 * abs(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def spell(found: dict[str, tuple]) -> str:
    return ", ".join(f"{key} {read}, not {wanted}" for key, (read, wanted) in found.items())


def check(name: str, binary: pathlib.Path, scratch: pathlib.Path) -> tuple[bool, list[str]]:
    """Whether both readings are as they should be, and what there is to say."""
    with torch.device("meta"):
        model = timm.create_model(name)
    wanted = facts_of_timm(model)
    folder = scratch / name
    folder.mkdir()
    write_zeros(folder / "model.safetensors", model)
    save_config_for_hf(model, folder / "config.json")
    lone = scratch / f"{name}.safetensors"
    os.link(folder / "model.safetensors", lone)
    good, lines = True, []
    read, messages = inspect(binary, folder)
    if read is None:
        lines.append(f"folder refused: {messages[-1]}")
    elif (found := differences(read, wanted)) or messages:
        good = False
        lines.append(f"FOLDER: {spell(found)} {messages or ''}")
    read, messages = inspect(binary, lone)
    if read is None:
        lines.append(f"file refused: {messages[-1]}")
    else:
        found = differences(read, wanted)
        network = {key: value for key, value in found.items() if key not in PREPROCESSING}
        warned = [message for message in messages if ASSUMED_PREPROCESSING not in message]
        if network and not warned:
            good = False
            lines.append(f"FILE WITHOUT WARNING: {spell(network)}")
        elif len(found) > len(network) and len(warned) == len(messages):
            good = False
            lines.append(f"FILE WITHOUT WARNING: {spell(found)}")
        elif found:
            lines.append(f"file, with a warning: {spell(found)}")
    lone.unlink()
    for path in folder.iterdir():
        path.unlink()
    return good, lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vitrine", type=pathlib.Path, required=True)
    parser.add_argument("--quiet", action="store_true", help="name what is wrong only")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()

    counts = {"read exactly, or with a warning": 0, "refused": 0, "WRONG": 0}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.names or names():
            good, lines = check(name, options.vitrine, pathlib.Path(scratch))
            refused = any("refused" in line for line in lines)
            counts["WRONG" if not good else "refused" if refused else "read exactly, or with a warning"] += 1
            for line in lines:
                if not (good and options.quiet):
                    print(f"{name}: {line}", flush=True)
    print(f"timm {timm.__version__}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    sys.exit(1 if counts["WRONG"] else 0)


if __name__ == "__main__":
    main()
