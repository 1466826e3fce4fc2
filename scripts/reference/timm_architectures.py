#!/usr/bin/env python3
"""Export every architecture of timm's vision_transformer.py, deit.py and vision_transformer_hybrid.py as data.

    timm_architectures.py [--output Sources/VisionTransformer/Resources/timm-architectures.json] [--check]

The file holds timm's version, the constructor's `defaults`, `pretrained_defaults` (preprocessing and classes where a tag
says nothing else), `aliases` (deprecated names), and for each architecture its class, the constructor `args` that differ
from the defaults, its `tags` and which of them is the default one. Arguments that the entry point does not give come
from the tag, as in timm: `num_classes`, and `input_size` for `in_chans` and `img_size`.

Nothing is downloaded, and nothing is instantiated while reading. Then every architecture is rebuilt from the file alone on
torch's meta device, and must have the parameters and epsilons of `timm.create_model`. `--check` compares the file
with the one that exists instead of writing it.
"""

import argparse
import contextlib
import functools
import inspect
import json
import pathlib
import sys
import unittest.mock
from collections.abc import Callable, Iterator
from typing import Any

import timm
import torch
from timm import layers
from timm.models import deit, vision_transformer, vision_transformer_hybrid
from timm.models._registry import _model_default_cfgs, _module_to_models
from torch import nn

HERE = pathlib.Path(__file__).parent
OUTPUT = HERE.parents[1] / "Sources/VisionTransformer/Resources/timm-architectures.json"
MODULES = (vision_transformer, deit, vision_transformer_hybrid)
CLASSES = {
    "VisionTransformer": vision_transformer.VisionTransformer,
    "VisionTransformerDistilled": deit.VisionTransformerDistilled,
}
# What a pretrained tag says that matters when images are prepared and the model is built, with the commonest values.
PRETRAINED_DEFAULTS = {
    "input_size": [3, 224, 224],
    "crop_pct": 0.9,
    "crop_mode": "center",
    "interpolation": "bicubic",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "num_classes": 1000,
}

# --- Layers by name --------------------------------------------------------------------------------------------------

NORMALISATIONS = {layers.LayerNorm: "layernorm", layers.RmsNorm: "rmsnorm"}
ACTIVATIONS = {
    nn.GELU: "gelu", layers.GELU: "gelu", layers.GELUTanh: "gelu_tanh", layers.QuickGELU: "quick_gelu", nn.SiLU: "silu",
}  # fmt: skip
BLOCKS = {
    vision_transformer.ParallelScalingBlock: "parallel_scaling",
    vision_transformer.DiffParallelScalingBlock: "diff_parallel_scaling",
    vision_transformer.ParallelThingsBlock: "parallel_things",
    vision_transformer.ResPostBlock: "res_post",
}
MLPS = {"swiglu": layers.SwiGLU, "swiglu_packed": layers.SwiGLUPacked}


def unwrap(layer: Any) -> tuple[Any, dict]:
    """A layer's class and the arguments that partial applications hold for it."""
    if isinstance(layer, functools.partial):
        return layer.func, dict(layer.keywords)
    return layer, {}


def describe_normalisation(layer: Any) -> dict:
    kind, options = unwrap(layers.get_norm_layer(layer))
    eps = options.pop("eps", inspect.signature(kind).parameters["eps"].default)
    if options:
        raise ValueError(f"{kind.__name__} has options other than eps: {options}")
    return {"name": NORMALISATIONS[kind], "eps": eps}


def describe_activation(layer: Any) -> str:
    return ACTIVATIONS[layers.get_act_layer(layer)]


def describe_mlp(layer: Any) -> str:
    # SwiGLUPacked is a partial application of GluMlp; which one is told by what it holds.
    kind, options = unwrap(layer)
    return next(name for name, known in MLPS.items() if unwrap(known) == (kind, options))


def describe_block(layer: Any) -> str:
    return BLOCKS[layer]  # a partial application, say with `num_parallel`, would be unknown here


def describe_attention(layer: Any) -> str:
    if layer not in ("diff", layers.DiffAttention):
        raise ValueError(f"unknown attention {layer}")
    return "diff"


def describe_embedding(layer: Any) -> dict:
    kind, options = unwrap(layer)
    if kind is not layers.HybridEmbed:
        raise ValueError(f"unknown patch embedding {kind}")
    return options.pop("backbone") | options


DESCRIBE: dict[str, Callable] = {
    "norm_layer": describe_normalisation,
    "embed_norm_layer": describe_normalisation,
    "act_layer": describe_activation,
    "mlp_layer": describe_mlp,
    "block_fn": describe_block,
    "attn_layer": describe_attention,
    "embed_layer": describe_embedding,
}
DEFAULT_LAYERS = {"norm_layer": describe_normalisation(layers.LayerNorm), "act_layer": "gelu"}

# --- Reading timm ----------------------------------------------------------------------------------------------------


def constructor_defaults() -> dict:
    """What the constructor assumes: numbers, booleans and strings, and the two layers that it would make from None."""
    parameters = inspect.signature(vision_transformer.VisionTransformer).parameters
    simple = {
        key: parameter.default
        for key, parameter in parameters.items()
        if key not in DESCRIBE and key not in ("device", "dtype")
    }
    return simple | DEFAULT_LAYERS


def describe_resnetv2(layers: tuple = (3, 4, 9), **options) -> dict:
    """`_resnetv2`: stride 4 in the stem (7x7 convolution and pooling, 2 each), and 2 for each stage but the first."""
    stem = "same" if options.get("padding_same", True) else ""
    return {"type": "resnetv2", "layers": list(layers), "stem_only": not layers, "stem_type": stem}


def describe_resnet(name: str, pretrained: bool, in_chans: int, features_only: bool, out_indices: list, **_) -> dict:
    return {"type": name, "out_indices": out_indices}


def describe_conv_stem(
    channels: tuple, stride: tuple, kernel_size: tuple, padding: int, act_layer: type, in_chans: int, **_
) -> dict:
    return {
        "type": "conv_stem", "channels": list(channels), "stride": list(stride), "kernel_size": list(kernel_size),
        "padding": padding, "act_layer": describe_activation(act_layer),
    }  # fmt: skip


@contextlib.contextmanager
def intercepted(build: Callable) -> Iterator[None]:
    """Entry points call `build` where they would build a model, and get descriptions where they would build backbones."""
    hybrid = vision_transformer_hybrid
    with contextlib.ExitStack() as stack:
        replace = lambda module, name, value: stack.enter_context(unittest.mock.patch.object(module, name, value))
        for module in MODULES:
            replace(module, "build_model_with_cfg", build)
        replace(hybrid, "_resnetv2", describe_resnetv2)
        replace(hybrid, "ConvStem", describe_conv_stem)
        for name in ("resnet26d", "resnet50d"):
            replace(hybrid, name, functools.partial(describe_resnet, name))
        yield


# Arguments of `build_model_with_cfg` itself; everything else goes to the class.
BUILD_OPTIONS = (
    "pretrained_cfg", "pretrained_cfg_overlay", "feature_cfg", "pretrained_filter_fn", "pretrained_strict", "cache_dir",
)  # fmt: skip


def constructor_arguments(name: str, defaults: dict) -> tuple[str, dict]:
    captured = []

    def build(kind: type, variant: str, pretrained: bool, **arguments) -> None:
        if variant != name:
            raise ValueError(f"{name} builds {variant}")
        captured.append((kind.__name__, {k: v for k, v in arguments.items() if k not in BUILD_OPTIONS}))

    with intercepted(build):
        timm.models.model_entrypoint(name)()
    ((kind, arguments),) = captured
    described = {key: DESCRIBE[key](value) if key in DESCRIBE else value for key, value in arguments.items()}
    return kind, {key: value for key, value in described.items() if key not in defaults or defaults[key] != value}


def pretrained_tags(name: str) -> tuple[str, dict[str, dict]]:
    """The default tag, and what each tag says otherwise than PRETRAINED_DEFAULTS."""
    known = _model_default_cfgs[name]
    tags = {}
    for tag, pretrained in known.cfgs.items():
        if not pretrained.fixed_input_size:
            raise ValueError(f"{name}.{tag}: its input size is not fixed, so that it is no argument of the constructor")
        fields = json.loads(json.dumps({key: getattr(pretrained, key) for key in PRETRAINED_DEFAULTS}))
        tags[tag] = {key: value for key, value in fields.items() if value != PRETRAINED_DEFAULTS[key]}
    return known.tags[0], tags


def current_name(target: str, architectures: dict) -> str:
    """What a deprecated name stands for. timm has renamed some tags since: then the one tag that begins alike."""
    name, _, tag = target.partition(".")
    tags = architectures[name]["tags"]
    if tag in tags:
        return target
    (renamed,) = [known for known in tags if known.startswith(f"{tag}_")]
    return f"{name}.{renamed}"


def export() -> dict:
    defaults = constructor_defaults()
    aliases: dict[str, str] = {}
    architectures = {}
    for module in MODULES:
        short = module.__name__.rpartition(".")[2]
        deprecated = timm.models.get_deprecated_models(short)
        aliases |= {old: new for old, new in deprecated.items() if new}
        for name in _module_to_models[short] - set(deprecated):
            kind, arguments = constructor_arguments(name, defaults)
            default_tag, tags = pretrained_tags(name)
            architectures[name] = {"class": kind, "args": arguments, "default_tag": default_tag, "tags": tags}
    return {
        "timm": timm.__version__,
        "defaults": defaults,
        "pretrained_defaults": PRETRAINED_DEFAULTS,
        "aliases": {old: current_name(new, architectures) for old, new in sorted(aliases.items())},
        "architectures": dict(sorted(architectures.items())),
    }


def compact(table: dict) -> str:
    """JSON with one architecture, and one alias, a line."""
    write = functools.partial(json.dumps, separators=(",", ":"), allow_nan=False)
    lines = []
    for key, value in table.items():
        if key in ("aliases", "architectures"):
            entries = ",\n".join(f"{write(name)}:{write(entry)}" for name, entry in value.items())
            lines.append(f"{write(key)}:{{\n{entries}\n}}")
        else:
            lines.append(f"{write(key)}:{write(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


# --- Rebuilding from the file alone ----------------------------------------------------------------------------------


def build_normalisation(description: dict) -> Callable:
    kind = {"layernorm": layers.LayerNorm, "rmsnorm": layers.RmsNorm}[description["name"]]
    return functools.partial(kind, eps=description["eps"])


def build_embedding(description: dict) -> Callable:
    options = dict(description)
    match options.pop("type"):
        case "resnetv2":
            if options.pop("stem_only") != (not options["layers"]) or options.pop("stem_type") != "same":
                raise ValueError(f"contradictory description of a backbone: {description}")
            backbone = vision_transformer_hybrid._resnetv2(tuple(options.pop("layers")))
        case "conv_stem":
            act_layer = layers.get_act_layer(options.pop("act_layer"))
            shape = {key: tuple(options.pop(key)) for key in ("channels", "stride", "kernel_size")}
            backbone = vision_transformer_hybrid.ConvStem(**shape, padding=options.pop("padding"), act_layer=act_layer)
        case resnet:
            backbone = timm.create_model(resnet, features_only=True, out_indices=options.pop("out_indices"))
    return functools.partial(layers.HybridEmbed, backbone=backbone, **options)


BUILD: dict[str, Callable] = {
    "norm_layer": build_normalisation,
    "embed_norm_layer": build_normalisation,
    "act_layer": layers.get_act_layer,
    "mlp_layer": MLPS.get,
    "block_fn": {name: block for block, name in BLOCKS.items()}.get,
    "attn_layer": lambda name: name,
    "embed_layer": build_embedding,
}


def rebuild(table: dict, name: str) -> nn.Module:
    entry = table["architectures"][name]
    pretrained = table["pretrained_defaults"] | entry["tags"][entry["default_tag"]]
    channels, *size = pretrained["input_size"]
    arguments = (
        table["defaults"] | dict(img_size=size, in_chans=channels, num_classes=pretrained["num_classes"]) | entry["args"]
    )
    arguments = {key: BUILD[key](value) if key in BUILD else value for key, value in arguments.items()}
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    return CLASSES[entry["class"]](**arguments)


def signature(model: nn.Module) -> dict:
    """Names and shapes of all tensors, and of every module its kind and what no tensor tells."""
    settings = ("eps", "num_heads", "head_dim", "scale", "num_parallel", "lambda_init", "init_values", "gate_last",
        "global_pool", "num_prefix_tokens", "no_embed_class", "pool_include_prefix", "dynamic_img_size",
        "img_size", "grid_size", "patch_size", "stride", "padding", "num_groups", "pool")  # fmt: skip
    modules = {}
    for name, module in model.named_modules():
        values = {key: getattr(module, key) for key in settings if hasattr(module, key)}
        told = {key: str(value) for key, value in values.items() if not callable(value)}
        # Two classes of one function: torch's and timm's GELU.
        modules[name] = (ACTIVATIONS.get(type(module), type(module).__name__), told)
    return {"tensors": {key: tuple(value.shape) for key, value in model.state_dict().items()}, "modules": modules}


def validate(table: dict) -> None:
    """Ends the script where an architecture rebuilt from the table is not timm's."""
    with torch.device("meta"):
        for name in table["architectures"]:
            wanted, found = signature(timm.create_model(name)), signature(rebuild(table, name))
            for part in wanted:
                for key in sorted(wanted[part] | found[part]):
                    if wanted[part].get(key) != found[part].get(key):
                        sys.exit(f"{name}: {key} is {found[part].get(key)} when rebuilt from the file, but timm"
                                 f" makes {wanted[part].get(key)}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    parser.add_argument("--check", action="store_true", help="compare with the file that exists, and write nothing")
    options = parser.parse_args()

    text = compact(export())
    if options.check:
        if not options.output.exists() or options.output.read_text() != text:
            sys.exit(f"{options.output} is not what timm {timm.__version__} says: run this script without --check")
    validate(json.loads(text))
    if not options.check:
        options.output.write_text(text)
    table = json.loads(text)
    print(f"{len(table['architectures'])} architectures, {len(table['aliases'])} aliases, {len(text) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
