#!/usr/bin/env python3
"""Vitrine's training against PyTorch's over timm's model, step by step. scripts/parity-training calls it."""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from timm.models.vision_transformer import checkpoint_filter_fn
from timm.optim import param_groups_weight_decay

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = 223
# At 1e-3 from the first step on, training is chaotic: what two orders of summation differ by grows tenfold every four steps.
LEARNING_RATE = 3e-4
# Fine-tuning at another size than the checkpoint's: its positions are resampled by both.
CHECKPOINT_SIZES = {"setting2": 224}

# Networks, each with the batch it is trained with.
SETTINGS = {
    "small": ("vit_tiny_patch16_224", {
        "img_size": 32, "patch_size": 4, "embed_dim": 192, "depth": 6, "num_heads": 3, "class_token": False, "global_pool": "avg",
        "fc_norm": False}, 64),
    "setting1": ("vit_base_patch16_224", {"img_size": 72, "patch_size": 6}, 16),
    "setting2": ("vit_base_patch16_224", {"img_size": 384}, 8),
    "tiny224": ("vit_tiny_patch16_224", {"img_size": 224}, 8),
}


class Philox:
    """CounterRandom of Sources/Training: Philox4x32-10 with a key that the place makes."""

    def __init__(self, seed: int, stream: int, *position: int):
        key = (seed & 0xFFFFFFFF, seed >> 32)
        for depth, coordinate in enumerate((stream, *position)):
            block = self.rounds((coordinate & 0xFFFFFFFF, coordinate >> 32, depth, 0xFFFFFFFF), key)
            key = (block[0], block[1])
        self.key, self.counter, self.words = key, 0, []

    @staticmethod
    def rounds(x: tuple, key: tuple) -> tuple:
        k0, k1 = key
        for _ in range(10):
            a, b = x[0] * 0xD2511F53, x[2] * 0xCD9E8D57
            x = ((b >> 32) ^ x[1] ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ x[3] ^ k1, a & 0xFFFFFFFF)
            k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
        return x

    def next(self) -> int:
        if not self.words:
            block = self.rounds((self.counter & 0xFFFFFFFF, self.counter >> 32, 0, 0), self.key)
            self.counter += 1
            self.words = [block[1] << 32 | block[0], block[3] << 32 | block[2]]
        return self.words.pop(0)

    def below(self, bound: int) -> int:
        """Swift's Int.random(in:using:): Lemire's method."""
        product = self.next() * bound
        if product & (2**64 - 1) < bound:
            threshold = (2**64 - bound) % bound
            while product & (2**64 - 1) < threshold:
                product = self.next() * bound
        return product >> 64


def order(count: int, epoch: int) -> list[int]:
    """EpochOrder of Sources/Training."""
    random = Philox(SEED, 0x6F72646572, epoch)
    result = list(range(count))
    for index in range(count - 1, 0, -1):
        other = random.below(index + 1)
        result[index], result[other] = result[other], result[index]
    return result


def load(folder: pathlib.Path, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = [], []
    for label, name in enumerate(sorted(path.name for path in folder.iterdir() if path.is_dir())):
        for path in sorted((folder / name).iterdir()):
            with Image.open(path) as image:
                image = image.convert("RGB")
                if size != 32:
                    image = image.resize((size, size), Image.BILINEAR)
                images.append(np.asarray(image))
            labels.append(label)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.tensor(labels)


def subset(data: pathlib.Path, target: pathlib.Path, per_class: int) -> None:
    """Links to the first images of each class, so that both sides see the same few."""
    for split, count in (("train", per_class), ("test", 2)):
        for folder in sorted(path for path in (data / split).iterdir() if path.is_dir()):
            (target / split / folder.name).mkdir(parents=True)
            for path in sorted(folder.iterdir())[:count]:
                (target / split / folder.name / path.name).symlink_to(path.resolve())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--setting", choices=SETTINGS, default="small")
    parser.add_argument("--bf16", action="store_true", help="torch under autocast to bfloat16")
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--precision", help="Vitrine's precision of products")
    parser.add_argument("--show", type=int, default=10, help="steps between two lines")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    architecture, arguments, batch_size = SETTINGS[options.setting]
    size = arguments["img_size"]
    arguments = {**arguments, "num_classes": 10}
    samples = batch_size * options.accumulation
    per_class = min(5000, -(-options.steps * samples // 10))

    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        subset(options.data, folder / "data", per_class)
        checkpoint_size = CHECKPOINT_SIZES.get(options.setting, size)
        checkpoint_arguments = {**arguments, "img_size": checkpoint_size}
        weights = timm.create_model(architecture, pretrained=False, **checkpoint_arguments).state_dict()
        start = folder / "start"
        start.mkdir()
        save_file({k: v.contiguous() for k, v in weights.items()}, start / "model.safetensors", metadata={"format": "pt"})
        model = timm.create_model(architecture, pretrained=False, **arguments)
        model.load_state_dict(checkpoint_filter_fn(weights, model))
        (start / "config.json").write_text(json.dumps({
            "architecture": architecture, "num_classes": 10, "global_pool": arguments.get("global_pool", "token"),
            "model_args": checkpoint_arguments,
            "pretrained_cfg": {"input_size": [3, checkpoint_size, checkpoint_size], "interpolation": "bilinear", "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3}}))
        config = {
            "version": 1, "epochs": 1000, "batch_size": batch_size, "accumulation": options.accumulation, "seed": SEED, "log_every": 1,
            "augmentation": [] if size == 32 else [{"resize": {}}],
            "optimizer": {"kind": "adamw", "learning_rate": LEARNING_RATE, "weight_decay": 0.05, "clip_norm": 1.0},
            "schedule": {"kind": "cosine", "warm_up_epochs": 0}}
        if checkpoint_size != size:
            config["model"] = {"model_args": {"img_size": size}}
        if options.precision:
            config["precision"] = options.precision
        steps_per_epoch = 10 * per_class // samples
        config["epochs"] = -(-options.steps // steps_per_epoch)
        total = config["epochs"] * steps_per_epoch
        (folder / "config.json").write_text(json.dumps(config))
        command = [
            str(ROOT / ".build/release/vitrine"), "train", "--config", str(folder / "config.json"), "--data", str(folder / "data"),
            "--output", str(folder / "run"), "--from", str(start), "--threads", str(options.threads), "--quiet"]
        subprocess.run(command, check=True, stdout=sys.stderr)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        lines = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
        ours = [line for line in lines if line["kind"] == "step"][:options.steps]

        pixels, labels = load(folder / "data/train", size)
    groups = param_groups_weight_decay(model, weight_decay=0.05, no_weight_decay_list=model.no_weight_decay())
    optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
    model.train()
    largest, seconds, epoch, batches = 0.0, [], 0, []
    for step in range(options.steps):
        if not batches:
            places = order(len(labels), epoch)
            batches = [places[i:i + batch_size] for i in range(0, steps_per_epoch * samples, batch_size)]
            epoch += 1
        started = time.perf_counter()
        optimiser.zero_grad()
        loss = 0.0
        for _ in range(options.accumulation):
            index = torch.tensor(batches.pop(0))
            with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
                logits = model(pixels[index].float().div(255).sub(0.5).div(0.5))
            part = F.cross_entropy(logits.float(), labels[index]) / options.accumulation
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        scheduler.step()
        seconds.append(time.perf_counter() - started)
        difference = abs(loss - ours[step]["train_loss"])
        largest = max(largest, difference)
        if step % options.show == 0 or step == options.steps - 1:
            print(f"step {step + 1:4d}  torch {loss:.6f}  vitrine {ours[step]['train_loss']:.6f}  difference {difference:.2e}")
    # The median step: what else the machine does at times disturbs either.
    torch_rate = samples / float(np.median(seconds))
    our_rate = float(np.median([line["images_per_second"] for line in ours]))
    print(f"largest difference of the losses in {options.steps} steps: {largest:.2e}")
    print(f"images/s, {options.threads} threads: torch {torch.__version__}{' bf16' if options.bf16 else ''} {torch_rate:.1f}, "
          f"vitrine {our_rate:.1f}, {our_rate / torch_rate:.2f} x")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory: torch {own / 1024:.0f} MiB (with the images), vitrine {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
