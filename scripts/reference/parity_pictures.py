#!/usr/bin/env python3
"""The numbers behind Vitrine's pictures against timm, transformers and numpy, model by model. scripts/parity-pictures calls it.

The libraries run with fused attention off, on the tensors that Vitrine preprocesses (scripts/parity compares these); attributions are
torch's autograd. Bounds: probabilities and rollouts 1e-5, attributions 1e-4 of the largest, similarities of positions 1e-6.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import timm
import torch
import transformers

from attention_reference import FUSIONS, attribution, query, rollout, run_hugging_face, run_timm, stacked
from parity_models import MAKERS, random_model

DEFAULTS = ("vit_tiny_patch16_224", "vit_base_patch16_224", "deit_small_distilled_patch16_224", "hf_dinov2_small")
BOUNDS = {"probabilities": 1e-5, "rollout": 1e-5, "attribution": 1e-4, "positions": 1e-6}
SUFFIXES = {".jpg", ".jpeg", ".png"}


class Model:
    """A checkpoint folder as its library runs it."""

    def __init__(self, folder: pathlib.Path) -> None:
        config = (folder / "config.json").read_text()
        self.is_timm = '"architecture"' in config
        if self.is_timm:
            self.model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
            self.patch, self.prefix = self.model.patch_embed.patch_size, self.model.num_prefix_tokens
            self.has_class_token = self.model.cls_token is not None
            # Pools by attention have no backward pass in Vitrine.
            self.num_classes = self.model.num_classes if self.model.global_pool in ("token", "avg", "max", "avgmax") else 0
        else:
            settings = transformers.AutoConfig.from_pretrained(folder)
            kind = getattr(transformers, settings.architectures[0])
            self.model = kind.from_pretrained(folder, attn_implementation="eager").eval()
            self.patch = (settings.patch_size,) * 2
            self.prefix = 1 + getattr(settings, "num_register_tokens", 0) + ("deit" in settings.model_type)
            self.has_class_token = True
            # A head on more than the class token has no backward pass in Vitrine.
            is_plain = settings.model_type in ("vit", "deit") and hasattr(self.model, "classifier")
            self.num_classes = settings.num_labels if is_plain else 0

    def run(self, pixels: torch.Tensor):
        return (run_timm if self.is_timm else run_hugging_face)(self.model, pixels)

    def similarities(self) -> np.ndarray | None:
        """Cosine similarities [patches, patches] of the positions."""
        if self.is_timm:
            table, first = self.model.pos_embed, getattr(self.model, "no_embed_class", False)
        else:
            table, first = getattr(self.model.base_model.embeddings, "position_embeddings", None), False
        if table is None:
            return None
        patches = table[0, 0 if first else self.prefix_positions(table):].detach().double().numpy()
        unit = patches / np.linalg.norm(patches, axis=1, keepdims=True)
        return unit @ unit.T

    @staticmethod
    def prefix_positions(table: torch.Tensor) -> int:
        """What lies in front of a square grid."""
        return table.shape[1] - int(table.shape[1] ** 0.5) ** 2


class Comparison:
    def __init__(self, binary: pathlib.Path, folder: pathlib.Path, scratch: pathlib.Path) -> None:
        self.binary, self.folder, self.scratch = binary, folder, scratch
        self.worst: dict[str, float] = {}

    def call(self, command: str, *arguments: str | pathlib.Path) -> None:
        line = [self.binary, command, *arguments, "--model", self.folder]
        result = subprocess.run(list(map(str, line)), capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"vitrine {command} ended with status {result.returncode}:\n{result.stderr.strip()}")

    def array(self, photo: pathlib.Path, *options: str) -> np.ndarray:
        target = self.scratch / "maps"
        shutil.rmtree(target, ignore_errors=True)
        self.call("attention", photo, "--output", target, "--npy", *options)
        (path,) = target.glob("*.npy")
        return np.load(path)

    def note(self, what: str, found: np.ndarray, wanted: np.ndarray, scale: float = 1) -> None:
        if found.shape != wanted.shape:
            sys.exit(f"{self.folder}: {what} {list(found.shape)}, expected {list(wanted.shape)}")
        error = float(np.abs(found - wanted).max()) / scale
        self.worst[what] = max(self.worst.get(what, 0.0), error) if not np.isnan(error) else np.inf

    def photo(self, model: Model, photo: pathlib.Path) -> None:
        self.call("preprocess", photo, "--output", self.scratch / "tensor.npy")
        pixels = torch.from_numpy(np.load(self.scratch / "tensor.npy"))
        probabilities, logits = model.run(pixels)
        blocks = stacked(probabilities)
        grid = (pixels.shape[1] // model.patch[0], pixels.shape[2] // model.patch[1])
        weights = query(model.prefix, grid[0] * grid[1], model.has_class_token)

        def maps(rows: np.ndarray) -> np.ndarray:
            return rows[..., model.prefix:].reshape(*rows.shape[:-1], *grid)

        heads = np.stack(blocks)  # [layers, heads, N, N]
        self.note("probabilities", self.array(photo, "--style", "grid"), maps(weights @ heads))
        row, column = grid[0] // 3, grid[1] - 2
        place = f"{row},{column}"
        wanted = maps(heads[:, :, model.prefix + row * grid[1] + column])
        self.note("probabilities", self.array(photo, "--style", "grid", "--query", place), wanted)
        for fusion in FUSIONS:
            found = self.array(photo, "--method", "rollout", "--fusion", fusion)
            self.note("rollout", found, maps(rollout(blocks, weights, fusion, 0, model.has_class_token)))
        if not model.num_classes:
            return
        for label in (1, model.num_classes - 1):
            wanted = maps(attribution(probabilities, logits, label, weights))
            found = self.array(photo, "--class", str(label))
            self.note("attribution", found, wanted, np.abs(wanted).max())

    def positions(self, model: Model) -> None:
        wanted = model.similarities()
        if wanted is None:
            return
        self.call("positions", "--output", self.scratch / "p.png", "--npy", self.scratch / "p.npy")
        found = np.load(self.scratch / "p.npy")
        self.note("positions", found.reshape(found.shape[0] * found.shape[1], -1), wanted)


def compare(name: str, folder: pathlib.Path, binary: pathlib.Path, photos: list[pathlib.Path]) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        comparison = Comparison(binary, folder, pathlib.Path(scratch))
        model = Model(folder)
        for photo in photos:
            comparison.photo(model, photo)
        comparison.positions(model)
    good = all(error <= BOUNDS[what] for what, error in comparison.worst.items())  # false for NaN
    cells = " ".join(f"{comparison.worst[what]:13.1e}" if what in comparison.worst else f"{'-':>13}" for what in BOUNDS)
    print(f"{name:36} {cells}  {'ok' if good else 'BROKEN'}", flush=True)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vitrine", type=pathlib.Path, required=True)
    parser.add_argument("--photos", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="where models with random weights are kept")
    parser.add_argument("--models", help="architectures of timm, or of these, separated by commas: " + ", ".join(MAKERS))
    parser.add_argument("--limit", type=int, default=3, metavar="N", help="the first N photos only (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="CHECKPOINT_FOLDER")
    options = parser.parse_args()
    photos = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in SUFFIXES)[: options.limit]
    if not photos:
        parser.error(f"no photos in {options.photos}")
    names = options.models.split(",") if options.models else [] if options.folders else list(DEFAULTS)
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    print(f"{len(photos)} photos of {options.photos}; torch {torch.__version__}, timm {timm.__version__},"
          f" transformers {transformers.__version__}")  # fmt: skip
    print(f"{'model':36} " + " ".join(f"{what:>13}" for what in BOUNDS))
    good = True
    for name in names:
        good &= compare(name, random_model(name, options.cache), options.vitrine, photos)
    for folder in options.folders:
        good &= compare(folder.resolve().name, folder, options.vitrine, photos)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
