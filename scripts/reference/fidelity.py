#!/usr/bin/env python3
"""How near the reduced precisions are to float32: `vitrine embed` in each, on the same photos.

    fidelity.py MODEL --photos DIR [--vitrine .build/release/vitrine] [--precisions bf16 int8] [--size 224]

For each precision the cosine of the class token's features and of the patches' to float32's: mean and least over the
photos for the class token; for the patches the mean over all, and the least mean of one photo. With a head, also how
many photos keep their most probable class.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np


def run(binary: pathlib.Path, command: str, *arguments: object) -> np.ndarray:
    output = arguments[-1]
    result = subprocess.run(
        [str(part) for part in (binary, command, *arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if result.returncode != 0:
        sys.exit(f"vitrine {command} ended with status {result.returncode}:\n{result.stderr.strip()}")
    return np.load(output)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--photos", type=pathlib.Path, required=True)
    parser.add_argument("--vitrine", type=pathlib.Path, default=pathlib.Path(".build/release/vitrine"))
    parser.add_argument("--precisions", nargs="+", default=["bf16", "int8"])
    parser.add_argument("--size", default="224")
    parser.add_argument("--prefix-tokens", type=int, default=1, help="class and register tokens in front of the patches")
    parser.add_argument("--head", action="store_true", help="compare the most probable classes, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        target = pathlib.Path(scratch) / "array.npy"
        shared = (options.photos, "--model", options.model, "--size", options.size, "--quiet")

        def features(precision: str) -> np.ndarray:
            return run(
                options.vitrine, "embed", *shared, "--tokens", "all", "--precision", precision, "--output", target
            )

        def classes(precision: str) -> np.ndarray:
            return run(options.vitrine, "classify", *shared, "--precision", precision, "--logits", target).argmax(-1)

        exact = features("fp32")
        best = classes("fp32") if options.head else None
        print(f"{len(exact)} photos        class: mean     least   patches: mean     least")
        for precision in options.precisions:
            found = features(precision)
            tokens = cosines(found, exact)
            patches = tokens[:, options.prefix_tokens :].mean(axis=1)
            line = f"{precision:15}  {tokens[:, 0].mean():12.5f} {tokens[:, 0].min():9.5f}"
            line += f" {patches.mean():15.5f} {patches.min():9.5f}"
            if best is not None:
                line += f"   same class {(classes(precision) == best).sum()} of {len(best)}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
