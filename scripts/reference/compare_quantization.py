#!/usr/bin/env python3
"""Quantise a model with Vitrine and its peers on the same photos, and compare the features with float32's.

    compare_quantization.py MODEL --photos DIR [--calibration DIR] [--vitrine BIN] [--size 224] [--peers onnxruntime,openvino]

See scripts/compare-quantization. The reference is ONNX Runtime in float32 on the model that timm or transformers exports; what
the networks are fed is the same for all: `vitrine preprocess`.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np

from fidelity import cosines

SCHEMES = ("w8a8", "w8a8-static", "w8", "w4")
CALIBRATION_IMAGES = 128
ENDINGS = {".jpg", ".jpeg", ".png"}


def run(binary: pathlib.Path, *arguments: object) -> None:
    result = subprocess.run([str(part) for part in (binary, *arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"vitrine {arguments[0]} ended with status {result.returncode}:\n{result.stderr.strip()}")


def photos(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)


def tensors(options: argparse.Namespace, paths: list[pathlib.Path], scratch: pathlib.Path) -> list[np.ndarray]:
    target, result = scratch / "tensor.npy", []
    for path in paths:
        size = ("--size", options.size)
        run(options.vitrine, "preprocess", path, "--model", options.model, *size, "--output", target)
        result.append(np.load(target)[None])
    return result


def export(model: pathlib.Path, image: np.ndarray, target: pathlib.Path) -> int:
    """Writes the tokens' features after the last norm as ONNX; gives the number of tokens before the patches."""
    import torch

    configuration = json.loads((model / "config.json").read_text())
    if "architecture" in configuration:
        import timm

        network = timm.create_model(f"local-dir:{model.resolve()}", pretrained=True, dynamic_img_size=True).eval()
        prefix, features = network.num_prefix_tokens, network.forward_features
    else:
        import transformers

        network = transformers.AutoModel.from_pretrained(model, attn_implementation="eager").eval()
        prefix = 1 + getattr(network.config, "num_register_tokens", 0)

        def features(images: torch.Tensor) -> torch.Tensor:
            return network(pixel_values=images).last_hidden_state

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return features(images)

    names = {"input_names": ["images"], "output_names": ["features"]}
    with torch.no_grad():
        torch.onnx.export(Features(), (torch.from_numpy(image),), target, dynamo=False, opset_version=17, **names)
    return prefix


def onnxruntime_features(path: pathlib.Path, images: list[np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"images": image})[0] for image in images])


def onnxruntime_models(model: pathlib.Path, calibration: list[np.ndarray], scratch: pathlib.Path):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = scratch / "prepared.onnx"
    quant_pre_process(model, prepared)
    kinds, eight = ["MatMul", "Gemm"], {"per_channel": True, "weight_type": QuantType.QInt8}
    dynamic = scratch / "dynamic.onnx"
    quantize_dynamic(prepared, dynamic, op_types_to_quantize=kinds, **eight)
    yield "onnxruntime dynamic", dynamic

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(calibration)

        def get_next(self) -> dict | None:
            image = next(self.images, None)
            return None if image is None else {"images": image}

    static = scratch / "static.onnx"
    quantize_static(
        prepared, static, Reader(), quant_format=QuantFormat.QDQ, op_types_to_quantize=kinds,
        activation_type=QuantType.QUInt8, **eight,
    )
    yield "onnxruntime static", static


def openvino_features(compiled, images: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([compiled(image)[0].copy() for image in images])


def openvino_models(model: pathlib.Path, calibration: list[np.ndarray], scratch: pathlib.Path):
    import nncf
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    yield "OpenVINO bf16", core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"}), None
    # Its progress goes to standard output by itself.
    with contextlib.redirect_stdout(sys.stderr):
        quantised = nncf.quantize(
            network, nncf.Dataset(calibration), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(calibration)
        )
    target = scratch / "openvino.xml"
    openvino.save_model(quantised, target)
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    yield "OpenVINO + NNCF", core.compile_model(quantised, "CPU", hint), target.with_suffix(".bin")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--photos", type=pathlib.Path, required=True)
    parser.add_argument("--calibration", type=pathlib.Path)
    parser.add_argument("--vitrine", type=pathlib.Path, default=pathlib.Path(".build/release/vitrine"))
    parser.add_argument("--size", default="224")
    parser.add_argument("--peers", default="onnxruntime,openvino")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("NNCF_LOG_LEVEL", "ERROR")
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        images = tensors(options, photos(options.photos), scratch)
        chosen = photos(options.calibration or options.photos)[:CALIBRATION_IMAGES]
        calibration = tensors(options, chosen, scratch) if options.calibration else images[:CALIBRATION_IMAGES]
        onnx = scratch / "model.onnx"
        prefix = export(options.model, images[0], onnx)
        exact = onnxruntime_features(onnx, images)
        whole = onnx.stat().st_size
        print(f"{len(images)} photos at {options.size}, calibrated with {len(calibration)}")
        print(f"{'':24}{'size':>8}{'class: mean':>14}{'least':>9}{'patches: mean':>16}{'least':>9}", flush=True)

        def line(label: str, found: np.ndarray, size: int | None) -> None:
            tokens = cosines(found.reshape(exact.shape), exact)
            patches = tokens[:, prefix:].mean(axis=1)
            share = f"{100 * size / whole:.1f} %" if size else ""
            values = f"{tokens[:, 0].mean():14.5f}{tokens[:, 0].min():9.5f}{patches.mean():16.5f}{patches.min():9.5f}"
            print(f"{label:24}{share:>8}{values}", flush=True)

        def vitrine_features(model: pathlib.Path, *arguments: str) -> np.ndarray:
            target = scratch / "features.npy"
            shared = ("--model", model, "--size", options.size, "--tokens", "all", "--quiet", "--output", target)
            run(options.vitrine, "embed", *photos(options.photos), *shared, *arguments)
            return np.load(target)

        line("vitrine fp32", vitrine_features(options.model), whole)
        line("vitrine bf16", vitrine_features(options.model, "--precision", "bf16"), None)
        for scheme in SCHEMES:
            target = scratch / scheme
            run(
                options.vitrine, "quantize", options.model, "--calibration", *chosen, "--size", options.size,
                "--scheme", scheme, "--output", target, "--quiet",
            )
            line(f"vitrine {scheme}", vitrine_features(target), (target / "model.safetensors").stat().st_size)
        peers = options.peers.split(",")
        if "onnxruntime" in peers:
            for label, path in onnxruntime_models(onnx, calibration, scratch):
                line(label, onnxruntime_features(path, images), path.stat().st_size)
        if "openvino" in peers:
            for label, compiled, weights in openvino_models(onnx, calibration, scratch):
                line(label, openvino_features(compiled, images), weights.stat().st_size if weights else None)


if __name__ == "__main__":
    main()
