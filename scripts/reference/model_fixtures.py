#!/usr/bin/env python3
"""Make Tests/Fixtures/models: tiny random models as timm and transformers save them, with what they compute.

    model_fixtures.py [--output Tests/Fixtures/models] [NAME...]

Each folder holds a model in the layout its library writes, and `expected.safetensors`: the input and the tokens after the
embedding, each block, the final norm, the pooled features and the logits, in float32. `expected-HxW.safetensors` is the
same at another size, with resampled positions. Weights are drawn so that every parameter matters (see `randomise`).
Versions must be those of requirements.txt. The same machine makes the same bytes; others may differ in the last bits.
"""

import argparse
import importlib.metadata
import logging
import pathlib
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable

import timm
import torch
import transformers
from safetensors.torch import load_file, save_file
from timm.layers import HybridEmbed, RmsNorm
from timm.models import save_for_hf
from torch import nn

from timm_models import FAINT, FAINT_VALUES, FAINTNESS, LONE_FILES, TIMM

HERE = pathlib.Path(__file__).parent
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog"]
SEED = 223

# --- Models ----------------------------------------------------------------------------------------------------------

VIT = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8,
    id2label=dict(enumerate(CLASSES)), label2id={name: index for index, name in enumerate(CLASSES)},
)  # fmt: skip
DINO = {key: value for key, value in VIT.items() if key != "intermediate_size"} | dict(mlp_ratio=2)
NO_LABELS = ("id2label", "label2id")
IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])


def vit_processor() -> transformers.BaseImageProcessor:
    return transformers.ViTImageProcessor(size={"height": 32, "width": 32})


def deit_processor() -> transformers.BaseImageProcessor:
    sizes = dict(size={"height": 36, "width": 36}, crop_size={"height": 32, "width": 32})
    return transformers.DeiTImageProcessor(**sizes, **IMAGENET)


def dino_processor() -> transformers.BaseImageProcessor:
    sizes = dict(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
    return transformers.BitImageProcessor(**sizes, **IMAGENET)


def without_labels(arguments: dict) -> dict:
    return {key: value for key, value in arguments.items() if key not in NO_LABELS}


# name: (model class, configuration, image processor, sizes at which positions are resampled)
HUGGING_FACE: dict[str, tuple[type, transformers.PretrainedConfig, Callable, list[tuple[int, int]]]] = {
    "hf-vit": (
        transformers.ViTForImageClassification, transformers.ViTConfig(**VIT), vit_processor, [(40, 40), (48, 64)],
    ),
    # An epsilon this large shows in the output: reading `layer_norm_eps` matters.
    "hf-vit-pooler": (
        transformers.ViTModel, transformers.ViTConfig(**without_labels(VIT), layer_norm_eps=0.05), vit_processor, [],
    ),
    "hf-deit": (transformers.DeiTForImageClassification, transformers.DeiTConfig(**VIT), deit_processor, [(48, 64)]),
    "hf-deit-teacher": (
        transformers.DeiTForImageClassificationWithTeacher, transformers.DeiTConfig(**VIT), deit_processor, [],
    ),
    "hf-dinov2": (
        transformers.Dinov2ForImageClassification, transformers.Dinov2Config(**DINO), dino_processor, [(40, 40), (48, 64)],
    ),
    "hf-dinov2-features": (
        transformers.Dinov2Model, transformers.Dinov2Config(**without_labels(DINO)), dino_processor, [],
    ),
    "hf-dinov2-swiglu": (
        transformers.Dinov2Model, transformers.Dinov2Config(**without_labels(DINO), use_swiglu_ffn=True), dino_processor, [],
    ),
    "hf-dinov2-registers": (
        transformers.Dinov2WithRegistersForImageClassification,
        transformers.Dinov2WithRegistersConfig(**DINO, num_register_tokens=4),
        dino_processor,
        [(40, 40), (48, 64)],
    ),
}  # fmt: skip

# --- Weights and inputs ----------------------------------------------------------------------------------------------


def generator_for(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(SEED + zlib.crc32(name.encode()))


@torch.no_grad()
def randomise(model: nn.Module, name: str) -> None:
    """Draw every parameter, in the order of its name, so large that leaving it out would show in the logits."""
    generator = generator_for(name)
    normalisations = {id(m.weight) for m in model.modules() if isinstance(m, (nn.LayerNorm, nn.GroupNorm, RmsNorm))}
    for key, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        if id(parameter) in normalisations or key.endswith((".gamma", ".lambda1")):
            parameter.copy_(torch.rand(parameter.shape, generator=generator) + 0.5)
        elif key.endswith("bias"):
            parameter.copy_(0.3 * noise)
        elif parameter.ndim == 1 or "token" in key or "pos" in key or "latent" in key:
            parameter.copy_(0.6 * noise)
        else:
            gain = 3.0 if "head" in key or "classifier" in key else 1.2
            parameter.copy_(gain * noise / parameter[0].numel() ** 0.5)


@torch.no_grad()
def make_faint(model: nn.Module, name: str) -> None:
    """Scale down what a normalisation reads first, in the models that are there for its epsilon."""
    for key, parameter in model.named_parameters():
        if name in FAINT and key.startswith(("cls_token", "reg_token", "pos_embed", "patch_embed.proj")):
            parameter *= FAINTNESS
        if name in FAINT_VALUES and ("attn.qkv" in key or "in_proj" in key):
            parameter[-model.embed_dim :] *= FAINTNESS  # the rows that make the values come last


def image(name: str, height: int, width: int, channels: int = 3) -> torch.Tensor:
    """A preprocessed picture [channels, height, width]: waves over the whole image, and noise."""
    generator = generator_for(f"{name} {height}x{width}")
    rows = torch.linspace(0, 1, height).view(1, height, 1)
    columns = torch.linspace(0, 1, width).view(1, 1, width)
    phase, frequency = torch.rand(2, channels, 1, 1, generator=generator)
    waves = torch.sin(6.28 * (rows * (1 + 2 * frequency) + phase)) + torch.cos(6.28 * (columns * (2 - frequency) - phase))
    return (0.8 * waves + 0.5 * torch.randn(channels, height, width, generator=generator)).contiguous()


# --- What a model computes -------------------------------------------------------------------------------------------


class Recorder:
    """Collects the inputs and outputs of modules in one forward pass."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self.hooks: list = []

    def output(self, module: nn.Module, key: str) -> None:
        def hook(_module, _inputs, output):
            self.tensors[key] = output[0] if isinstance(output, tuple) else output

        self.hooks.append(module.register_forward_hook(hook))

    def input(self, module: nn.Module, key: str) -> None:
        def hook(_module, arguments, keywords):
            self.tensors[key] = arguments[0] if arguments else keywords["hidden_states"]

        self.hooks.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def finish(self) -> dict[str, torch.Tensor]:
        for hook in self.hooks:
            hook.remove()
        return {key: tensor.squeeze(0).float().clone().contiguous() for key, tensor in self.tensors.items()}


@torch.inference_mode()
def run_timm(model: nn.Module, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    model.eval()
    recorder = Recorder()
    recorder.input(model.blocks[0], "embeddings")
    for index, block in enumerate(model.blocks):
        recorder.output(block, f"block.{index}")
    if isinstance(model.patch_embed, HybridEmbed):
        recorder.output(model.patch_embed.backbone, "stem")
    features = model.forward_features(pixels.unsqueeze(0))
    expected = recorder.finish()
    expected["input"] = pixels
    expected["features"] = features[0].clone()
    expected["pooled"] = model.forward_head(features, pre_logits=True)[0].clone()
    if model.num_classes > 0:
        expected["logits"] = model(pixels.unsqueeze(0))[0].clone()
    return expected


@torch.inference_mode()
def run_hugging_face(model: nn.Module, pixels: torch.Tensor, resample: bool) -> dict[str, torch.Tensor]:
    model.eval()
    backbone = model.base_model
    layers = backbone.layers if hasattr(backbone, "layers") else backbone.encoder.layer
    recorder = Recorder()
    recorder.input(layers[0], "embeddings")
    for index, layer in enumerate(layers):
        recorder.output(layer, f"block.{index}")
    recorder.output(backbone.layernorm, "features")
    if hasattr(model, "classifier"):
        recorder.input(model.classifier, "pooled")
    options = {"interpolate_pos_encoding": True} if resample and model.config.model_type in ("vit", "deit") else {}
    output = model(pixels.unsqueeze(0), **options)
    expected = recorder.finish()
    if "pooled" not in expected:  # no head: the class token; two heads: the mean of what they read
        expected["pooled"] = expected["features"][: 2 if hasattr(model, "cls_classifier") else 1].mean(dim=0)
    expected["input"] = pixels
    if "logits" in output:
        expected["logits"] = output.logits[0].clone()
    return expected


def save_expected(folder: pathlib.Path, expected: dict[str, torch.Tensor], size: tuple[int, int] | None = None) -> None:
    suffix = f"-{size[0]}x{size[1]}" if size else ""
    save_file({key: value.contiguous() for key, value in expected.items()}, folder / f"expected{suffix}.safetensors")
    result = expected.get("logits", expected["pooled"])
    print(f"  {folder.name + suffix:36} {tuple(expected['features'].shape)} spread {result.std():.2f}")
    if not 0.5 < result.std() < 20:
        sys.exit(f"{folder.name}: the spread of its result, {result.std():.3f}, tells little")


# --- Folders ---------------------------------------------------------------------------------------------------------


def write_timm(folder: pathlib.Path, architecture: str, arguments: dict, sizes: list[tuple[int, int]]) -> None:
    model = timm.create_model(architecture, **arguments)
    randomise(model, folder.name)
    make_faint(model, folder.name)
    labels = {"label_names": CLASSES} if model.num_classes == len(CLASSES) else {}
    save_for_hf(model, folder, model_config=labels, safe_serialization=True)
    read = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True)
    if str(read) != str(model):
        sys.exit(f"{folder.name}: config.json does not say all of it:\n{model}\n{read}")
    pixels = image(folder.name, *model.patch_embed.img_size, model.in_chans)
    save_expected(folder, run_timm(model, pixels))
    for size in sizes:
        resized = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True, img_size=size)
        save_expected(folder, run_timm(resized, image(folder.name, *size, model.in_chans)), size)


def write_hugging_face(
    folder: pathlib.Path, kind: type, config: transformers.PretrainedConfig, processor: Callable,
    sizes: list[tuple[int, int]],
) -> None:  # fmt: skip
    model = kind(config)
    randomise(model, folder.name)
    model.save_pretrained(folder)
    processor().save_pretrained(folder)
    save_expected(folder, run_hugging_face(model, image(folder.name, config.image_size, config.image_size), False))
    for size in sizes:
        save_expected(folder, run_hugging_face(model, image(folder.name, *size), True), size)


def write_half(folder: pathlib.Path, dtype: torch.dtype) -> None:
    """`timm-token` with its weights rounded to 16 bits; the expected values are float32 results of the rounded weights."""
    architecture, arguments, _ = TIMM["timm-token"]
    model = timm.create_model(architecture, **arguments)
    randomise(model, "timm-token")
    save_for_hf(model.to(dtype), folder, model_config={"label_names": CLASSES}, safe_serialization=True)
    model.float()
    save_expected(folder, run_timm(model, image("timm-token", *model.patch_embed.img_size)))


def write_sharded(folder: pathlib.Path) -> None:
    """`hf-vit` in several files with an index."""
    kind, config, processor, _ = HUGGING_FACE["hf-vit"]
    model = kind(config)
    randomise(model, "hf-vit")
    model.save_pretrained(folder, max_shard_size="48KB")
    processor().save_pretrained(folder)
    save_expected(folder, run_hugging_face(model, image("hf-vit", config.image_size, config.image_size), False))
    if not (folder / "model.safetensors.index.json").exists():
        sys.exit("transformers wrote no index")


def write_lone_file(folder: pathlib.Path, make: Callable[[], nn.Module], sizes: list[tuple[int, int]]) -> None:
    """Nothing but weights (in 16 bits): names and shapes tell the architecture, and heads are 64 wide."""
    model = make()
    randomise(model, folder.name)
    model.half()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / "weights.safetensors")
    model.float()
    save_expected(folder, run_timm(model, image(folder.name, *model.patch_embed.img_size)))
    for size in sizes:
        model.set_input_size(img_size=size)
        save_expected(folder, run_timm(model, image(folder.name, *size)), size)


def makers() -> dict[str, Callable[[pathlib.Path], None]]:
    table: dict[str, Callable[[pathlib.Path], None]] = {}
    for name, values in TIMM.items():
        table[name] = lambda folder, values=values: write_timm(folder, *values)
    for name, values in HUGGING_FACE.items():
        table[name] = lambda folder, values=values: write_hugging_face(folder, *values)
    table["timm-token-f16"] = lambda folder: write_half(folder, torch.float16)
    table["timm-token-bf16"] = lambda folder: write_half(folder, torch.bfloat16)
    table["hf-vit-sharded"] = write_sharded
    for name, values in LONE_FILES.items():
        table[name] = lambda folder, values=values: write_lone_file(folder, *values)
    return table


def check_versions() -> None:
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if "==" in line:
            package, wanted = line.split("==")
            found = importlib.metadata.version(package)
            if found.split("+")[0] != wanted:
                sys.exit(f"{package} is {found}; the fixtures are made with {wanted} (see {HERE / 'requirements.txt'})")


def main() -> None:
    table = makers()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=HERE.parents[1] / "Tests/Fixtures/models")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(table)}")
    options = parser.parse_args()
    if unknown := set(options.names) - set(table):
        parser.error(f"no such fixture: {', '.join(sorted(unknown))}")

    check_versions()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("timm").setLevel(logging.ERROR)

    for name in options.names or table:
        folder = options.output / name
        with tempfile.TemporaryDirectory() as scratch:
            made = pathlib.Path(scratch) / name
            table[name](made)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(made, folder)
    total = sum(path.stat().st_size for path in options.output.rglob("*") if path.is_file())
    print(f"{total / 1e6:.2f} MB in {options.output}")


if __name__ == "__main__":
    main()
