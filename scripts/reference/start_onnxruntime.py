"""Classify one photo with ONNX Runtime and Pillow: start_onnxruntime.py PHOTO MODEL.onnx THREADS. What `peers` times as a whole
process. The preprocessing is that of timm's ViT of 224 pixels."""

import sys

import numpy
import onnxruntime
from PIL import Image

photo, path, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = threads, 3
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
image = Image.open(photo).convert("RGB")
scale = 248 / min(image.size)
image = image.resize([max(248, int(side * scale)) for side in image.size], Image.Resampling.BICUBIC)
left, top = (round((side - 224) / 2) for side in image.size)
pixels = numpy.asarray(image.crop((left, top, left + 224, top + 224)), dtype=numpy.float32) / 255
logits = session.run(None, {"images": ((pixels - 0.5) / 0.5).transpose(2, 0, 1)[None]})[0][0]
probabilities = numpy.exp(logits - logits.max())
probabilities /= probabilities.sum()
for index in numpy.argsort(-probabilities)[:5]:
    print(f"{100 * probabilities[index]:.1f} %  {index}")
