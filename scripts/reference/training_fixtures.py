#!/usr/bin/env python3
"""Fixtures of the training tests: losses and gradients by name of small ViTs, from torch's autograd in double precision over timm's
models; and 50 steps of torch's optimisers and timm's schedules, layer-wise decay and moving average.

    scripts/reference/training_fixtures.py            (writes Tests/Fixtures/training)

Pinned versions: scripts/reference/requirements.txt.
"""

import importlib
import inspect
import json
import math
import pathlib

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from timm.data.mixup import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from timm.utils import ModelEmaV3

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures" / "training"
BATCH = 4
CLASSES = 7

# Each: the architecture whose name stands for what arguments cannot, and the arguments that make it small.
SMALL = {"img_size": 12, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": CLASSES}
BASE = "vit_tiny_patch16_224"
VARIANTS = {
    "token": (BASE, {}),
    "average": (BASE, {"global_pool": "avg"}),
    "average-without-class-token": (BASE, {"global_pool": "avg", "class_token": False, "fc_norm": False}),
    "maximum": (BASE, {"global_pool": "max"}),
    "average-maximum": (BASE, {"global_pool": "avgmax", "pool_include_prefix": True}),
    "registers-layer-scale": (BASE, {"reg_tokens": 3, "init_values": 0.1}),
    "registers-no-embed-class": (BASE, {"reg_tokens": 2, "no_embed_class": True, "init_values": 0.1, "global_pool": "avg"}),
    "qk-norm": (BASE, {"qk_norm": True}),
    "pre-norm-layer": (BASE, {"pre_norm": True}),
    "rms-norm": (BASE, {"norm_layer": "rmsnorm", "qk_norm": True}),
    "no-biases": (BASE, {"qkv_bias": False, "proj_bias": False}),
    "inner-norms": (BASE, {"scale_attn_norm": True, "scale_mlp_norm": True}),
    "patch-norm": (BASE, {"embed_norm_layer": "layernorm"}),
    "no-positions": (BASE, {"pos_embed": "none"}),
    "gelu-tanh": (BASE, {"act_layer": "gelu_tanh"}),
    "quick-gelu": (BASE, {"act_layer": "quick_gelu"}),
    "relu-rectangular": (BASE, {"act_layer": "relu", "img_size": [8, 16], "patch_size": [4, 4]}),
    "swiglu-packed": ("vit_giant_patch14_reg4_dinov2", {"reg_tokens": 2, "init_values": 0.1, "mlp_ratio": 2.0}),
    "post-norm": ("vit_base_patch16_rpn_224", {"init_values": 0.1, "mlp_ratio": 2.0}),
    "swiglu": ("aimv2_large_patch14_224", {"mlp_ratio": 2.0, "global_pool": "avg"}),
    "distilled": ("deit_tiny_distilled_patch16_224", {}),
}


def constructor(architecture: str, arguments: dict) -> torch.nn.Module:
    return timm.create_model(architecture, pretrained=False, **arguments)


def randomise(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Values for which every part of the network matters: norms off 1, biases off 0, tokens and positions of size 1."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if name.endswith("gamma") or (parameter.ndim == 1 and "norm" in name and name.endswith("weight")):
            value = 1 + 0.3 * noise
        elif parameter.ndim == 1:
            value = 0.2 * noise
        elif "token" in name or "pos_embed" in name:
            value = 0.5 * noise
        else:
            value = noise / math.sqrt(parameter[0].numel())
        # The very numbers that the fixture holds.
        parameter.data = value.to(torch.float32).to(torch.float64)


def batch(size: tuple[int, int], generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels and targets that timm's Mixup has mixed, with label smoothing."""
    pixels = torch.randn((BATCH, 3, *size), generator=generator)
    labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)
    mixup = Mixup(mixup_alpha=0.8, prob=1.0, mode="batch", label_smoothing=0.1, num_classes=CLASSES)
    # timm's Mixup makes its targets on the labels' device; its numbers are numpy's.
    np.random.seed(5)
    return mixup(pixels, labels)


def gradients(name: str, architecture: str, changes: dict) -> None:
    arguments = {**SMALL, **changes}
    model = constructor(architecture, arguments).double().train()
    generator = torch.Generator().manual_seed(1 + sorted(VARIANTS).index(name))
    randomise(model, generator)
    size = arguments["img_size"]
    pixels, targets = batch(tuple(size) if isinstance(size, list) else (size, size), generator)
    logits = model(pixels.double())
    loss = SoftTargetCrossEntropy()(logits, targets.double())
    loss.backward()
    tensors = {"pixels": pixels.float(), "targets": targets.float(), "logits": logits.detach(), "loss": loss.detach().reshape(1)}
    for key, parameter in model.named_parameters():
        tensors[f"weights.{key}"] = parameter.data.float()
        tensors[f"gradients.{key}"] = parameter.grad.float()
    metadata = {"architecture": architecture, "model_args": json.dumps(arguments), "timm": timm.__version__, "torch": torch.__version__}
    save_file({key: value.contiguous() for key, value in tensors.items()}, FOLDER / f"{name}.safetensors", metadata=metadata)
    print(f"{name}: loss {loss.item():.6f}, {sum(p.numel() for p in model.parameters())} parameters")


STEPS = 50
TINY = {"img_size": 4, "patch_size": 4, "embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3, "init_values": 0.1}
PEAK = 0.01
WARM_UP, START = 10, 0.001


def schedule(kind: str, optimiser: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """torch's schedulers behind a linear warm-up of ten steps."""
    schedulers = torch.optim.lr_scheduler
    warm_up = schedulers.LinearLR(optimiser, start_factor=START / PEAK, total_iters=WARM_UP)
    rest = STEPS - WARM_UP
    # Each group has a learning rate of its own, so that the final rate is a share of it.
    after = {
        "cosine": lambda: schedulers.CosineAnnealingLR(optimiser, rest, eta_min=0.0),
        "linear": lambda: schedulers.LinearLR(optimiser, start_factor=1.0, end_factor=0.1, total_iters=rest),
        "step": lambda: schedulers.StepLR(optimiser, 10, gamma=0.5),
        "constant": lambda: schedulers.ConstantLR(optimiser, factor=1.0, total_iters=1),
    }[kind]()
    return schedulers.SequentialLR(optimiser, [warm_up, after], milestones=[WARM_UP])


def optimizers() -> None:
    """50 steps of each optimiser with gradients that two tensors and the step make.

    torch's Muon orthogonalises in bfloat16, whose rounding would hide what is compared: here it keeps float32.
    """
    muon = importlib.import_module("torch.optim._muon")
    source = inspect.getsource(muon._zeropower_via_newtonschulz)
    assert source.count("dtype=torch.bfloat16") == 1
    exec(source.replace("dtype=torch.bfloat16", "dtype=torch.float32"), vars(muon))
    tensors = {}
    generator = torch.Generator().manual_seed(77)
    start = constructor(BASE, TINY)
    names = [name for name, _ in start.named_parameters()]
    first = {name: torch.randn(p.shape, generator=generator) for name, p in start.named_parameters()}
    second = {name: torch.randn(p.shape, generator=generator) for name, p in start.named_parameters()}
    initial = {name: 0.5 * torch.randn(p.shape, generator=generator) for name, p in start.named_parameters()}
    for name in names:
        tensors[f"first.{name}"], tensors[f"second.{name}"] = first[name], second[name]
        tensors[f"initial.{name}"] = initial[name]
    cases = {
        "adamw-cosine": {"layer_decay": 0.75, "clip": 1.0, "ema": 0.9},
        "adamw-constant": {"layer_decay": None, "clip": None, "ema": 0.99},
        "sgd-step": {"layer_decay": None, "clip": 5.0, "ema": None, "nesterov": False},
        "sgd-linear": {"layer_decay": 0.9, "clip": None, "ema": None, "nesterov": True},
        "muon-cosine": {"layer_decay": 0.75, "clip": 1.0, "ema": None, "nesterov": True},
        "muon-constant": {"layer_decay": None, "clip": None, "ema": 0.9, "nesterov": False},
    }
    for case, options in cases.items():
        model = constructor(BASE, TINY)
        for name, parameter in model.named_parameters():
            parameter.data = initial[name].clone()
        if options["layer_decay"]:
            groups = param_groups_layer_decay(
                model, weight_decay=0.05, no_weight_decay_list=model.no_weight_decay(), layer_decay=options["layer_decay"])
            for group in groups:
                group["lr"] = PEAK * group["lr_scale"]
        else:
            groups = param_groups_weight_decay(model, weight_decay=0.05, no_weight_decay_list=model.no_weight_decay())
        kind, course = case.split("-")
        matrices = []
        if kind == "muon":
            hidden = {id(p) for name, p in model.named_parameters() if name.startswith("blocks.") and p.ndim == 2}
            matrices = [group | {"params": [p for p in group["params"] if id(p) in hidden]} for group in groups]
            matrices = [group for group in matrices if group["params"]]
            groups = [group | {"params": [p for p in group["params"] if id(p) not in hidden]} for group in groups]
            groups = [group for group in groups if group["params"]]
        if kind == "sgd":
            optimiser = torch.optim.SGD(groups, lr=PEAK, momentum=0.9, nesterov=options["nesterov"], foreach=False)
        else:
            optimiser = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.999), eps=1e-8, foreach=False)
        optimisers = [optimiser]
        if matrices:
            optimisers.append(torch.optim.Muon(
                matrices, lr=PEAK, momentum=0.9, nesterov=options["nesterov"], adjust_lr_fn="match_rms_adamw"))
        schedulers = [schedule(course, each) for each in optimisers]
        ema = ModelEmaV3(model, decay=options["ema"]) if options["ema"] else None
        rates, norms = [], []
        top = max(range(len(optimiser.param_groups)), key=lambda i: optimiser.param_groups[i]["lr"])
        for step in range(STEPS):
            for name, parameter in model.named_parameters():
                parameter.grad = math.cos(0.3 * step) * first[name] + math.sin(0.5 * step) * second[name]
            rates.append(optimiser.param_groups[top]["lr"])
            limit = options["clip"] or 1e9
            norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), limit).item())
            for each in optimisers:
                each.step()
            for scheduler in schedulers:
                scheduler.step()
            if ema:
                ema.update(model)
        for name, parameter in model.named_parameters():
            tensors[f"{case}.{name}"] = parameter.data
        if ema:
            for name, parameter in ema.module.named_parameters():
                tensors[f"{case}.ema.{name}"] = parameter.data
        tensors[f"{case}-rates"] = torch.tensor(rates, dtype=torch.float64)
        tensors[f"{case}-norms"] = torch.tensor(norms, dtype=torch.float64)
        print(f"{case}: rates {rates[0]:.5f} ... {rates[-1]:.6f}")
    metadata = {"architecture": BASE, "model_args": json.dumps(TINY), "timm": timm.__version__, "torch": torch.__version__}
    save_file({key: value.contiguous() for key, value in tensors.items()}, FOLDER / "optimizers.safetensors", metadata=metadata)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (architecture, changes) in VARIANTS.items():
        gradients(name, architecture, changes)
    optimizers()


if __name__ == "__main__":
    main()
