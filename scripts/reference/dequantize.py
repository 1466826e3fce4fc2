#!/usr/bin/env python3
"""Make a safetensors file of float32 of a quantised one, by docs/int8-format.md alone.

    dequantize.py MODEL.safetensors OUT.safetensors
"""

import sys

import numpy as np
from safetensors.numpy import load_file, save_file

tensors = load_file(sys.argv[1])
result = {}
for name, tensor in tensors.items():
    layer, _, part = name.rpartition(".")
    if part.startswith(("weight_", "input_")):
        continue
    scale = tensors.get(f"{layer}.weight_scale") if part == "weight" else None
    if scale is None:
        result[name] = tensor.astype(np.float32)
        continue
    levels, shape = tensor, tensor.shape
    if tensor.dtype == np.uint8:
        groups = tensors[f"{layer}.weight_group_scale"]
        numbers = np.stack([tensor & 15, tensor >> 4], axis=-1).reshape(len(tensor), -1).astype(np.int32) - 8
        shape = numbers.shape
        size = 32 if groups.shape[1] == -(-shape[1] // 32) else 64
        levels = numbers * np.repeat(groups.astype(np.int32), size, axis=1)[:, : shape[1]]
    weight = levels.reshape(shape[0], -1).astype(np.float32) * scale.astype(np.float32)[:, None]
    smoothing = tensors.get(f"{layer}.input_smoothing")
    result[name] = (weight if smoothing is None else weight / smoothing.astype(np.float32)).reshape(shape)
save_file(result, sys.argv[2], metadata={"format": "pt"})
