#!/usr/bin/env python3
"""Check that docs/int8-format.md says all: what dequantize.py, which knows nothing else, makes of quantised files is what `vitrine
convert` makes of them.

    parity_quantized.py MODEL --calibration DIR [--vitrine .build/release/vitrine]

MODEL is a folder of floats. Exit status 1: a weight differs by more than one unit in the last place of float32.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file

SCHEMES = [("w8a8",), ("w8a8-static",), ("w8",), ("w4", "--group-size", "64"), ("w4", "--group-size", "32")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--calibration", type=pathlib.Path, required=True)
    parser.add_argument("--vitrine", type=pathlib.Path, default=pathlib.Path(".build/release/vitrine"))
    options = parser.parse_args()
    script = pathlib.Path(__file__).with_name("dequantize.py")
    is_broken = False
    for scheme in SCHEMES:
        with tempfile.TemporaryDirectory() as scratch:
            quantised, floats, read = (pathlib.Path(scratch) / name for name in ("quantised", "floats", "read.safetensors"))
            for command in (
                [options.vitrine, "quantize", options.model, "--calibration", options.calibration, "--scheme", *scheme,
                 "--output", quantised, "--quiet"],
                [options.vitrine, "convert", quantised, "--dtype", "f32", "--output", floats],
                [sys.executable, script, quantised / "model.safetensors", read],
            ):
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            found, wanted = load_file(floats / "model.safetensors"), load_file(read)
            assert found.keys() == wanted.keys(), set(found) ^ set(wanted)
            most = 0.0
            for name, values in wanted.items():
                assert found[name].shape == values.shape, (name, found[name].shape, values.shape)
                assert np.isfinite(found[name]).all() and np.isfinite(values).all(), name
                units = np.abs(found[name] - values) / np.spacing(np.abs(values) + np.float32(1e-30))
                most = max(most, float(units.max(initial=0)))
            is_broken |= most > 1
            print(f"{' '.join(scheme):24s} {len(wanted)} tensors, at most {most:g} units in the last place apart")
    sys.exit(is_broken)


if __name__ == "__main__":
    main()
