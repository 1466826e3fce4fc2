"""Classify one photo with PyTorch and timm: start_torch.py PHOTO MODEL_FOLDER THREADS. What `peers` times as a whole process."""

import sys

import timm
import torch
from PIL import Image

photo, folder, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
with torch.inference_mode():
    logits = model(transform(Image.open(photo).convert("RGB"))[None])
best = logits.softmax(-1).topk(5)
for probability, index in zip(best.values[0].tolist(), best.indices[0].tolist(), strict=True):
    print(f"{100 * probability:.1f} %  {index}")
