"""Fixtures of CLIP as open_clip and OpenAI publish it."""

import copy
import pathlib
from collections.abc import Callable

import open_clip
import torch
from safetensors.torch import save_file
from torch import nn

from foreign_common import PATCH, SIDE, SIZES, Size, halved, round_weights, run, save
from model_fixtures import image, randomise

# name: sizes at which positions are resampled
SIZES_OF: dict[str, list[Size]] = {
    "openclip-vit": SIZES,
    "openclip-quickgelu": [],
    "openclip-visual-only": SIZES[:1],
    "openclip-clipa": SIZES[:1],
    "openai-jit": [],
}


CLIPA = dict(no_ln_pre=True, pool_type="avg", final_ln_after_pool=True)


def clip_model(size: Size, width: int, quick: bool, **variant: object) -> nn.Module:
    vision = dict(image_size=size, patch_size=PATCH, width=width, layers=1, head_width=64, mlp_ratio=32 / width)
    text = dict(context_length=6, vocab_size=20, width=16, heads=2, layers=1)
    return open_clip.CLIP(embed_dim=24, vision_cfg=vision | variant, text_cfg=text, quick_gelu=quick).eval()


def write_clip(folder: pathlib.Path) -> None:
    """A CLIP with its text tower; `pooled` is the embedding after `visual.proj`, before its length becomes 1."""
    kind = folder.name
    width, quick = 128 if kind == "openclip-vit" else 64, kind in ("openclip-quickgelu", "openai-jit")
    variant = CLIPA if kind == "openclip-clipa" else {}
    model = clip_model((SIDE, SIDE), width, quick, **variant)
    randomise(model.visual, kind)
    round_weights(model)
    state = halved(model.state_dict())
    if kind == "openclip-visual-only":
        save_file({key: value.half() for key, value in model.visual.state_dict().items()}, folder / "model.safetensors")
    elif kind == "openai-jit":
        save_openai_archive(model, folder / "model.pt")
    else:
        if quick:  # what OpenAI's own files hold besides, and nobody else's
            numbers = dict(input_resolution=SIDE, context_length=6, vocab_size=20)
            state.update({key: torch.tensor(value) for key, value in numbers.items()})
        torch.save(state, folder / "model.pt")
    for size in [None, *SIZES_OF[kind]]:
        resized = clip_model(size or (SIDE, SIDE), width, quick, **variant)
        weights = dict(model.state_dict())
        open_clip.model.resize_pos_embed(weights, resized)
        resized.load_state_dict(weights)
        visual = resized.visual
        pixels = image(kind, *(size or (SIDE, SIDE)))
        norm = None if variant else visual.ln_post  # CLIPA's sees the mean alone
        expected, embedding = run(visual, pixels, visual.transformer.resblocks, norm)
        expected.setdefault("features", expected["block.0"])
        save(folder, expected | {"pooled": embedding[0]}, size)


class OpenAIArchive(nn.Module):
    """What OpenAI traced: a CLIP whose sizes are buffers and whose image tower is `visual`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, part in model.named_children():
            self.add_module(name, part)
        self.positional_embedding, self.text_projection = model.positional_embedding, model.text_projection
        self.logit_scale = model.logit_scale
        for name, value in dict(input_resolution=SIDE, context_length=6, vocab_size=20).items():
            self.register_buffer(name, torch.tensor(value))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.visual(pixels.type(self.visual.conv1.weight.dtype))


def save_openai_archive(model: nn.Module, path: pathlib.Path) -> None:
    archive = OpenAIArchive(copy.deepcopy(model))  # halved in place below
    traced = torch.jit.trace(archive, torch.zeros(1, 3, SIDE, SIDE), check_trace=False)
    traced.half().save(str(path))


MAKERS: dict[str, Callable[[pathlib.Path], None]] = dict.fromkeys(SIZES_OF, write_clip)
