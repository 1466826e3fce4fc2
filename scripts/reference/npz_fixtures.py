#!/usr/bin/env python3
"""Make Tests/Fixtures/containers/npz: small archives in every form that numpy and Python's zipfile write.

    npz_fixtures.py [--output Tests/Fixtures/containers/npz]

Elements follow a rule, so that the tests need no second copy of them: element i in row-major order is (37 * i) % 101 - 50
in floating-point and signed types, (37 * i) % 101 in unsigned ones, and (37 * i) % 101 is odd in booleans. Versions must be
those of requirements.txt. The same versions make the same bytes.
"""

import argparse
import io
import pathlib
import zipfile
from unittest import mock

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
NUMPY = "2.4.6"
TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]


def elements(shape: tuple[int, ...], dtype: str = "<f4", order: str = "C") -> np.ndarray:
    """An array of the rule's elements, laid out in `order`."""
    values = np.arange(int(np.prod(shape, dtype=np.int64))) * 37 % 101
    kind = np.dtype(dtype).kind
    values = values % 2 == 1 if kind == "b" else values if kind == "u" else values - 50
    return np.asarray(values.reshape(shape).astype(dtype), order=order)


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    """The array as a .npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


class Pipe(io.RawIOBase):
    """A stream that cannot seek: zipfile then writes sizes behind the members (data descriptors)."""

    def __init__(self) -> None:
        self.bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.bytes += data
        return len(data)


def member(name: str) -> zipfile.ZipInfo:
    """A member of a fixed date, so that the same bytes come out each time."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


def archive(arrays: dict[str, bytes], method: int = zipfile.ZIP_STORED, zip64: bool = False, stream=None) -> bytes:
    stream = stream or io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, data in arrays.items():
            info = member(name)
            info.compress_type = method
            with file.open(info, "w", force_zip64=zip64) as target:
                target.write(data)
    return bytes(stream.bytes) if isinstance(stream, Pipe) else stream.getvalue()


def archive_with_zip64_directory(arrays: dict[str, bytes]) -> bytes:
    """What zipfile writes for members and archives above its limits: zip64 fields and end records."""
    with mock.patch.multiple(zipfile, ZIP64_LIMIT=0, ZIP_FILECOUNT_LIMIT=0):
        return archive(arrays, zipfile.ZIP_DEFLATED, zip64=True)


def fixtures() -> dict[str, bytes]:
    def saved(save, **arrays) -> bytes:
        stream = io.BytesIO()
        save(stream, **arrays)
        return stream.getvalue()

    every_type = {name: elements((3, 5), name) for name in TYPES}
    vit = {
        "cls": elements((1, 1, 8)),
        "Transformer/encoderblock_0/LayerNorm_0/scale": elements((8,)),
        "embedding/kernel": elements((4, 4, 3, 8)),
    }
    shapes = {"scalar": (), "one": (1,), "none": (0, 4), "vector": (70,), "matrix": (33, 65), "unit": (1, 7, 1, 5),
              "cube": (3, 4, 5), "five": (2, 3, 1, 4, 35)}
    fortran = {name: elements(shape, order="F") for name, shape in shapes.items()}
    # JAX saves bfloat16 as two bytes without meaning: the upper half of a float32.
    bfloat16 = (elements((3, 5)).view(np.uint32) >> 16).astype("<u2").view("V2")
    others = {
        "objects": np.array([{"a": 1}, None], dtype=object), "text": np.array(["ab", "c"]),
        "bytes": np.array([b"ab", b"c"]), "complex": np.zeros(3, np.complex64),
        "record": np.zeros(2, [("x", "<f4"), ("y", "<i8", (2,))]), "date": np.zeros(2, "datetime64[s]"),
        "wide": np.zeros(2, np.longdouble), "good": elements((2, 3)),
    }
    plain = {f"{name}.npy": npy(value) for name, value in vit.items()}
    versions = {f"v{major}.npy": npy(elements((2, 3)), (major, 0)) for major in (1, 2, 3)}
    return {
        "savez.npz": saved(np.savez, **vit),
        "savez_compressed.npz": saved(np.savez_compressed, **vit),
        "types.npz": saved(np.savez_compressed, **every_type, bf16=bfloat16),
        "big_endian.npz": saved(np.savez, **{name: elements((3, 5), ">" + name) for name in TYPES}),
        "big_endian_compressed.npz": saved(
            np.savez_compressed, **{name: elements((3, 5), ">" + name) for name in TYPES},
            fortran=elements((3, 5), ">f4", "F")),
        "fortran.npz": saved(np.savez_compressed, **fortran),
        "fortran_stored.npz": saved(
            np.savez, **{name: elements((4, 3, 5), name, "F") for name in TYPES}),
        "zip64.npz": archive(plain, zip64=True),
        "zip64_directory.npz": archive_with_zip64_directory(plain),
        "descriptors.npz": archive(plain, zipfile.ZIP_DEFLATED, stream=Pipe()),
        "descriptors_stored.npz": archive(plain, stream=Pipe()),
        "descriptors_zip64.npz": archive(plain, zipfile.ZIP_DEFLATED, zip64=True, stream=Pipe()),
        "versions.npz": archive(versions),
        "others.npz": saved(np.savez_compressed, **others),
        "lzma.npz": archive({"a.npy": npy(elements((2, 3)))}, zipfile.ZIP_LZMA),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "Tests/Fixtures/containers/npz")
    options = parser.parse_args()
    if np.__version__ != NUMPY:
        parser.error(f"numpy {NUMPY} is needed, {np.__version__} is installed")
    options.output.mkdir(parents=True, exist_ok=True)
    for name, data in fixtures().items():
        (options.output / name).write_bytes(data)


if __name__ == "__main__":
    main()
