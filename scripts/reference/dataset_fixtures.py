"""Writes Tests/Fixtures/datasets: small archives laid out as CIFAR is published, and tar archives in every format.

    python scripts/reference/dataset_fixtures.py

Needs Python and numpy alone. Pixel (channel, y, x) of image i of a part is (7 i + 50 channel + 3 y + x) mod 256, its label (3 i + 1) mod 10 in
CIFAR-10, (31 i + 2) mod 100 in CIFAR-100. The batch i of a part begins where the one before ended.
"""

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "Tests" / "Fixtures" / "datasets"
NAMES10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
NAMES100 = [f"fine {index}" for index in range(100)]


def pixels(first, count):
    """uint8 [count, 3072]."""
    i, c, y, x = np.ogrid[first:first + count, 0:3, 0:32, 0:32]
    return ((7 * i + 50 * c + 3 * y + x) % 256).astype(np.uint8).reshape(count, 3072)


def label10(index):
    return (3 * index + 1) % 10


def label100(index):
    return (31 * index + 2) % 100


def python2_pickle(value):
    """Protocol 2 as Python 2 wrote it, with its strings of bytes and numpy's module names of then."""
    out = bytearray(b"\x80\x02")

    def string(data):
        if len(data) < 256:
            out.extend(b"U" + bytes([len(data)]) + data)
        else:
            out.extend(b"T" + struct.pack("<i", len(data)) + data)

    def number(n):
        out.extend(b"K" + bytes([n]) if n < 256 else b"J" + struct.pack("<i", n))

    def write(item):
        if isinstance(item, str):
            string(item.encode())
        elif isinstance(item, int):
            number(item)
        elif isinstance(item, list):
            out.extend(b"](")
            for element in item:
                write(element)
            out.extend(b"e")
        elif isinstance(item, dict):
            out.extend(b"}(")
            for key, element in item.items():
                write(key)
                write(element)
            out.extend(b"u")
        else:
            out.extend(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01")
            for side in item.shape:
                number(side)
            out.extend(b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
            string(item.tobytes())
            out.extend(b"tb")

    write(value)
    return bytes(out + b".")


def archive(name, files, **options):
    """A compressed tar archive that is the same in every run."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as tar:
        folders = sorted({parent for path in files for parent in Path(path).parents if str(parent) != "."})
        for folder in folders:
            entry = tarfile.TarInfo(str(folder))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    data = buffer.getvalue()
    (OUTPUT / name).write_bytes(gzip.compress(data, 9, mtime=0) if name.endswith(".gz") else data)
    return data


def batches(sizes):
    first = 0
    for size in sizes:
        yield first, size
        first += size


def main():
    OUTPUT.mkdir(parents=True, exist_ok=True)
    train10 = list(batches([3, 2, 2, 2, 3]))

    binary = {"cifar-10-batches-bin/batches.meta.txt": ("\n".join(NAMES10) + "\n\n").encode()}
    python = {"cifar-10-batches-py/batches.meta": python2_pickle(dict(num_cases_per_batch=3, label_names=NAMES10))}
    parts = [(f"data_batch_{number + 1}", *place) for number, place in enumerate(train10)] + [("test_batch", 0, 4)]
    for name, first, count in parts:
        data, labels = pixels(first, count), [label10(i) for i in range(first, first + count)]
        binary[f"cifar-10-batches-bin/{name}.bin"] = b"".join(
            bytes([label]) + row.tobytes() for label, row in zip(labels, data))
        python[f"cifar-10-batches-py/{name}"] = python2_pickle(dict(
            batch_label=f"batch {name}", labels=labels, data=data, filenames=[f"{i}.png" for i in labels]))
    archive("cifar-10-binary.tar.gz", binary)
    archive("cifar-10-python.tar.gz", python, format=tarfile.GNU_FORMAT)

    binary = {
        "cifar-100-binary/coarse_label_names.txt": "\n".join(f"coarse {i}" for i in range(20)).encode(),
        "cifar-100-binary/fine_label_names.txt": "\n".join(NAMES100).encode()}
    meta = dict(fine_label_names=NAMES100, coarse_label_names=[f"coarse {i}" for i in range(20)])
    for protocol in (2, 4, 5):
        python = {"cifar-100-python/meta": pickle.dumps(meta, protocol)}
        for name, count in (("train", 7), ("test", 3)):
            data, labels = pixels(0, count), [label100(i) for i in range(count)]
            binary[f"cifar-100-binary/{name}.bin"] = b"".join(
                bytes([label // 5, label]) + row.tobytes() for label, row in zip(labels, data))
            python[f"cifar-100-python/{name}"] = pickle.dumps(dict(
                data=data, fine_labels=labels, coarse_labels=[i // 5 for i in labels], filenames=["a.png"] * count),
                protocol)
        archive(f"cifar-100-python-{protocol}.tar.gz", python, format=tarfile.PAX_FORMAT)
    archive("cifar-100-binary.tar.gz", binary, format=tarfile.USTAR_FORMAT)

    photos = {}
    for split, numbers in (("train", ("0100", "0500")), ("test", ("0900",))):
        for label in ("cat", "ship"):
            for number in numbers:
                photos[f"{split}/{label}/{number}.jpg"] = (ROOT / "samples/cifar10" / label / f"{number}.jpg").read_bytes()
    archive("folders.tar.gz", photos)
    # Names beyond a header's 100 bytes, in the three ways in which they are written.
    deep = "a" * 60 + "/" + "b" * 60
    long = {f"{deep}/{path}": data for path, data in photos.items()} | {f"./{deep}/._notes": b"x", f"{deep}/README": b"y"}
    archive("long-ustar.tar", long, format=tarfile.USTAR_FORMAT)
    archive("long-gnu.tar.gz", long, format=tarfile.GNU_FORMAT)
    data = archive("long-pax.tar", long, format=tarfile.PAX_FORMAT)
    # As parallel compressors write it: several gzip files, one behind the other.
    pieces = [data[start:start + 5000] for start in range(0, len(data), 5000)]
    (OUTPUT / "long-pieces.tar.gz").write_bytes(b"".join(gzip.compress(piece, 9, mtime=0) for piece in pieces))
    (OUTPUT / "long-pax.tar").unlink()
    (OUTPUT / "long-ustar.tar").rename(OUTPUT / "long-plain.tar")
    for path in sorted(OUTPUT.iterdir()):
        print(f"{path.stat().st_size:>9,}  {path.name}")


if __name__ == "__main__":
    main()
