#!/usr/bin/env python3
"""Check `vitrine convert`: what it writes must load in timm and transformers strictly, and compute what the source does.

    converted.py --vitrine .build/release/vitrine [--naming timm|huggingface] [FIXTURE_FOLDER...]

Without folders, every model of Tests/Fixtures/models. Each is converted to both namings. timm loads the result with
`create_model("local-dir:...", pretrained=True)` and once more with `load_state_dict(strict=True)`; transformers with
`from_pretrained`, and may report neither missing nor unexpected tensors. Both run the fixture's input; logits (or, without a
head, the pooled features) must be the fixture's to 1e-4 of the largest. A conversion that Vitrine refuses counts as
refused, and its reason is printed. Exit status 1: something did not load, or differs.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import timm
import torch
import transformers
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).parent
FIXTURES = HERE.parents[1] / "Tests/Fixtures/models"
BOUND = 1e-4
# Class tokens are what the fixtures of models without a head call pooled.
POOLER_FREE = ("ViTModel", "DeiTModel")


class Failure(Exception):
    """The result is not what it should be."""


@dataclass
class Row:
    """A line of the table."""

    outcome: str
    detail: str
    difference: float | None = None


def weights_of(fixture: pathlib.Path) -> pathlib.Path:
    """The folder where it has a configuration, else the one checkpoint in it, as the tests open it."""
    if (fixture / "config.json").exists():
        return fixture
    files = [path for path in fixture.iterdir() if not path.name.startswith("expected") and path.suffix != ".json"]
    return files[0] if len(files) == 1 else fixture


def run_timm(folder: pathlib.Path, pixels: torch.Tensor, has_logits: bool) -> torch.Tensor:
    name = f"local-dir:{folder.resolve()}"
    model = timm.create_model(name, pretrained=True).eval()
    fresh = timm.create_model(name, pretrained=False).eval()
    fresh.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    with torch.inference_mode():
        output, again = model(pixels), fresh(pixels)
        if not torch.equal(output, again):
            raise Failure("timm's loader and load_state_dict give different models")
        return output if has_logits or model.num_classes > 0 else model.forward_head(model.forward_features(pixels), pre_logits=True)


def run_transformers(folder: pathlib.Path, pixels: torch.Tensor, has_logits: bool) -> torch.Tensor:
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    options = {"add_pooling_layer": False} if architecture in POOLER_FREE else {}
    model, report = getattr(transformers, architecture).from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32, **options
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if report.get(kind):
            raise Failure(f"transformers: {kind.replace('_', ' ')} {sorted(map(str, report[kind]))[:4]}")
    transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    with torch.inference_mode():
        output = model.eval()(pixels)
    if has_logits:
        return output.logits if "logits" in output else output.image_embeds
    if "image_embeds" in output:
        return output.image_embeds
    if architecture == "SiglipVisionModel" or architecture == "CLIPVisionModel":
        return output.pooler_output
    return output.last_hidden_state[:, 0]


RUNNERS = {"timm": run_timm, "huggingface": run_transformers}


def check(vitrine: pathlib.Path, fixture: pathlib.Path, naming: str, scratch: pathlib.Path) -> Row:
    target = scratch / naming
    command = [vitrine, "convert", weights_of(fixture), "--output", target, "--naming", naming]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    lines = result.stderr.strip().splitlines()
    if result.returncode == 1 and "cannot express" in result.stderr:
        return Row("refused", lines[-1].split(": ", 2)[-1])
    if result.returncode != 0:
        return Row("BROKEN", f"status {result.returncode}: {result.stderr.strip()}")
    expected = load_file(fixture / "expected.safetensors")
    has_logits = "logits" in expected
    wanted = expected["logits" if has_logits else "pooled"]
    try:
        found = RUNNERS[naming](target, expected["input"].unsqueeze(0), has_logits)[0]
    except Exception as error:  # whatever a library does with a bad folder
        return Row("BROKEN", f"{type(error).__name__}: {str(error)[:300]}")
    if found.shape != wanted.shape:
        return Row("BROKEN", f"{list(found.shape)}, expected {list(wanted.shape)}")
    difference = float((found - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))
    good = difference <= BOUND  # false for NaN
    return Row("ok" if good else "BROKEN", lines[-1].split(": ")[-1], difference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vitrine", type=pathlib.Path, required=True)
    parser.add_argument("--naming", choices=list(RUNNERS), action="append", help="only this one")
    parser.add_argument("folders", nargs="*", type=pathlib.Path, metavar="FIXTURE_FOLDER")
    options = parser.parse_args()
    folders = options.folders or sorted(path for path in FIXTURES.iterdir() if path.is_dir())
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    print(f"timm {timm.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
    counts: dict[str, int] = {}
    for folder in folders:
        for naming in options.naming or RUNNERS:
            with tempfile.TemporaryDirectory() as scratch:
                row = check(options.vitrine, folder, naming, pathlib.Path(scratch))
            counts[row.outcome] = counts.get(row.outcome, 0) + 1
            difference = "" if row.difference is None else f"{row.difference:.1e}"
            print(f"{folder.name:38} {naming:12} {row.outcome:8} {difference:>8}  {row.detail}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    sys.exit(1 if "BROKEN" in counts else 0)


if __name__ == "__main__":
    main()
