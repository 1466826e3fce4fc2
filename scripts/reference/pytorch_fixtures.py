"""Writes Tests/Fixtures/containers/pytorch: small files as torch.save and torch.jit.save write them.

Needs the versions of requirements.txt beside this file:

    PYTHONHASHSEED=0 python scripts/reference/pytorch_fixtures.py

NAME.pth stands beside NAME.safetensors with the tensors that are to be read from it, contiguous. Files without one are refused.
"""

import argparse
import collections
import inspect
import io
import os
import pathlib
import pickle
import random
import types
import warnings
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

if torch.__version__.split("+")[0] != "2.15.0":
    raise SystemExit(f"torch 2.15.0 is needed, {torch.__version__} is installed")
# torch.jit writes a module's constants in the order of a set.
if os.environ.get("PYTHONHASHSEED") != "0":
    raise SystemExit("set PYTHONHASHSEED=0, so that the same files come out each time")

OUTPUT = pathlib.Path(__file__).parents[2] / "Tests/Fixtures/containers/pytorch"
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]


def ramp(*shape, start=0.0):
    return (torch.arange(int(np.prod(shape)), dtype=torch.float32) / 8 + start).reshape(shape)


def plain():
    """Tensors of every type that torch has had for long, and views of every kind."""
    tensors = collections.OrderedDict()
    for dtype in FLOATS + INTEGERS:
        tensors[str(dtype).removeprefix("torch.")] = (ramp(2, 3) * 8 - 2).abs().to(dtype)
    tensors["bool"] = torch.tensor([True, False, True])
    base = ramp(4, 6, start=100)
    tensors["base"] = base
    tensors["rows"] = base[1:3]
    tensors["columns"] = base[:, 1:5:2]
    tensors["transposed"] = base.t()
    tensors["permuted"] = ramp(2, 3, 4).permute(2, 0, 1)
    tensors["halves"] = ramp(4, 4).half().t()
    tensors["bytes"] = torch.arange(12, dtype=torch.uint8).reshape(3, 4).t()
    tensors["doubles"] = ramp(3, 2).double().t()
    tensors["channels_last"] = ramp(2, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    tensors["expanded"] = ramp(3, 1).expand(3, 4)
    tensors["scalar"] = torch.tensor(7.5)
    tensors["empty"] = torch.zeros(0, 4)
    tensors["parameter"] = nn.Parameter(ramp(3, start=1))
    tensors["tied"] = tensors["parameter"]
    tensors["with attribute"] = ramp(2)
    tensors["with attribute"].note = "kept"
    parameter = nn.Parameter(ramp(2, start=5))
    parameter.note = {"decay": False}
    tensors["parameter with attribute"] = parameter
    return tensors


def newer():
    """Types that only the newer format has."""
    tensors = {}
    for dtype in [torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64]:
        tensors[str(dtype).removeprefix("torch.")] = ramp(4).to(dtype)
    tensors["slice"] = ramp(6).to(torch.uint16)[1:5:2]
    return tensors


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(3, 2)
        self.inner = nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 2, bias=False))
        self.register_buffer("scale", torch.tensor(0.5))
        self.sizes = [1, 2]
        self.extra = [torch.ones(1)]

    def forward(self, x):
        return self.inner(self.proj(x)) * self.scale + len(self.sizes)


def small(seed):
    torch.manual_seed(seed)
    model = Small()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def prefixed(state, prefix):
    return collections.OrderedDict((prefix + name, value) for name, value in state.items())


def training():
    """A training run's checkpoint with all that such files hold."""
    model, average = small(1), small(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3])
    return average.state_dict(), {
        "arch": "vit_small",
        "epoch": 12,
        "global_step": 1 << 40,
        "huge": 1 << 100,
        "negative": [-1, -70000, -(1 << 40), 1.5e300, float("inf")],
        "args": argparse.Namespace(lr=1e-3, output=pathlib.PurePosixPath("runs/a"), resume=None, sizes=(1, 2)),
        "namespace": types.SimpleNamespace(a=1),
        "metric": np.float64(81.25),
        "count": np.int64(3),
        "array": np.arange(3, dtype=np.float32),
        "random": random.Random(0).getstate(),
        "numpy random": np.random.RandomState(0).get_state(),
        "torch random": torch.Generator().manual_seed(0).get_state(),
        "set": {1, 2},
        "frozen": frozenset(["a"]),
        "slice": slice(1, 2),
        "complex": 1 + 2j,
        "bytes": b"\x00\xff",
        "bytearray": bytearray(b"abc"),
        "defaults": collections.defaultdict(list, {"a": [1]}),
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "size": torch.Size([1, 2]),
        "class": nn.Linear,
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
        "state_dict": model.state_dict(),
        "state_dict_ema": average.state_dict(),
    }


def unreadable():
    return {
        "weight": ramp(2, 2),
        "sparse": torch.eye(2).to_sparse(),
        "rows": torch.eye(2).to_sparse_csr(),
        "quantised": torch.quantize_per_tensor(ramp(3), 0.1, 0, torch.qint8),
        "complex": torch.ones(2, dtype=torch.complex64),
        "meta": torch.ones(2, device="meta"),
        "negated": torch.view_as_complex(ramp(2, 2)).conj().imag,
    }


def saved(value, **options):
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def legacy(value, **options):
    """The older layout names and sorts storages by their addresses; numbers in the order of appearance make the file the same
    each time."""
    data = saved(value, _use_new_zipfile_serialization=False, **options)
    widths = {}

    class Unpickler(torch.serialization.pickle.Unpickler):
        def persistent_load(self, identity):
            if identity[0] == "module":
                return identity[1]
            widths.setdefault(identity[2], identity[1].dtype.itemsize)
            return torch.storage.TypedStorage(dtype=torch.uint8)

        def find_class(self, module, name):
            return (lambda *_: None) if module.startswith("torch._") else super().find_class(module, name)

    stream = io.BytesIO(data)
    for _ in range(3):
        pickle.load(stream)
    Unpickler(stream).load()
    pickles = data[: stream.tell()]
    contents = {}
    for key in pickle.load(stream):
        count = stream.read(8)
        contents[key] = count + stream.read(int.from_bytes(count, "little") * widths[key])
    names = {key: str(index).zfill(len(key)) for index, key in enumerate(widths)}
    # Modules bring their source code, and the file that it was in: where this one lay is of no interest.
    path = inspect.getsourcefile(nn.Linear)
    pickles = pickles.replace(path.encode(), b"linear.py".rjust(len(path), b"/"))
    for key, name in names.items():
        pickles = pickles.replace(key.encode(), name.encode())
    return pickles + pickle.dumps(list(names.values()), 2) + b"".join(contents[key] for key in names)


def repacked(data, change=lambda name, contents: contents, method=zipfile.ZIP_DEFLATED):
    """The same archive with other contents or compressed; members that `change` makes nothing of are left out."""
    stream = io.BytesIO()
    source = zipfile.ZipFile(io.BytesIO(data))
    with zipfile.ZipFile(stream, "w", method) as target:
        for member in source.infolist():
            contents = change(member.filename, source.read(member))
            if contents is not None:
                target.writestr(zipfile.ZipInfo(member.filename), contents, method)
    return stream.getvalue()


def scripted(module):
    """A TorchScript archive without its debugging information, which names the folder that this script lies in."""
    stream = io.BytesIO()
    torch.jit.save(module, stream)

    def keep(name, contents):
        return None if name.endswith(".debug_pkl") else contents

    return repacked(stream.getvalue(), keep, zipfile.ZIP_STORED)


def main():
    warnings.simplefilter("ignore")
    OUTPUT.mkdir(parents=True, exist_ok=True)

    def write(name, data, tensors=None):
        (OUTPUT / f"{name}.pth").write_bytes(data)
        if tensors is not None:
            contiguous = {k: v.detach().contiguous().clone() for k, v in tensors.items()}
            save_file(contiguous, OUTPUT / f"{name}.safetensors")

    for protocol in [2, 4, 5]:
        write(f"plain-protocol-{protocol}", saved(plain(), pickle_protocol=protocol), plain())
    for protocol in [1, 2, 4]:
        write(f"legacy-protocol-{protocol}", legacy(plain(), pickle_protocol=protocol), plain())
    write("newer", saved(newer()), newer())
    torch.serialization.set_crc32_options(False)
    write("without-checksums", saved(plain()), plain())
    torch.serialization.set_crc32_options(True)
    write("deflated", repacked(saved(plain())), plain())
    numbers = {"floats": ramp(2, 3), "transposed": ramp(2, 3).t(), "longs": torch.arange(3), "bytes": ramp(3).byte()}
    widths = {name: tensor.element_size() for name, tensor in numbers.items()}
    swapped = {f"archive/data/{index}": width for index, width in enumerate(widths.values())}

    def swap(name, contents):
        if name.endswith("/byteorder"):
            return b"big"
        width = swapped.get(name, 1)
        return np.frombuffer(contents, f"u{width}").byteswap().tobytes()

    write("big-endian", repacked(saved(numbers), swap, zipfile.ZIP_STORED), numbers)
    average, checkpoint = training()
    write("training", saved(checkpoint), average)
    write("training-legacy", legacy(checkpoint), average)
    write("nested", saved({"epoch": 1, "model": {"optimizer": {}, "state_dict": average}}), average)
    halves = {"encoder": {"weight": ramp(2)}, "head": {"0": {"bias": ramp(1)}, 1: ramp(3)}, "scale": torch.tensor(2.0)}
    flat = {"encoder.weight": ramp(2), "head.0.bias": ramp(1), "head.1": ramp(3), "scale": torch.tensor(2.0)}
    write("dictionaries", saved({"model": halves}), flat)
    teacher = {"student": prefixed(small(3).state_dict(), "module."), "teacher": prefixed(average, "backbone.")}
    write("teacher", saved(teacher), prefixed(average, "backbone."))
    write("unreadable", saved(unreadable()), {"weight": ramp(2, 2)})
    write("torchscript", scripted(torch.jit.script(small(4))), small(4).state_dict())
    write("torchscript-traced", scripted(torch.jit.trace(small(5), torch.ones(1, 3))), small(5).state_dict())
    write("module", saved(nn.Linear(2, 2)))
    write("module-legacy", legacy(nn.Linear(2, 2)))
    for path in sorted(OUTPUT.iterdir()):
        print(f"{path.stat().st_size:>9,}  {path.name}")


if __name__ == "__main__":
    main()
