#!/usr/bin/env python3
"""Compare Vitrine with other libraries: preprocessed tensors, logits (or features) and top-1, model by model.

    parity.py --vitrine .build/release/vitrine --photos DIR --cache DIR [--models a,b] [--architecture NAME]...
        [--schemes] [--limit N] [--discard] [CHECKPOINT_FOLDER...]

NAME is an architecture of timm, or LIBRARY:MODEL: a file as another library publishes it (parity_schemes.py has the list).
Each photo is decoded by Pillow, preprocessed by the library's own transform (timm's and Hugging Face's are checked against
Pillow and numpy in float32), and run by the library; Vitrine is run on the same files. Bounds: tensors 1 unit in the last
place, logits 1e-4 (features, or image embeddings, without a head: 1e-4 too), top-1 the same for every photo. A broken bound
ends in exit status 1.
"""

import argparse
import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import timm
import torch
import transformers

from parity_models import DEFAULTS, MAKERS, kept, random_model
from parity_reference import Reference, UnknownModel, decode, load_folder
from parity_schemes import ALL, scheme

ULP_BOUND = 1
LOGIT_BOUND = 1e-4
SUFFIXES = {".jpg", ".jpeg", ".png"}
COLUMNS = 44  # of a model's name


# --- Vitrine -----------------------------------------------------------------------------------------------------


@dataclass
class Vitrine:
    binary: pathlib.Path
    model: pathlib.Path
    size: int | None
    told: tuple[str, ...] = ()

    def call(self, command: str, paths: list[pathlib.Path], *options: str | pathlib.Path) -> None:
        line = [self.binary, command, *paths, "--model", self.model, *options]
        if self.size:
            line += ["--size", str(self.size)]
        line += self.told
        result = subprocess.run(list(map(str, line)), capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"vitrine {command} ended with status {result.returncode}:\n{result.stderr.strip()}")

    def preprocess(self, path: pathlib.Path, scratch: pathlib.Path) -> np.ndarray:
        self.call("preprocess", [path], "--output", scratch / "tensor.npy")
        return np.load(scratch / "tensor.npy")

    def classify(self, paths: list[pathlib.Path], scratch: pathlib.Path) -> tuple[np.ndarray, list[int]]:
        results = scratch / "results.jsonl"
        self.call("classify", paths, "--logits", scratch / "logits.npy", "--format", "jsonl", "--output", results, "--quiet")
        rows = [json.loads(line) for line in results.read_text().splitlines()]
        if [row["path"] for row in rows] != list(map(str, paths)):
            sys.exit("vitrine classify: results are not in the order of the inputs")
        return np.load(scratch / "logits.npy"), [row["predictions"][0]["index"] for row in rows]

    def embed(self, paths: list[pathlib.Path], tokens: str | None, scratch: pathlib.Path) -> np.ndarray:
        selection = ["--tokens", tokens] if tokens else []
        self.call("embed", paths, *selection, "--output", scratch / "features.npy", "--quiet")
        return np.load(scratch / "features.npy")


# --- Comparison --------------------------------------------------------------------------------------------------


def ulps(a: np.ndarray, b: np.ndarray) -> int:
    """The largest distance in units in the last place; NaN counts as infinitely far."""
    if np.isnan(a).any() or np.isnan(b).any():
        return 2**32
    ordered = lambda x: (lambda bits: np.where(bits < 0, -(bits & 0x7FFFFFFF), bits))(
        np.ascontiguousarray(x, np.float32).view(np.int32).astype(np.int64)
    )
    return int(np.abs(ordered(a) - ordered(b)).max())


def same_shape(name: str, a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.dtype != b.dtype:
        sys.exit(f"{name}: vitrine wrote {a.dtype} {list(a.shape)}, expected {b.dtype} {list(b.shape)}")


def compare(name: str, reference: Reference, vitrine: Vitrine, photos: list[pathlib.Path]) -> bool:
    """Prints one row of the table; False when a bound is broken."""
    with tempfile.TemporaryDirectory() as temporary, torch.inference_mode():
        scratch = pathlib.Path(temporary)
        expected, difference, distance = [], 0.0, 0
        for path in photos:
            image = decode(path, reference.channels)
            tensor = reference.library_preprocess(image)
            if reference.preprocess and ulps(reference.preprocess(image), tensor) > ULP_BOUND:
                sys.exit(f"{name}: {path.name}: the library preprocesses otherwise than this script")
            expected.append(reference.run(torch.from_numpy(tensor).unsqueeze(0))[0].numpy())
            actual = vitrine.preprocess(path, scratch)
            same_shape(name, actual, tensor)
            difference = max(difference, float(np.abs(actual - tensor).max()))
            distance = max(distance, ulps(actual, tensor))
        wanted = np.stack(expected)
        top1 = "-"
        agreed = len(photos)
        if reference.has_head:
            found, best = vitrine.classify(photos, scratch)
            agreed = int((np.asarray(best) == wanted.argmax(axis=1)).sum())
            top1 = f"{agreed} of {len(photos)}"
        else:
            found = vitrine.embed(photos, reference.tokens, scratch)
        same_shape(name, found, wanted)
        error = float(np.abs(found - wanted).max())

    good = distance <= ULP_BOUND and error <= LOGIT_BOUND and agreed == len(photos)  # false for NaN
    what = "logits" if reference.has_head else "features"
    print(
        f"{name:{COLUMNS}} {difference:10.1e} {distance:5} {what:>9} {error:9.1e} {wanted.std(axis=1).mean():7.2f}"
        f" {top1:>9}  {'ok' if good else 'BROKEN'}",
        flush=True,
    )
    return good


def split_size(name: str) -> tuple[str, int | None]:
    base, _, size = name.partition("@")
    return base, int(size) if size else None


def load_named(name: str, cache: pathlib.Path, binary: pathlib.Path) -> tuple[Reference, Vitrine]:
    """A model with random weights, which is made where it is not in the cache."""
    base, size = split_size(name)
    if ":" not in base:
        folder = random_model(base, cache)
        return load_folder(folder, size), Vitrine(binary, folder, size)
    known = scheme(base)
    folder = kept(base, cache, known.make)
    model = folder / known.file if known.file else folder
    return known.load(folder, size), Vitrine(binary, model, size, known.told)


def check_architecture(name: str) -> str | None:
    """What is wrong with a NAME; None where nothing is."""
    base, _ = split_size(name)
    if ":" not in base:
        return None if timm.is_model(base) else f"timm {timm.__version__} has no architecture {base}"
    try:
        scheme(base)
    except UnknownModel as error:
        return f"no model {base} ({error})"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vitrine", type=pathlib.Path, required=True)
    parser.add_argument("--photos", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="where models with random weights are kept")
    parser.add_argument("--models", help=f"of these, separated by commas, at another size as NAME@SIZE: {', '.join(MAKERS)}")
    parser.add_argument(
        "--architecture", action="append", default=[], metavar="NAME",
        help="of timm, also NAME.TAG or NAME@SIZE; or LIBRARY:MODEL, such as google:ViT-B_16",
    )  # fmt: skip
    parser.add_argument("--schemes", action="store_true", help=f"these: {', '.join(ALL)}")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N photos only")
    parser.add_argument("--discard", action="store_true", help="delete each model made after its row")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="CHECKPOINT_FOLDER")
    options = parser.parse_args()

    nothing_named = not (options.models or options.architecture or options.schemes or options.folders)
    names = options.models.split(",") if options.models else list(DEFAULTS) if nothing_named else []
    if unknown := [name for name in names if split_size(name)[0] not in MAKERS]:
        parser.error(f"no such model: {', '.join(unknown)} (known: {', '.join(MAKERS)})")
    if wrong := [reason for reason in map(check_architecture, options.architecture) if reason]:
        parser.error("; ".join(wrong))
    names += options.architecture + (list(ALL) if options.schemes else [])
    photos = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in SUFFIXES)[: options.limit]
    if not photos:
        parser.error(f"no photos in {options.photos}")
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    logging.getLogger().setLevel(logging.ERROR)  # open_clip: a model without trained weights
    warnings.filterwarnings("ignore", message=".*torch.jit")  # what OpenAI published is traced
    transformers.utils.logging.disable_progress_bar()

    print(f"{len(photos)} photos of {options.photos}; torch {torch.__version__}, timm {timm.__version__},"
          f" transformers {transformers.__version__}")  # fmt: skip
    print(f"{'model':{COLUMNS}} {'tensors':>10} {'ulps':>5} {'compared':>9} {'error':>9} {'spread':>7} {'top-1':>9}")
    good = True
    told = {}
    for name in names:
        reference, vitrine = load_named(name, options.cache, options.vitrine)
        if vitrine.told:
            told[name] = " ".join(vitrine.told)
        good &= compare(name + "*" * (name in told), reference, vitrine, photos)
        if options.discard:
            shutil.rmtree(options.cache / split_size(name)[0])
    for folder in options.folders:
        vitrine = Vitrine(options.vitrine, folder, None)
        good &= compare(folder.resolve().name, load_folder(folder, None), vitrine, photos)
    for name, option in told.items():
        print(f"* {name}: {option}, which the file cannot tell")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
