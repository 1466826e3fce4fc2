"""Writes Tests/Fixtures/augmentation: parameters in, pixels out, by Pillow, torchvision and timm.

Needs the versions of requirements.txt beside this file:

    python scripts/reference/augmentation_fixtures.py

Each file is a safetensors file. Sources and results are tensors; the cases that name them, with their parameters, stand as JSON under
__metadata__. No case depends on anybody's random numbers: what chance decides is given.
"""

import json
import random
from pathlib import Path
from unittest import mock

import numpy as np
import PIL
import timm
import torch
import torchvision
from PIL import Image
from safetensors.numpy import save_file
from timm.data import mixup as timm_mixup
from timm.data.random_erasing import RandomErasing
from torchvision.transforms import AutoAugment, ColorJitter, InterpolationMode, RandAugment, TrivialAugmentWide
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import AutoAugmentPolicy, _apply_op

PINNED = {
    "pillow": (PIL.__version__, "13.0.0"),
    "numpy": (np.__version__, "2.4.6"),
    "torch": (torch.__version__.split("+")[0], "2.15.0"),
    "torchvision": (torchvision.__version__.split("+")[0], "0.29.2"),
    "timm": (timm.__version__, "1.0.31"),
}
for package, (found, wanted) in PINNED.items():
    if found != wanted:
        raise SystemExit(f"{package} {wanted} is needed, {found} is installed")

OUTPUT = Path(__file__).resolve().parents[2] / "Tests" / "Fixtures" / "augmentation"
MODES = {name: InterpolationMode(name) for name in ("nearest", "bilinear", "bicubic")}


def picture(width, height, seed):
    """Gradients, edges and noise, with colours of every hue. uint8 [height, width, 3]."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    channels = []
    for channel in range(3):
        value = 120 + 95 * np.sin(x / (4 + 3 * channel)) * np.cos(y / (7 - 2 * channel))
        value += 50 * ((x // 5 + y // 4 + channel) % 3 == 0)
        channels.append(value + generator.normal(0, 8, x.shape))
    return np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8)


SOURCES = {
    "photo": picture(24, 19, 1),
    "square": picture(16, 16, 2),
    "dull": (picture(13, 11, 3) // 4 + 90).astype(np.uint8),
    "flat": np.full((6, 7, 3), (10, 128, 250), np.uint8),
    "grey": np.repeat(picture(9, 12, 4)[..., :1], 3, -1),
    "tiny": picture(2, 2, 5),
    "line": picture(5, 1, 6),
    "noise": np.random.default_rng(7).integers(0, 256, (14, 17, 3), dtype=np.uint8),
}


def image(name):
    return Image.fromarray(SOURCES[name])


class Cases:
    """Tensors and the cases that name them."""

    def __init__(self, sources=()):
        self.tensors = {f"source.{name}": SOURCES[name] for name in sources}
        self.cases = []

    def add(self, result, **parameters):
        name = f"result.{len(self.cases)}"
        self.tensors[name] = np.ascontiguousarray(result)
        self.cases.append({"result": name, **parameters})

    def save(self, name, **metadata):
        metadata = {key: json.dumps(value) for key, value in metadata.items()}
        versions = json.dumps({package: wanted for package, (_, wanted) in PINNED.items()})
        save_file(
            self.tensors, OUTPUT / f"{name}.safetensors",
            {"versions": versions, "cases": json.dumps(self.cases), **metadata})


def operations():
    """Every operation of the policies, over its range and beyond."""
    cases = Cases(SOURCES)
    magnitudes = {
        "ShearX": [0.3, -0.99, 0.01], "ShearY": [-0.3, 0.66], "TranslateX": [3.9, -7.0, 30.0],
        "TranslateY": [-2.0, 5.5], "Brightness": [-0.99, -0.3, 0.47, 0.9], "Color": [-0.9, -0.123, 0.99],
        "Contrast": [-0.99, 0.31, 0.9], "Sharpness": [-0.9, -0.37, 0.99],
        "Posterize": [1, 2, 4, 7, 8], "Solarize": [0.0, 85.33, 128.0, 255.0],
        "AutoContrast": [0.0], "Equalize": [0.0], "Invert": [0.0], "Identity": [0.0],
    }
    moving = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"}
    for source in SOURCES:
        for op, values in magnitudes.items():
            for index, magnitude in enumerate(values):
                if source not in ("photo", "noise") and index > 0:
                    continue
                modes = list(MODES) if op in moving and source in ("photo", "tiny") else ["nearest"]
                for mode in modes:
                    fill = [255, 0, 128] if index % 2 else [0, 0, 0]
                    result = _apply_op(image(source), op, magnitude, MODES[mode], fill)
                    cases.add(
                        np.array(result), source=source, op=op, magnitude=magnitude, interpolation=mode, fill=fill)
    angles = [0.0, 90.0, 180.0, 270.0, -90.0, 450.0, 0.0173, -0.02, 30.0, -135.0, 133.7]
    for source in ("photo", "square", "tiny"):
        for index, angle in enumerate(angles):
            for mode in MODES if index >= 8 and source != "square" else ["nearest"]:
                fill = [7, 99, 201] if index % 2 else [0, 0, 0]
                result = F.rotate(image(source), angle, MODES[mode], fill=fill)
                cases.add(np.array(result), source=source, op="Rotate", magnitude=angle, interpolation=mode, fill=fill)
    for source in ("photo", "noise", "grey", "flat"):
        for hue in (-0.5, -0.1, 0.003, 0.25, 0.5):
            cases.add(np.array(F.adjust_hue(image(source), hue)), source=source, op="Hue", magnitude=hue)
    cases.save("operations")


def policies():
    """AutoAugment with given choices, the tables of all policies, and colour jitter in a given order."""
    cases = Cases(["photo", "noise"])
    generator = np.random.default_rng(11)
    subpolicies = {}
    for policy in AutoAugmentPolicy:
        augment = AutoAugment(policy)
        subpolicies[policy.value] = augment.policies
        for index in range(len(augment.policies)):
            source = ("photo", "noise")[index % 2]
            probabilities = generator.uniform(0, 1, 2).astype(np.float32) ** 3
            signs = generator.integers(0, 2, 2)
            choice = (index, torch.from_numpy(probabilities), torch.from_numpy(signs))
            with mock.patch.object(AutoAugment, "get_params", staticmethod(lambda count: choice)):
                result = augment(image(source))
            cases.add(
                np.array(result), source=source, policy=policy.value, subpolicy=index,
                chances=[float(p) for p in probabilities], negative=[bool(s == 0) for s in signs])
    for index, order in enumerate([[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]]):
        factors = [0.7 + 0.2 * index, 1.35 - 0.3 * index, 0.4 + 0.6 * index, [-0.2, 0.07, 0.5][index]]
        jitter = ColorJitter(1, 1, 1, 0.5)
        choice = (torch.tensor(order), *factors)
        with mock.patch.object(ColorJitter, "get_params", staticmethod(lambda *_: choice)):
            cases.add(np.array(jitter(image("photo"))), source="photo", order=order, factors=factors)
    tables = []
    for size in ((32, 32), (224, 224), (19, 24)):
        for name, augment, bins in (
            ("usual", AutoAugment(), 10), ("usual", RandAugment(), 31), ("wide", TrivialAugmentWide(), 31),
            ("usual", RandAugment(), 8)):
            space = augment._augmentation_space(*((bins,) if name == "wide" else (bins, size)))
            for op, (magnitudes, signed) in space.items():
                values = [float(m) for m in magnitudes] if magnitudes.ndim else None
                tables.append(dict(
                    table=name, size=size, bins=bins, op=op, signed=signed, magnitudes=values))
    drawn = list(RandAugment()._augmentation_space(31, (32, 32)))
    cases.save("policies", subpolicies=subpolicies, tables=tables, drawn=drawn)


def crops():
    """Padded crops, and random resized crops of given windows."""
    cases = Cases(["photo", "square", "line"])
    for source, padding, fill, mode, window in [
        ("photo", 4, 0, "constant", (0, 0, 16, 16)), ("photo", 4, (9, 200, 30), "constant", (7, 11, 20, 18)),
        ("photo", 4, 0, "edge", (1, 15, 16, 16)), ("photo", 6, 0, "reflect", (0, 0, 31, 36)),
        ("photo", 6, 0, "symmetric", (0, 0, 31, 36)), ("square", 0, 0, "constant", (0, 0, 16, 16)),
        ("line", 3, 0, "symmetric", (0, 0, 7, 11)), ("line", 3, 0, "edge", (0, 1, 7, 9)),
    ]:
        padded = F.pad(image(source), padding, fill, mode)
        cases.add(
            np.array(F.crop(padded, *window)), source=source, padding=padding,
            fill=list(fill) if fill else [0, 0, 0], mode=mode, window=window)
    for source, window, size in [
        ("photo", (2, 3, 11, 17), (14, 14)), ("photo", (0, 0, 19, 24), (8, 12)), ("square", (5, 1, 9, 9), (16, 16)),
        ("square", (0, 0, 16, 16), (16, 16)), ("photo", (4, 4, 14, 14), (14, 14)),
    ]:
        for mode in ("bilinear", "bicubic"):
            result = F.resized_crop(image(source), *window, size, MODES[mode])
            cases.add(np.array(result), source=source, window=window, size=size, interpolation=mode)
    generator = np.random.default_rng(12)
    rounded = []
    for _ in range(200):
        height, width = (int(v) for v in generator.integers(1, 400, 2))
        share, aspect = float(generator.uniform(0.01, 1)), float(np.exp(generator.uniform(-1.2, 1.2)))
        area = share * (height * width)
        rounded.append(dict(
            size=[height, width], share=share, aspect=aspect,
            crop=[int(round((area / aspect) ** 0.5)), int(round((area * aspect) ** 0.5))],
            erased=[int(round((area * aspect) ** 0.5)), int(round((area / aspect) ** 0.5))]))
    cases.save("crops", rounded=rounded)


def recipe():
    """The study's recipe on tensors, with what chance decides given; and its parts, further than the recipe goes."""
    cases = Cases(["photo", "square", "noise"])
    mean, std = [0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]
    for source, size, flips, angle, window in [
        ("noise", 24, True, 0.0199, (1, 2, 22, 22)), ("noise", 24, False, -0.02, (0, 1, 23, 23)),
        ("photo", 28, True, 0.011, (3, 0, 25, 25)), ("square", 20, False, 0.0, (0, 0, 20, 20)),
    ]:
        tensor = F.resize(F.to_tensor(image(source)), [size, size])
        tensor = F.hflip(tensor) if flips else tensor
        tensor = F.rotate(tensor, angle, InterpolationMode.NEAREST, fill=[0.0] * 3)
        tensor = F.resized_crop(tensor, *window, [size, size], InterpolationMode.BILINEAR, antialias=True)
        tensor = F.normalize(tensor, mean, std)
        cases.add(
            tensor.numpy(), kind="recipe", source=source, size=size, flips=flips, angle=angle, window=window,
            mean=mean, std=std)
    for source, angle in [("photo", 17.3), ("photo", -90.0), ("square", 45.0), ("square", 90.0), ("noise", 200.7)]:
        tensor = F.rotate(F.to_tensor(image(source)), angle, InterpolationMode.NEAREST, fill=[0.0] * 3)
        cases.add(tensor.numpy(), kind="rotate", source=source, angle=angle)
    for source, size, mode in [
        ("photo", (11, 9), "bilinear"), ("photo", (40, 31), "bilinear"), ("photo", (7, 33), "bicubic"),
        ("square", (16, 5), "bicubic"), ("noise", (1, 1), "bilinear"),
    ]:
        tensor = F.resize(F.to_tensor(image(source)), list(size), MODES[mode], antialias=True)
        cases.add(tensor.numpy(), kind="resize", source=source, size=size, interpolation=mode)
    cases.save("recipe")


def mixing():
    """timm's Mixup with what it drew, and the erasing of a given rectangle."""
    cases = Cases()
    classes = 5
    settings = [
        dict(mixup_alpha=0.8), dict(mixup_alpha=0, cutmix_alpha=1.0), dict(mixup_alpha=0.8, cutmix_alpha=1.0),
        dict(mixup_alpha=0, cutmix_minmax=(0.2, 0.8)), dict(mixup_alpha=0, cutmix_alpha=1.0, correct_lam=False),
        dict(mixup_alpha=0.5, cutmix_alpha=1.0, prob=0.5),
    ]
    for index, setting in enumerate(settings):
        for mode in ("batch", "pair", "elem"):
            seed = 100 * index + len(mode)
            np.random.seed(seed)
            pixels = np.random.default_rng(seed).normal(size=(6, 3, 7, 9)).astype(np.float32)
            labels = np.random.default_rng(seed + 1).integers(0, classes, 6)
            mixer = timm_mixup.Mixup(**setting, mode=mode, label_smoothing=0.1, num_classes=classes)
            drawn, boxes = [], []
            original_box = timm_mixup.cutmix_bbox_and_lam

            def box(*arguments, **keywords):
                found = original_box(*arguments, **keywords)
                boxes.append(([int(v) for v in found[0]], float(found[1])))
                return found

            def noting(function):
                def noted(*arguments):
                    parameters = function(*arguments)
                    drawn.append(tuple(np.copy(p) if isinstance(p, np.ndarray) else p for p in parameters))
                    return parameters
                return noted

            with mock.patch.object(timm_mixup, "cutmix_bbox_and_lam", box), \
                    mock.patch.object(mixer, "_params_per_batch", noting(mixer._params_per_batch)), \
                    mock.patch.object(mixer, "_params_per_elem", noting(mixer._params_per_elem)):
                mixed, targets = mixer(torch.from_numpy(pixels.copy()), torch.from_numpy(labels))
            lams, cuts = (np.atleast_1d(values) for values in drawn[0])
            mixes, remaining = [], list(boxes)
            for lam, cut in zip(lams, cuts):
                if lam != 1 and cut:
                    (top, bottom, left, right), lam = remaining.pop(0)
                    mixes.append(dict(**{"lambda": float(lam)}, box=[top, left, bottom - top, right - left]))
                else:
                    mixes.append({"lambda": float(lam)})
            if mode == "pair":
                mixes += mixes[::-1]
            name = len(cases.cases)
            cases.tensors[f"pixels.{name}"] = pixels
            cases.tensors[f"targets.{name}"] = targets.numpy().astype(np.float32)
            cases.add(
                mixed.numpy(), pixels=f"pixels.{name}", targets=f"targets.{name}", mode=mode, smoothing=0.1,
                labels=[int(v) for v in labels], mixes=mixes)
    boxes = []
    generator = np.random.default_rng(13)
    for _ in range(100):
        height, width = (int(v) for v in generator.integers(2, 50, 2))
        lam, y, x = float(generator.uniform()), int(generator.integers(height)), int(generator.integers(width))
        with mock.patch.object(np.random, "randint", side_effect=[y, x]):
            top, bottom, left, right = (int(v) for v in timm_mixup.rand_bbox((3, height, width), lam))
        boxes.append(dict(
            size=[height, width], center=[y, x], box=[top, left, bottom - top, right - left], **{"lambda": lam}))
    erasures = []
    for height, width, share, ratio, seed in [(24, 24, 0.1, 2.0, 1), (17, 31, 0.3, 0.4, 2), (32, 32, 0.02, 1.0, 3)]:
        pixels = torch.ones(3, height, width)
        random.seed(seed)
        with mock.patch.object(random, "random", return_value=0.0), \
                mock.patch.object(random, "uniform", side_effect=[share, float(np.log(ratio))]):
            RandomErasing(probability=1, mode="const", device="cpu")(pixels)
        rows, columns = np.nonzero(pixels[0].numpy() == 0)
        erasures.append(dict(
            size=[height, width], share=share, aspect=ratio,
            box=[int(rows.min()), int(columns.min()), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1]))
    cases.save("mixing", boxes=boxes, erasures=erasures)


def main():
    OUTPUT.mkdir(parents=True, exist_ok=True)
    operations()
    policies()
    crops()
    recipe()
    mixing()
    for path in sorted(OUTPUT.iterdir()):
        print(f"{path.stat().st_size:>9,}  {path.name}")


if __name__ == "__main__":
    main()
