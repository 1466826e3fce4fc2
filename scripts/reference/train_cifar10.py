#!/usr/bin/env python3
"""Train the sample CIFAR-10 model (samples/models/cifar10) with PyTorch and timm.

    train_cifar10.py --data cifar10/ --run run/ [--epochs 14] [--export samples/models/cifar10]

`--data` holds train/CLASS/*.jpg and test/CLASS/*.jpg. The run folder keeps a checkpoint after each epoch, from which a
stopped run continues. The recipe: Muon for the matrices of the blocks and AdamW for the rest, random crops and flips,
half of the patches dropped in all but the last epochs (less work for each image, and a regulariser), attention
initialised to look like a trained one's (Trockman and Kolter, arXiv 2305.09828).
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

ARCHITECTURE = dict(
    img_size=32, patch_size=4, embed_dim=192, depth=6, num_heads=6, num_classes=10,
    global_pool="avg", class_token=False, fc_norm=False,
)
MEAN = STD = (0.5, 0.5, 0.5)


def load_split(folder: pathlib.Path) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """uint8 images [count, 3, 32, 32], labels [count], class names in index order."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    images, labels = [], []
    for index, name in enumerate(classes):
        for path in sorted((folder / name).iterdir()):
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("RGB")))
            labels.append(index)
    stacked = np.stack(images).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(stacked)), torch.tensor(labels), classes


def normalise(images: torch.Tensor) -> torch.Tensor:
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    return (images.float() / 255 - mean) / std


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random 32x32 crops of the images padded by 4 reflected pixels, half of them flipped."""
    count = images.shape[0]
    padded = F.pad(images.float(), (4, 4, 4, 4), mode="reflect").to(torch.uint8)
    top = torch.randint(0, 9, (count, 1, 1), generator=generator)
    left = torch.randint(0, 9, (count, 1, 1), generator=generator)
    flip = torch.rand((count, 1, 1), generator=generator) < 0.5
    rows = (top + torch.arange(32).view(1, 32, 1)).expand(count, 32, 32)
    columns = torch.arange(32).view(1, 1, 32)
    columns = (left + torch.where(flip, 31 - columns, columns)).expand(count, 32, 32)
    batch = torch.arange(count).view(count, 1, 1)
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)


def initialise(model: VisionTransformer) -> None:
    """Mimetic attention weights and sine-cosine positions; the model may change both."""
    dim = ARCHITECTURE["embed_dim"]
    heads = ARCHITECTURE["num_heads"]
    size = dim // heads
    for block in model.blocks:
        qkv, projection = block.attn.qkv.weight.data, block.attn.proj.weight.data
        for head in range(heads):
            target = 0.7 * torch.eye(dim) + 0.7 * torch.randn(dim, dim) / math.sqrt(dim)
            u, s, vt = torch.linalg.svd(target)
            root = s[:size].sqrt().unsqueeze(1)
            qkv[head * size:(head + 1) * size] = u[:, :size].T * root
            qkv[dim + head * size:dim + (head + 1) * size] = vt[:size] * root
        target = 0.4 * torch.randn(dim, dim) / math.sqrt(dim) - 0.4 * torch.eye(dim)
        u, s, vt = torch.linalg.svd(target)
        qkv[2 * dim:] = s.sqrt().unsqueeze(1) * vt
        projection[:] = u * s.sqrt().unsqueeze(0)
    side = ARCHITECTURE["img_size"] // ARCHITECTURE["patch_size"]
    frequency = 1 / 100 ** (torch.arange(dim // 4) / (dim // 4))
    angle = torch.arange(side).unsqueeze(1) * frequency
    axis = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows = axis.unsqueeze(1).expand(side, side, -1)
    columns = axis.unsqueeze(0).expand(side, side, -1)
    model.pos_embed.data = torch.cat([rows, columns], dim=2).reshape(1, side * side, dim) * 0.5


def forward(model: VisionTransformer, images: torch.Tensor, keep: float, generator: torch.Generator) -> torch.Tensor:
    """timm's forward pass with a share of the patches dropped after the positions are added."""
    x = model.patch_embed(images) + model.pos_embed
    if keep < 1:
        count, tokens, dim = x.shape
        order = torch.rand((count, tokens), generator=generator).argsort(dim=1)[:, :int(tokens * keep)]
        x = x.gather(1, order.unsqueeze(2).expand(-1, -1, dim))
    return model.forward_head(model.norm(model.blocks(x)))


@torch.no_grad()
def evaluate(model: VisionTransformer, images: torch.Tensor, labels: torch.Tensor) -> float:
    model.eval()
    right = 0
    for start in range(0, len(labels), 250):
        logits = model(normalise(images[start:start + 250]))
        right += (logits.argmax(dim=1) == labels[start:start + 250]).sum().item()
    model.train()
    return right / len(labels)


def export(model: VisionTransformer, classes: list[str], folder: pathlib.Path) -> None:
    """Half-precision weights and a timm config.json with labels."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.to(torch.float16).contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": len(classes),
        "num_features": ARCHITECTURE["embed_dim"],
        "global_pool": ARCHITECTURE["global_pool"],
        "label_names": classes,
        "model_args": ARCHITECTURE,
        "pretrained_cfg": {
            "num_classes": len(classes), "input_size": [3, 32, 32], "fixed_input_size": True, "interpolation": "bicubic",
            "crop_pct": 1.0, "crop_mode": "center", "mean": list(MEAN), "std": list(STD),
            "first_conv": "patch_embed.proj", "classifier": "head",
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--run", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--full-epochs", type=int, default=2, help="last epochs in which no patch is dropped")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export", type=pathlib.Path)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(223)
    options.run.mkdir(parents=True, exist_ok=True)
    train_images, train_labels, classes = load_split(options.data / "train")
    test_images, test_labels, _ = load_split(options.data / "test")

    model = VisionTransformer(**ARCHITECTURE)
    initialise(model)
    for block in model.blocks:
        block.attn.fused_attn = False  # twice as fast as the fused kernel's backward pass at 32 tokens on a CPU
    matrices = [p for name, p in model.named_parameters() if name.startswith("blocks.") and p.ndim == 2]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in known]
    optimisers = [
        torch.optim.Muon(matrices, lr=3e-3, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=2e-3, weight_decay=0.0, betas=(0.9, 0.95)),
    ]
    steps = len(train_labels) // options.batch_size
    total = steps * options.epochs
    warm_up = 300
    peaks = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]

    first_epoch = 0
    checkpoint = options.run / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimiser, saved in zip(optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)
        first_epoch = state["epoch"] + 1

    for epoch in range(first_epoch, options.epochs):
        generator = torch.Generator().manual_seed(223 + epoch)
        order = torch.randperm(len(train_labels), generator=generator)
        keep = 0.5 if epoch < options.epochs - options.full_epochs else 1.0
        started, losses = time.time(), 0.0
        for step in range(steps):
            done = epoch * steps + step
            scale = min(1.0, (done + 1) / warm_up) * max(0.0, 1 - done / total)
            for optimiser, peak in zip(optimisers, peaks):
                optimiser.param_groups[0]["lr"] = peak * scale
            index = order[step * options.batch_size:(step + 1) * options.batch_size]
            images = normalise(augment(train_images[index], generator))
            with torch.autocast("cpu", torch.bfloat16):
                logits = forward(model, images, keep, generator)
            loss = F.cross_entropy(logits.float(), train_labels[index], label_smoothing=0.05)
            for optimiser in optimisers:
                optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(others, 1.0)
            for optimiser in optimisers:
                optimiser.step()
            losses += loss.item()
            if step % 50 == 0:
                print(f"  epoch {epoch} step {step} loss {loss.item():.4f} {time.time() - started:.0f} s", flush=True)
        accuracy = evaluate(model, test_images, test_labels)
        row = {"epoch": epoch, "loss": losses / steps, "test_top1": accuracy, "seconds": time.time() - started}
        print(json.dumps(row), flush=True)
        with open(options.run / "metrics.jsonl", "a") as metrics:
            metrics.write(json.dumps(row) + "\n")
        torch.save(
            {"model": model.state_dict(), "optimisers": [o.state_dict() for o in optimisers], "epoch": epoch},
            checkpoint.with_suffix(".tmp"),
        )
        checkpoint.with_suffix(".tmp").rename(checkpoint)

    if options.export:
        for parameter in model.parameters():
            parameter.data = parameter.data.to(torch.float16).float()
        print(f"test top-1 of the exported weights: {evaluate(model, test_images, test_labels):.4f}")
        export(model, classes, options.export)


if __name__ == "__main__":
    main()
