#!/usr/bin/env python3
"""Write a model in the forms that Vitrine's peers read, each once.

    peers_export.py NAME --cache DIR [--forms onnx,onnx-int8,openvino-int8]

The model has random weights (parity_models.py), the same in every form. Writes one JSON object: the folder, and why a form could
not be made.

- onnx: opset 17, any number of images at a time.
- onnx-int8: ONNX Runtime's dynamic quantisation, weights by channel, over MatMul and Gemm.
- openvino-int8: NNCF's quantisation for transformers, calibrated with random images, which is enough to be timed.
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import warnings
from collections.abc import Callable

CALIBRATION_IMAGES = 32


def input_size(folder: pathlib.Path) -> list[int]:
    """Channels, height and width of the model's input."""
    return json.loads((folder / "config.json").read_text())["pretrained_cfg"]["input_size"]


def export_onnx(folder: pathlib.Path, target: pathlib.Path) -> None:
    import timm
    import torch

    model = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True).eval()
    images = torch.zeros(1, *input_size(folder))
    axes = {"images": {0: "batch"}, "logits": {0: "batch"}}
    names = {"input_names": ["images"], "output_names": ["logits"]}
    torch.onnx.export(model, (images,), target, dynamo=False, opset_version=17, dynamic_axes=axes, **names)


def quantise_onnx(folder: pathlib.Path, target: pathlib.Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(folder / "model.onnx", prepared)
    kinds = ["MatMul", "Gemm"]
    quantize_dynamic(prepared, target, per_channel=True, op_types_to_quantize=kinds, weight_type=QuantType.QInt8)
    prepared.unlink()


def quantise_openvino(folder: pathlib.Path, target: pathlib.Path) -> None:
    import nncf
    import numpy
    import openvino

    random = numpy.random.default_rng(223)
    shape = (1, *input_size(folder))
    images = [random.standard_normal(shape, dtype=numpy.float32) for _ in range(CALIBRATION_IMAGES)]
    model = openvino.convert_model(folder / "model.onnx")
    quantised = nncf.quantize(
        model, nncf.Dataset(images), model_type=nncf.ModelType.TRANSFORMER, subset_size=CALIBRATION_IMAGES
    )
    # Under another name first: the weights stand in a second file beside it.
    openvino.save_model(quantised, target, compress_to_fp16=False)


FORMS: dict[str, tuple[str, Callable[[pathlib.Path, pathlib.Path], None]]] = {
    "onnx": ("model.onnx", export_onnx),
    "onnx-int8": ("model-int8.onnx", quantise_onnx),
    "openvino-int8": ("openvino-int8.xml", quantise_openvino),
}


def export(name: str, cache: pathlib.Path, forms: list[str]) -> dict:
    import parity_models

    folder = parity_models.random_model(name, cache)
    failures = {}
    for form in forms:
        file, make = FORMS[form]
        done = folder / f"{file}.complete"
        if done.exists():
            continue
        print(f"{name}: writing {file}", file=sys.stderr, flush=True)
        try:
            make(folder, folder / file)
            done.touch()
        except Exception as error:  # whatever a library throws: it is named, and the others go on
            failures[form] = f"{type(error).__name__}: {error}".splitlines()[0]
    return {"folder": str(folder), "failures": failures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name")
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--forms", default=",".join(FORMS))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("NNCF_LOG_LEVEL", "ERROR")
    # Standard output is for the result; libraries write to it as they like.
    with contextlib.redirect_stdout(sys.stderr):
        result = export(options.name, options.cache, [form for form in options.forms.split(",") if form])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
