#!/usr/bin/env python3
"""Make the part of Tests/Fixtures/models that model_fixtures.py does not: files of other libraries and projects.

    foreign_fixtures.py [--output Tests/Fixtures/models] [NAME...]

Google's and big_vision's `.npz`, torchvision, pytorch_pretrained_vit, the original DINO, DINOv2, MAE and DeiT, CLIP,
and more of Hugging Face. Each folder holds one checkpoint with the names and the layout of its own library, and
`expected.safetensors` as model_fixtures.py describes it, without embeddings and blocks. `expected-HxW.safetensors`
follows the rule by which that library resamples positions. Weights are rounded to few bits, so that the files are
small; the expected values are float32 results of the rounded weights.
"""

import argparse
import logging
import pathlib
import shutil
import tempfile
import zlib

import torch
import transformers

import foreign_clip
import foreign_google
import foreign_hugging_face
import foreign_torch
from model_fixtures import HERE, SEED, check_versions

MAKERS = foreign_google.MAKERS | foreign_torch.MAKERS | foreign_clip.MAKERS | foreign_hugging_face.MAKERS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=HERE.parents[1] / "Tests/Fixtures/models")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(MAKERS)}")
    options = parser.parse_args()
    if unknown := set(options.names) - set(MAKERS):
        parser.error(f"no such fixture: {', '.join(sorted(unknown))}")

    check_versions()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("timm").setLevel(logging.ERROR)

    total = 0
    for name in options.names or MAKERS:
        folder = options.output / name
        torch.manual_seed(SEED + zlib.crc32(name.encode()))
        with tempfile.TemporaryDirectory() as scratch:
            made = pathlib.Path(scratch) / name
            made.mkdir()
            MAKERS[name](made)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(made, folder)
        total += sum(path.stat().st_size for path in folder.rglob("*"))
    print(f"{total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
