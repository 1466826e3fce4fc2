#!/usr/bin/env python3
"""Write what tensors each of timm's Vision Transformers has, for the test of the models that Vitrine makes up.

    timm_tensors.py [--output Tests/Fixtures/timm-tensors.json]

For each architecture: the number of tensors, the number of their elements, and the 64-bit FNV-1a hash of one line for each
tensor, sorted by name: the name and the sizes, separated by spaces. Models are built on the meta device: nothing is computed.
"""

import argparse
import json
import pathlib
import warnings

import timm
import torch

from parity_inspect import names

HERE = pathlib.Path(__file__).parent


def fnv1a(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def describe(name: str) -> dict:
    with torch.device("meta"):
        tensors = timm.create_model(name).state_dict()
    lines = [" ".join([key, *map(str, tensor.shape)]) + "\n" for key, tensor in sorted(tensors.items())]
    elements = sum(tensor.numel() for tensor in tensors.values())
    return {"tensors": len(tensors), "elements": elements, "hash": f"{fnv1a(''.join(lines)):016x}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=HERE.parents[1] / "Tests/Fixtures/timm-tensors.json")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = [f"{json.dumps(name)}: {json.dumps(describe(name))}" for name in names()]
    options.output.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
