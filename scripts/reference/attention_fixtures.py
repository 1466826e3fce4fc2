#!/usr/bin/env python3
"""Make Tests/Fixtures/attention: what tiny models of Tests/Fixtures/models attend to, and what is made of it.

    attention_fixtures.py [NAME...]

Each file has the probabilities of each block, float32 [branches * heads, N, N], by timm (fused attention off) or transformers (eager)
in double precision; rollouts and mean distances in numpy; attributions by torch's autograd where the model's backward pass is there.
Versions: requirements.txt.
"""

import pathlib
import sys

import numpy as np
import timm
import torch
import transformers
from safetensors.numpy import save_file
from safetensors.torch import load_file

from attention_reference import FUSIONS, attribution, distances, query, rollout, run_hugging_face, run_timm, stacked

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures"
DISCARDS = (0.0, 0.6, 0.9)

# The model, the file of its inputs, and whether its attributions are compared.
CASES = {
    "timm-token": ("expected", True),
    "timm-deit-distilled": ("expected", True),
    "timm-avg": ("expected", True),
    "timm-avg-no-class-token": ("expected-24x40", True),
    "timm-rectangular": ("expected", True),
    "timm-registers-gap": ("expected", True),
    "timm-qk-norm": ("expected", True),
    "timm-beit3": ("expected", True),
    "timm-res-post": ("expected", True),
    "timm-max": ("expected", True),
    "timm-dinov2-registers": ("expected-42x70", True),
    "timm-parallel-scaling": ("expected", False),
    "timm-parallel-things": ("expected", False),
    "timm-diff": ("expected", False),
    "timm-diff-norms": ("expected", False),
    "timm-diff-parallel": ("expected", False),
    "timm-map-registers": ("expected", False),
    "timm-prr": ("expected", False),
    "hf-vit": ("expected", True),
    "hf-deit-teacher": ("expected", True),
    "hf-dinov2-registers": ("expected-48x64", False),
}


def load(name: str, size: tuple[int, int]) -> torch.nn.Module:
    folder = FIXTURES / "models" / name
    if name.startswith("timm"):
        return timm.create_model(f"local-dir:{folder}", pretrained=True, img_size=size)
    kind = getattr(transformers, transformers.AutoConfig.from_pretrained(folder).architectures[0])
    return kind.from_pretrained(folder, attn_implementation="eager")


def make(name: str, source: str, attributes: bool) -> None:
    pixels = load_file(FIXTURES / "models" / name / f"{source}.safetensors")["input"].double()
    size = tuple(pixels.shape[1:])
    model = load(name, size).double().eval()
    if name.startswith("timm"):
        probabilities, logits = run_timm(model, pixels)
        patch, prefix = model.patch_embed.patch_size, model.num_prefix_tokens
        has_class_token = model.cls_token is not None
    else:
        probabilities, logits = run_hugging_face(model, pixels)
        patch = (model.config.patch_size,) * 2
        prefix = 1 + getattr(model.config, "num_register_tokens", 0) + ("deit" in name)
        has_class_token = True
    grid = (size[0] // patch[0], size[1] // patch[1])
    blocks = stacked(probabilities)
    weights = query(prefix, grid[0] * grid[1], has_class_token)
    tensors = {"input": pixels.float().numpy()}
    for index, heads in enumerate(blocks):
        tensors[f"probabilities.{index}"] = heads
        tensors[f"distances.{index}"] = distances(heads, grid, patch)
    if "diff" not in name:
        for fusion in FUSIONS:
            for discard in DISCARDS:
                # Of the very numbers that the file holds: a rounding must not change which entries are the lowest.
                held = [heads.astype(np.float32) for heads in blocks]
                tensors[f"rollout.{fusion}.{discard}"] = rollout(held, weights, fusion, discard, has_class_token)
    if attributes:
        for label in (0, 4):
            tensors[f"attribution.{label}"] = attribution(probabilities, logits, label, weights)
        tensors["logits"] = logits[0].detach().numpy()
    held = {key: np.ascontiguousarray(value, np.float32) for key, value in tensors.items()}
    save_file(held, FIXTURES / "attention" / f"{name}.safetensors")
    shares = [float(heads.max()) for heads in blocks]
    print(f"{name:28} {blocks[0].shape} largest {max(shares):.2f}", f"attributions to {tensors['attribution.4'].max():.2f}" if attributes else "")


def main() -> None:
    names = sys.argv[1:] or list(CASES)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    (FIXTURES / "attention").mkdir(exist_ok=True)
    for name in names:
        make(name, *CASES[name])


if __name__ == "__main__":
    main()
