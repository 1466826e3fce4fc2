"""What the parts of foreign_fixtures.py share: sizes, weights rounded to few bits, one way to run a model."""

import collections
import pathlib

import timm
import torch
from torch import nn

from model_fixtures import CLASSES, Recorder, randomise, save_expected

Size = tuple[int, int]
State = dict[str, torch.Tensor]

SIDE, PATCH = 8, 2  # pixels; a grid of 4x4
SIZES: list[Size] = [(10, 12), (6, 4)]  # one grid larger than the trained one, one smaller
SQUARES: list[Size] = [(10, 10), (6, 6)]  # where the library knows squares only

# Arguments of timm's models. ONE_HEAD is for files that do not say how many heads they have: 64 wide.
NARROW = dict(
    img_size=SIDE, patch_size=PATCH, embed_dim=24, depth=2, num_heads=3, mlp_ratio=1.5, num_classes=len(CLASSES)
)
ONE_HEAD = dict(NARROW, embed_dim=64, num_heads=1, mlp_ratio=0.5, depth=1)
TWO_BLOCKS = dict(ONE_HEAD, depth=2)


@torch.no_grad()
def round_weights(model: nn.Module, dtype: torch.dtype = torch.float16) -> None:
    """Round to `dtype` in place, and stay in float32."""
    for parameter in model.parameters():
        parameter.copy_(parameter.to(dtype).float())


def halved(state: State) -> State:
    return collections.OrderedDict((key, value.half()) for key, value in state.items())


def prefixed(state: State, prefix: str) -> State:
    return collections.OrderedDict((prefix + key, value) for key, value in state.items())


def timm_model(name: str, architecture: str, dtype: torch.dtype = torch.float16, **arguments) -> nn.Module:
    model = timm.create_model(architecture, **arguments).eval()
    randomise(model, name)
    round_weights(model, dtype)
    return model


@torch.inference_mode()
def run(
    model: nn.Module,
    pixels: torch.Tensor,
    blocks: nn.ModuleList,
    norm: nn.Module | None,
    head: nn.Module | None = None,
    **options,
) -> tuple[State, object]:
    """Tokens before the first block, after each and after `norm`; what the head reads; and the model's output."""
    model.eval()
    recorder = Recorder()
    recorder.input(blocks[0], "embeddings")
    for index, block in enumerate(blocks):
        recorder.output(block, f"block.{index}")
    if norm is not None:
        recorder.output(norm, "features")
    if head is not None:
        recorder.input(head, "pooled")
    output = model(pixels.unsqueeze(0), **options)
    return recorder.finish() | {"input": pixels}, output


def save(folder: pathlib.Path, expected: State, size: Size | None = None) -> None:
    """`save_expected` of what a user sees: the tokens, what the head reads and its result."""
    kept = ("input", "features", "pooled", "logits")
    save_expected(folder, {key: value for key, value in expected.items() if key in kept}, size)
