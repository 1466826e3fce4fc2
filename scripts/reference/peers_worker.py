#!/usr/bin/env python3
"""Run a model in one of Vitrine's peers whenever asked, and say how fast that went.

    peers_worker.py PEER --model FOLDER --batch N --threads N

Writes {"ready": true, "version": ...} when the model is loaded, or {"error": ...}. Then for each line
{"seconds": 2, "way": "together"} on standard input one line {"rate": images a second, "runs": ...}.

Ways: "together": one batch at a time, all threads on it; the rate is from the median of its times. "apart": as many batches at a time as
threads, one thread on each; the rates of all of them, added up.

Peers: torch, torch-bf16, torch-compiled, torch-compiled-bf16, onnxruntime, onnxruntime-int8, openvino, openvino-bf16, openvino-int8,
openvino-int8-bf16. OpenVINO is told the precision: by itself it takes bf16 where the CPU has it.
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable

import numpy

from peers_export import input_size

Run = Callable[[], object]


class Torch:
    def __init__(self, peer: str, folder: pathlib.Path, images: numpy.ndarray, threads: int) -> None:
        import timm
        import torch

        self.torch, self.threads, self.version = torch, threads, torch.__version__
        torch.set_num_threads(threads)
        self.model = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True).eval()
        self.images = torch.from_numpy(images)
        if peer.endswith("-bf16"):
            self.model, self.images = self.model.bfloat16(), self.images.bfloat16()
        if "compiled" in peer:
            self.model = torch.compile(self.model)

    def runs(self, way: str) -> list[Run]:
        count, threads = (self.threads, 1) if way == "apart" else (1, self.threads)

        def run() -> object:
            self.torch.set_num_threads(threads)
            with self.torch.inference_mode():
                return self.model(self.images)

        return [run] * count


class OnnxRuntime:
    def __init__(self, peer: str, folder: pathlib.Path, images: numpy.ndarray, threads: int) -> None:
        import onnxruntime

        self.library, self.threads, self.version = onnxruntime, threads, onnxruntime.__version__
        self.path = folder / ("model-int8.onnx" if peer.endswith("-int8") else "model.onnx")
        self.images = images
        self.runs("together")  # fails here, if at all

    def runs(self, way: str) -> list[Run]:
        count, threads = (self.threads, 1) if way == "apart" else (1, self.threads)
        options = self.library.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        session = self.library.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
        return [lambda: session.run(None, {"images": self.images})] * count


class OpenVINO:
    def __init__(self, peer: str, folder: pathlib.Path, images: numpy.ndarray, threads: int) -> None:
        import openvino

        self.core, self.threads, self.version = openvino.Core(), threads, openvino.__version__.split("-")[0]
        self.path = folder / ("openvino-int8.xml" if "int8" in peer else "model.onnx")
        self.images = images
        self.precision = "bf16" if peer.endswith("bf16") else "f32"

    def runs(self, way: str) -> list[Run]:
        count = self.threads if way == "apart" else 1
        model = self.core.read_model(self.path)
        model.reshape(self.images.shape)
        settings = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": count,
        }
        compiled = self.core.compile_model(model, "CPU", settings)
        requests = [compiled.create_infer_request() for _ in range(count)]
        return [lambda request=request: request.infer([self.images]) for request in requests]


KINDS = {"torch": Torch, "onnxruntime": OnnxRuntime, "openvino": OpenVINO}


def repeat(run: Run, seconds: float, least: int) -> list[float]:
    """Times of the runs, as many as fit the seconds."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return times


def measure(runs: list[Run], batch: int, seconds: float) -> dict:
    if len(runs) == 1:
        times = repeat(runs[0], seconds, least=3)
        return {"rate": batch / statistics.median(times), "runs": len(times)}
    results: list[list[float]] = [[] for _ in runs]

    def work(index: int) -> None:
        results[index] = repeat(runs[index], seconds, least=2)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(runs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"rate": sum(batch * len(times) / sum(times) for times in results), "runs": sum(map(len, results))}


def serve(options: argparse.Namespace, output) -> None:
    def answer(value: dict) -> None:
        print(json.dumps(value), file=output, flush=True)

    try:
        shape = (options.batch, *input_size(options.model))
        images = numpy.random.default_rng(223).standard_normal(shape, dtype=numpy.float32)
        peer = KINDS[options.peer.split("-")[0]](options.peer, options.model, images, options.threads)
    except Exception as error:  # missing, of another version, a file that it cannot read: named by the caller
        answer({"error": f"{type(error).__name__}: {error}".splitlines()[0]})
        return
    answer({"ready": True, "version": peer.version})
    way, runs = None, []
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["way"] != way:
                way = request["way"]
                runs = []  # lets go of what the other way held
                runs = peer.runs(way)
                measure(runs, options.batch, 0.3)
            answer(measure(runs, options.batch, request["seconds"]))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}".splitlines()[0]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer")
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("OPENVINO_TELEMETRY_OPT_OUT", "1")
    with contextlib.redirect_stdout(sys.stderr), open(os.dup(1), "w") as output:
        serve(options, output)


if __name__ == "__main__":
    main()
