#!/usr/bin/env python3
"""Write Tests/Fixtures/pictures: what numpy makes of position embeddings and patch filters, in float64.

Needs the versions of requirements.txt beside this file, and the models of model_fixtures.py:

    picture_fixtures.py

One safetensors file a model: `similarities` [N, N], cosine similarities of the patches' positions; `position_scores` [K, N] and
`position_shares` [K], their principal components; `filters` [K, C * P * P] and `filter_shares` [K], those of the patch embedding. Of each component the
element of the direction that is largest in size is positive.
"""

import pathlib

import numpy as np
from safetensors.numpy import load_file, save_file

if np.__version__ != "2.4.6":
    raise SystemExit(f"numpy 2.4.6 is needed, {np.__version__} is installed")

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures"
# Model, position embeddings and how many of them stand before the patches', and the weight of the patch embedding.
MODELS = {
    "timm-token": ("pos_embed", 1, "patch_embed.proj.weight"),
    "timm-dinov2-registers": ("pos_embed", 0, "patch_embed.proj.weight"),
    "timm-rectangular": ("pos_embed", 1, "patch_embed.proj.weight"),
    "hf-vit": (
        "vit.embeddings.position_embeddings", 1, "vit.embeddings.patch_embeddings.projection.weight"),
}
COMPONENTS = 5


def principal_components(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions [K, D], scores [K, N] and shares of the variance [K] of samples [N, D]."""
    centred = samples - samples.mean(0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    count = min(COMPONENTS, samples.shape[0] - 1, samples.shape[1])
    directions = directions[:count]
    largest = np.abs(directions).argmax(1)
    directions = directions * np.sign(directions[np.arange(count), largest])[:, None]
    return directions, directions @ centred.T, lengths[:count] ** 2 / (lengths ** 2).sum()


def main() -> None:
    output = FIXTURES / "pictures"
    output.mkdir(exist_ok=True)
    for model, (positions, prefix, filters) in MODELS.items():
        tensors = load_file(FIXTURES / "models" / model / "model.safetensors")
        table = tensors[positions][0, prefix:].astype(np.float64)
        units = table / np.linalg.norm(table, axis=1, keepdims=True)
        weight = tensors[filters].astype(np.float64)
        _, scores, shares = principal_components(table)
        directions, _, filter_shares = principal_components(weight.reshape(weight.shape[0], -1))
        arrays = {
            "similarities": units @ units.T, "position_scores": scores, "position_shares": shares,
            "filters": directions, "filter_shares": filter_shares,
        }
        save_file(
            {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()},
            output / f"{model}.safetensors")


if __name__ == "__main__":
    main()
