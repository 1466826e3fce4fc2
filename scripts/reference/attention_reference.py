"""Attention as timm and transformers compute it, and what is made of it, in numpy's double precision: rollout, attribution, distances.

The attention of a model is recorded with fused attention off: timm's `attn_drop` passes on the probabilities, transformers' models
return them. A gradient is torch's, with respect to these very probabilities.
"""

import numpy as np
import torch
from torch import nn

FUSIONS = {"mean": np.mean, "max": np.max, "min": np.min}


# --- Probabilities ---------------------------------------------------------------------------------------------------


def attentions(block: nn.Module) -> list[nn.Module]:
    """The modules of a timm block that attend: one, or those of its branches, or the block itself where it is one product."""
    if hasattr(block, "attns"):
        return [branch.attn for branch in block.attns]
    return [block.attn] if hasattr(block, "attn") else [block]


class TimmAttention:
    """The probabilities of each block and branch [H, N, N], as tensors of the graph."""

    def __init__(self, model: nn.Module) -> None:
        self.probabilities: list[list[torch.Tensor]] = []
        self.lambdas: list[float] = []
        self.hooks = []
        for block in model.blocks:
            branches: list[torch.Tensor] = []
            self.probabilities.append(branches)
            for module in attentions(block):
                module.fused_attn = False
                self.hooks.append(module.attn_drop.register_forward_hook(self.recorder(branches, module)))

    @staticmethod
    def recorder(branches: list[torch.Tensor], module: nn.Module):
        def hook(_module, _inputs, output):
            if output.requires_grad:
                output.retain_grad()
            if hasattr(module, "_compute_lambda"):  # the difference of two attentions
                pairs = output.unflatten(1, (module.num_heads, 2))
                output = pairs[:, :, 0] - module._compute_lambda() * pairs[:, :, 1]
            branches.append(output)

        return hook

    def finish(self) -> list[list[torch.Tensor]]:
        for hook in self.hooks:
            hook.remove()
        return self.probabilities


def run_timm(model: nn.Module, pixels: torch.Tensor) -> tuple[list[list[torch.Tensor]], torch.Tensor]:
    """Probabilities [1, H, N, N] by block and branch, and the output of one input."""
    recorder = TimmAttention(model)
    output = model(pixels.unsqueeze(0))
    return recorder.finish(), output


def run_hugging_face(model: nn.Module, pixels: torch.Tensor) -> tuple[list[list[torch.Tensor]], torch.Tensor | None]:
    """The same of a model of transformers with eager attention."""
    output = model(pixels.unsqueeze(0), output_attentions=True)
    for attention in output.attentions:
        if attention.requires_grad:
            attention.retain_grad()
    return [[attention] for attention in output.attentions], getattr(output, "logits", None)


def stacked(probabilities: list[list[torch.Tensor]]) -> list[np.ndarray]:
    """[branches * H, N, N] of each block."""
    return [np.concatenate([branch[0].detach().numpy() for branch in block]) for block in probabilities]


# --- What is made of them --------------------------------------------------------------------------------------------


def query(prefix: int, patches: int, has_class_token: bool) -> np.ndarray:
    """The class token, or the mean of the patches where there is none."""
    weights = np.zeros(prefix + patches)
    if has_class_token:
        weights[0] = 1
    else:
        weights[prefix:] = 1 / patches
    return weights


def rollout(
    blocks: list[np.ndarray], weights: np.ndarray, fusion: str, discard: float, has_class_token: bool
) -> np.ndarray:
    """arXiv:2005.00928, section 3: rows of (A + I) / 2 normalised, multiplied through the blocks. Dropping as vit-explain
    does it: the class token's attention to itself stays."""
    result = weights.astype(np.float64)
    for heads in reversed(blocks):
        fused = FUSIONS[fusion](heads.astype(np.float64), axis=0)
        count = int(fused.size * discard)
        lowest = np.argsort(fused, axis=None, kind="stable")[:count]
        fused.flat[lowest[lowest != 0] if has_class_token else lowest] = 0
        passed = (fused + np.eye(len(fused))) / 2
        result = result @ (passed / passed.sum(axis=1, keepdims=True))
    return result


def attribution(probabilities: list[list[torch.Tensor]], logits: torch.Tensor, label: int, weights: np.ndarray) -> np.ndarray:
    """arXiv:2103.15679, equations 5 and 6: R = R + E_heads[(gradient * attention)+] R, from the identity on."""
    flat = [branch for block in probabilities for branch in block]
    gradients = torch.autograd.grad(logits[0, label], flat, retain_graph=True, allow_unused=True)
    result = np.eye(len(weights))
    for attention, gradient in zip(flat, gradients, strict=True):
        if gradient is None:
            continue
        relevance = (attention * gradient)[0].clamp(min=0).mean(dim=0).detach().double().numpy()
        result = result + relevance @ result
    return weights @ result


def distances(heads: np.ndarray, grid: tuple[int, int], patch: tuple[int, int]) -> np.ndarray:
    """arXiv:2010.11929, appendix D.7: the mean distance of each head [H], in pixels, attention to prefix tokens left out."""
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    y, x = rows * patch[0], columns * patch[1]
    between = np.hypot(y[:, None] - y[None], x[:, None] - x[None])
    patches = heads[:, -len(rows):, -len(rows):].astype(np.float64)
    return ((patches * between).sum(axis=2) / patches.sum(axis=2)).mean(axis=1)
