"""Fixtures of transformers' models and options that model_fixtures.py lacks."""

import collections
import pathlib
from collections.abc import Callable

import torch
import transformers
from safetensors.torch import load_file, save_file

from foreign_common import PATCH, SIDE, SIZES, Size, State, round_weights, run, save
from model_fixtures import CLASSES, image, randomise, run_hugging_face

VIT = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=36, image_size=SIDE, patch_size=PATCH,
)  # fmt: skip
LABELS = dict(id2label=dict(enumerate(CLASSES)), label2id={name: index for index, name in enumerate(CLASSES)})


def vit_processor() -> transformers.BaseImageProcessor:
    return transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE})


def clip_processor() -> transformers.BaseImageProcessor:
    return transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})


def siglip_processor() -> transformers.BaseImageProcessor:
    return transformers.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})


def siglip_config() -> transformers.PretrainedConfig:
    text = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=8)
    return transformers.SiglipConfig(vision_config=VIT, text_config=text, **LABELS)


def vit_config(**options) -> transformers.PretrainedConfig:
    return transformers.ViTConfig(**(VIT | LABELS | options))


# name: (model class, configuration, image processor, sizes at which positions are resampled)
HUGGING_FACE: dict[str, tuple[type, Callable, Callable, list[Size]]] = {
    "hf-vit-bin": (transformers.ViTForImageClassification, vit_config, vit_processor, []),
    "hf-vit-gelu-new": (
        transformers.ViTForImageClassification,
        lambda: vit_config(hidden_act="gelu_new"),
        vit_processor,
        [],
    ),
    "hf-vit-quick-gelu": (
        transformers.ViTForImageClassification,
        lambda: vit_config(hidden_act="quick_gelu"),
        vit_processor,
        [],
    ),
    "hf-vit-no-qkv-bias": (
        transformers.ViTForImageClassification,
        lambda: vit_config(qkv_bias=False),
        vit_processor,
        [],
    ),
    "hf-vit-gray": (transformers.ViTForImageClassification, lambda: vit_config(num_channels=1), vit_processor, []),
    "hf-vit-rectangular": (
        transformers.ViTForImageClassification,
        lambda: vit_config(image_size=[8, 20], patch_size=[2, 4]),
        lambda: transformers.ViTImageProcessor(size={"height": 8, "width": 20}),
        [],
    ),
    "hf-vit-msn": (
        transformers.ViTMSNForImageClassification,
        lambda: transformers.ViTMSNConfig(**VIT, **LABELS),
        vit_processor,
        [],
    ),
    "hf-ijepa": (
        transformers.IJepaForImageClassification,
        lambda: transformers.IJepaConfig(**VIT, **LABELS),
        vit_processor,
        SIZES,
    ),
    "hf-clip-vision": (
        transformers.CLIPVisionModelWithProjection,
        lambda: transformers.CLIPVisionConfig(**VIT, projection_dim=24),
        clip_processor,
        SIZES,
    ),
    "hf-siglip-vision": (
        transformers.SiglipVisionModel,
        lambda: transformers.SiglipVisionConfig(**VIT),
        siglip_processor,
        SIZES,
    ),
    "hf-siglip-classifier": (transformers.SiglipForImageClassification, siglip_config, siglip_processor, []),
}


def run_tower(model: torch.nn.Module, pixels: torch.Tensor, resample: bool) -> State:
    """CLIP and SigLIP. CLIP norms the class token alone: `features` are all tokens after the same norm."""
    tower = getattr(model, "vision_model", model)
    head = getattr(model, "classifier", None)
    expected, output = run(model, pixels, tower.encoder.layers, None, head, interpolate_pos_encoding=resample)
    with torch.inference_mode():
        expected["features"] = tower.post_layernorm(expected[f"block.{len(tower.encoder.layers) - 1}"])
    if head is not None:
        return expected | {"logits": output.logits[0]}
    return expected | {"pooled": (output.image_embeds if "image_embeds" in output else output.pooler_output)[0]}


def run_ijepa(model: torch.nn.Module, pixels: torch.Tensor, resample: bool) -> State:
    backbone = model.ijepa
    options = dict(interpolate_pos_encoding=resample)
    expected, output = run(model, pixels, backbone.layers, backbone.layernorm, model.classifier, **options)
    return expected | {"logits": output.logits[0]}


def image_for(name: str, config: transformers.PretrainedConfig, size: Size | None) -> torch.Tensor:
    trained = config.image_size if isinstance(config.image_size, (list, tuple)) else [config.image_size] * 2
    return image(name, *(size or trained))[: config.num_channels].contiguous()


def write_hugging_face(folder: pathlib.Path) -> None:
    kind, make_config, processor, sizes = HUGGING_FACE[folder.name]
    model = kind(make_config())
    randomise(model, folder.name)
    round_weights(model)
    model.half().save_pretrained(folder)
    model.float()
    processor().save_pretrained(folder)
    if folder.name.endswith("-bin"):  # as transformers 4 wrote when safetensors was not asked for
        weights = folder / "model.safetensors"
        torch.save(collections.OrderedDict(load_file(weights)), folder / "pytorch_model.bin")
        weights.unlink()
    runner = run_tower if "clip" in folder.name or "siglip" in folder.name else run_hugging_face
    runner = run_ijepa if "ijepa" in folder.name else runner
    config = getattr(model.config, "vision_config", model.config)
    for size in [None, *sizes]:
        save(folder, runner(model, image_for(folder.name, config, size), size is not None), size)


def write_hugging_face_memory(folder: pathlib.Path) -> None:
    """A state dictionary with the names that transformers 5 uses in memory, and no configuration."""
    arguments = dict(VIT, hidden_size=64, num_attention_heads=1, num_hidden_layers=1)
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**arguments, **LABELS))
    randomise(model, folder.name)
    round_weights(model)
    save_file({key: value.half() for key, value in model.state_dict().items()}, folder / "weights.safetensors")
    save(folder, run_hugging_face(model, image(folder.name, SIDE, SIDE), False))


PRE_TRAINED: dict[str, tuple[type, Callable]] = {
    "hf-vit-masked": (transformers.ViTForMaskedImageModeling, lambda: transformers.ViTConfig(**VIT)),
    "hf-vit-mae": (
        transformers.ViTMAEForPreTraining,
        lambda: transformers.ViTMAEConfig(
            **VIT,
            mask_ratio=0.0,
            decoder_hidden_size=8,
            decoder_num_hidden_layers=1,
            decoder_num_attention_heads=1,
            decoder_intermediate_size=8,
        ),
    ),
}


def write_hugging_face_pre_trained(folder: pathlib.Path) -> None:
    """A backbone with the decoder that it was trained with, which no feature depends on."""
    kind, make_config = PRE_TRAINED[folder.name]
    model = kind(make_config())
    randomise(model, folder.name)
    round_weights(model)
    model.half().save_pretrained(folder)
    model.float()
    vit_processor().save_pretrained(folder)
    backbone, patches = model.vit, (SIDE // PATCH) ** 2
    # MAE keeps the patches in the order of this noise.
    options = dict(noise=torch.arange(patches).unsqueeze(0) / patches) if folder.name == "hf-vit-mae" else {}
    layers = backbone.layers if hasattr(backbone, "layers") else backbone.encoder.layer
    expected, _ = run(backbone, image(folder.name, SIDE, SIDE), layers, backbone.layernorm, **options)
    save(folder, expected | {"pooled": expected["features"][0].clone()})


MAKERS: dict[str, Callable[[pathlib.Path], None]] = {
    **dict.fromkeys(HUGGING_FACE, write_hugging_face),
    **dict.fromkeys(PRE_TRAINED, write_hugging_face_pre_trained),
    "hf-vit-memory-names": write_hugging_face_memory,
}
