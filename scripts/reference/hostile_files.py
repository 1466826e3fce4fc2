"""Makes files that nobody should trust, and measures what `vitrine inspect` says to each of them.

    python3 scripts/reference/hostile_files.py [--vitrine PATH] [--folder DIR]

Each must be refused (exit status 1, with a message) within a second and within 64 MB of memory above the file's own size.
Prints the time and the peak of the resident set of each; exit status 1 where a bound was broken. Needs GNU time.
"""

import argparse
import io
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONTAINERS = ROOT / "Tests/Fixtures/containers"
MODELS = ROOT / "Tests/Fixtures/models"
SECONDS = 1.0
MEMORY = 64 << 20


def safetensors(header, data=b""):
    if not isinstance(header, (bytes, str)):
        header = json.dumps(header)
    header = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(header)) + header + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def npy(text, data=b"", version=1):
    text = text.encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


def member(name, data, crc, size, method=8, offset=0):
    """The two headers of a zip member whose size and checksum are whatever one likes."""
    name = name.encode()
    common = struct.pack("<HHHIIIIHH", 20, 0, method, 0, crc, len(data), size & 0xFFFFFFFF, len(name), 0)
    local = b"PK\x03\x04" + common + name + data
    central = b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, offset) + name
    return local, central


def archive(*members):
    """A zip archive of (name, compressed bytes, checksum, size) that may lie."""
    files, directory = b"", b""
    for name, data, crc, size, method in members:
        local, central = member(name, data, crc, size, method, len(files))
        files, directory = files + local, directory + central
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(files), 0)
    return files + directory + end


def stored(name, data):
    return name, data, zlib.crc32(data), len(data), 0


def deflated(name, data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return name, packer.compress(data) + packer.flush(), zlib.crc32(data), len(data), 8


def zeros(count):
    """`count` zeros, deflated; their checksum is wrong, but who gets that far has lost already."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * (count >> 20) + packer.flush(), 0


def zip64(name, data, crc, size):
    """An archive of one deflated member whose size takes more than 32 bits."""
    text = name.encode()
    extra = struct.pack("<HHQQ", 1, 16, size, len(data))
    common = struct.pack("<HHHIIIIHH", 45, 0, 8, 0, crc, 0xFFFFFFFF, 0xFFFFFFFF, len(text), len(extra))
    local = b"PK\x03\x04" + common + text + extra + data
    central = b"PK\x01\x02" + struct.pack("<H", 45) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + text + extra
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


def overlapping(count=200, kernel=1 << 20):
    """Members that share one deflated kernel, each quoting the headers of those after it (David Fifield, "A better zip bomb", 2019)."""
    data, _ = zeros(kernel)
    names = [f"a{index:03}.npy".encode() for index in range(count)]
    headers, compressed, size, following = [], len(data), kernel, b""
    for name in reversed(names):
        if headers:
            quote = b"\x00" + struct.pack("<HH", len(following), len(following) ^ 0xFFFF)
            compressed, size = compressed + len(quote) + len(following), size + len(following)
        else:
            quote = b""
        common = struct.pack("<HHHIIIIHH", 20, 0, 8, 0, 0, compressed, size, len(name), 0)
        following = b"PK\x03\x04" + common + name
        headers.append((name, common, following + quote))
    headers.reverse()
    files, directory = b"", b""
    for name, common, header in headers:
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(files)) + name
        files += header
    files += data
    return files + directory + b"PK\x05\x06" + struct.pack(
        "<HHHHIIH", 0, 0, count, count, len(directory), len(files), 0)


def legacy(pickle):
    """The older layout of torch.save with any pickle in the place of the object."""
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00."
    return magic + pickle + b"\x80\x02]q\x00."


def torch(pickle, *members):
    return archive(stored("archive/data.pkl", pickle), *members)


def tensor(key, shape, strides, offset=0, count=4, kind=b"FloatStorage"):
    """The pickle of one tensor."""
    def integer(value):
        return b"\x8a\x08" + struct.pack("<q", value) if abs(value) > 1 << 30 else b"J" + struct.pack("<i", value)
    def row(values):
        return b"(" + b"".join(map(integer, values)) + b"t"
    text = key.encode()
    return (b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n" + kind + b"\nX" + struct.pack("<I", len(text))
            + text + b"X\x03\0\0\0cpu" + integer(count) + b"tQ" + integer(offset) + row(shape) + row(strides)
            + b"\x89ccollections\nOrderedDict\n)RtR")


def state(*tensors):
    items = b"".join(b"X" + struct.pack("<I", len(name)) + name.encode() + value for name, value in tensors)
    return b"\x80\x02}(" + items + b"u."


def cases():
    """(name of the file, bytes)"""
    vit = (MODELS / "timm-avg/model.safetensors").read_bytes()
    npz = (MODELS / "google-npz/model.npz").read_bytes()
    pth = (MODELS / "deit-original/model.pth").read_bytes()
    pickled = (CONTAINERS / "pytorch/training-legacy.pth").read_bytes()
    for kind, whole in (("safetensors", vit), ("npz", npz), ("pth", pth), ("legacy.pth", pickled)):
        for share in (1, 10, 25, 50, 75, 90, 99):
            yield f"cut at {share} percent.{kind}", whole[:len(whole) * share // 100]
        yield f"cut by one byte.{kind}", whole[:-1]

    bomb, crc = zeros(10_000 << 20)
    yield "10 MB of zeros that inflate to 10 GB.npz", zip64("a.npy", bomb, crc, 10_000 << 20)
    yield "10 MB of zeros that are said to be 64 MB.npz", archive(("a.npy", bomb, crc, 64 << 20, 8))
    yield "10 MB of zeros that inflate to 10 GB.pth", zip64("archive/data.pkl", bomb, crc, 10_000 << 20)
    yield "10 MB of zeros in place of a pickle.pth", archive(("archive/data.pkl", bomb, crc, 16 << 20, 8))
    header = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (16777184,), }")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    yield "64 MB of zeros as the elements.npz", archive(deflated("a.npy", header + bytes(16777184 * 4)))
    yield "overlapping members.npz", overlapping()
    yield "two members of one name.npz", archive(
        *[stored("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", bytes(4)))] * 2)
    yield "65,535 members.npz", archive(*[
        stored(f"{index}.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }"))
        for index in range(65_535)])
    for name, text in (
            ("shape overflows", "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"),
            ("size overflows", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }"),
            ("too few bytes", "{'descr': '<f4', 'fortran_order': False, 'shape': (1000,), }"),
            ("objects", "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }")):
        yield f"{name}.npz", archive(stored("embedding/kernel.npy", npy(text, bytes(64))))
    yield "header of 4 GB.npz", archive(stored(
        "a.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 0xFFFFFFFF) + bytes(64)))

    yield "os.system.pth", torch(b"\x80\x02cos\nsystem\nX\x05\0\0\0touchX\x01\0\0\0a\x86R.")
    yield "os.system.legacy.pth", legacy(b"\x80\x02cposix\nsystem\nX\x02\0\0\0id\x85R.")
    yield "os.system, stack global.pth", torch(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.")
    yield "eval as a default factory.pth", torch(b"\x80\x02ccollections\ndefaultdict\ncbuiltins\neval\n\x85R.")
    yield "10,000 lists in one another.pth", torch(b"\x80\x02" + b"](" * 10_000 + b"e" * 10_000 + b".")
    yield "10,000 tuples in one another.legacy.pth", legacy(b"\x80\x02)" + b"\x85" * 10_000 + b".")
    yield "10,000,000 marks.pth", torch(b"\x80\x02" + b"(" * 10_000_000)
    yield "10,000,000 lists.pth", torch(b"\x80\x02(" + b"]" * 10_000_000 + b"t.")
    yield "10,000,000 times one value.pth", torch(b"\x80\x02(" + b"N" * 10_000_000 + b"l.")
    yield "10,000,000 numbers in 40,000 lists.pth", torch(b"\x80\x02" + (b"](" + b"N" * 250 + b"e0") * 40_000 + b"N.")
    yield "list that is doubled 60 times.pth", torch(b"\x80\x02]q\x00" + b"(h\x00h\x00lq\x00" * 60 + b".")
    yield "dictionary copied for ever.pth", torch(
        b"\x80\x02}(" + b"".join(b"K" + bytes([i]) + b"N" for i in range(200)) + b"uq\x00"
        + b"ccollections\nOrderedDict\nh\x00\x85R0" * 100_000 + b".")
    yield "1,000,000 names.pth", torch(
        b"\x80\x02" + b"".join(b"c%d\nx\n0" % index for index in range(1_000_000)) + b"N.")
    yield "memo at 4,294,967,295.pth", torch(b"\x80\x02]r\xff\xff\xff\xff.")
    yield "string of 4 GB.pth", torch(b"\x80\x02X\xff\xff\xff\xffabc.")
    yield "string of 2^64 bytes.pth", torch(b"\x80\x04\x8d" + b"\xff" * 8 + b"abc.")
    storage = stored("archive/data/0", bytes(16))
    for name, value in (
            ("size beyond the storage", tensor("0", [5], [1])),
            ("stride beyond the storage", tensor("0", [2, 2], [1, 1 << 40])),
            ("size overflows", tensor("0", [1 << 40, 1 << 40], [0, 0])),
            ("stride overflows", tensor("0", [3], [1 << 62])),
            ("offset overflows", tensor("0", [1], [1], offset=(1 << 63) - 1)),
            ("negative stride", tensor("0", [2], [-1], offset=3)),
            ("negative offset", tensor("0", [1], [1], offset=-1)),
            ("16 bytes expanded to 4 TB", tensor("0", [1 << 40], [0])),
            ("storage not there", tensor("1", [4], [1])),
            ("storage larger than it is", tensor("0", [1 << 20], [1], count=1 << 20)),
            ("complex numbers", tensor("0", [1], [1], count=2, kind=b"ComplexFloatStorage"))):
        yield f"{name}.pth", torch(state(("patch_embed.proj.weight", value)), storage)
    yield "two tensors of one name.pth", torch(state(*[("a", tensor("0", [4], [1]))] * 2), storage)

    data = bytes(64)
    for name, value in (
            ("overlapping offsets", {"a": entry([4], 0, 16), "b": entry([4], 8, 24), "c": entry([10], 24, 64)}),
            ("gap between offsets", {"a": entry([4], 0, 16), "b": entry([4], 48, 64)}),
            ("offsets beyond the file", {"a": entry([1000], 0, 4000)}),
            ("offsets overflow", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551616]}}'),
            ("largest offsets", {"a": entry([(1 << 61) - 1], 0, (1 << 63) - 4)}),
            ("reversed offsets", {"a": entry([4], 64, 48)}),
            ("negative offsets", {"a": entry([4], -16, 0)}),
            ("shape overflows", {"a": entry([1 << 40, 1 << 40], 0, 64)}),
            ("shape overflows to what fits", {"a": entry([1 << 62, 4, 16], 0, 64)}),
            ("negative shape", {"a": entry([-4, -4], 0, 64)}),
            ("wrong dtype", {"patch_embed.proj.weight": entry([64], 0, 64, "F31")}),
            ("integers as weights", {"patch_embed.proj.weight": entry([16], 0, 64, "I32"),
                                     "blocks.0.norm1.weight": entry([0], 64, 64, "I32")}),
            ("dtype twice", '{"a":{"dtype":"F32","dtype":"I32","shape":[16],"data_offsets":[0,64]}}'),
            ("two tensors of one name", '{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},'
             '"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}'),
            ("one name written in two ways", '{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},'
             '"\\u0061":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}')):
        yield f"{name}.safetensors", safetensors(value, data)
    yield "99 MB of brackets.safetensors", safetensors(b'{"a":' + b"[" * 99_000_000)
    yield "99 MB of spaces.safetensors", safetensors(b"{" + b" " * 99_000_000)
    yield "99 MB of a name.safetensors", safetensors(b'{"' + b"a" * 99_000_000)
    yield "99 MB of numbers.safetensors", safetensors(b'{"a":{"dtype":"F32","shape":[' + b"1," * 49_000_000)
    yield "99 MB of an unknown field.safetensors", safetensors(b'{"a":{"x":[' + b"[],{}," * 16_000_000)
    yield "99 MB of metadata.safetensors", safetensors(b'{"__metadata__":{"a":"' + b"a" * 99_000_000 + b'"}}')
    yield "1,000,000 entries of metadata.safetensors", safetensors(
        {"__metadata__": {str(index): "" for index in range(1_000_000)}})
    yield "1,000,000 tensors.safetensors", safetensors({str(index): entry([0], 0, 0) for index in range(1_000_000)})
    yield "65,536 tensors.safetensors", safetensors({str(index): entry([0], 0, 0) for index in range(65_536)})
    prefixes = [f"p{index}." for index in range(20)]
    names = [prefix + "patch_embed.proj.weight" for prefix in prefixes] + [
        f"{prefix}blocks.{index}.norm1.weight" for prefix in prefixes for index in range(800)]
    yield "16,000 tensors with 20 prefixes.safetensors", safetensors({name: entry([0], 0, 0) for name in names})
    deep = "a." * 400
    yield "prefix of 400 parts.safetensors", safetensors({name: entry([0], 0, 0) for name in [
        deep + "patch_embed.proj.weight"] + [f"{deep}blocks.{index}.norm1.weight" for index in range(16_000)]})
    yield "length of 2^64 - 1.safetensors", b"\xff" * 8 + b"{" + bytes(100)
    yield "length beyond the file.safetensors", struct.pack("<Q", 1000) + b"{" + bytes(100)

    layers = "img/Transformer/encoderblock/"
    arrays = ["img/embedding/kernel", *[layers + name for name in (
        "LayerNorm_0/bias", "LayerNorm_0/scale", "LayerNorm_1/bias", "LayerNorm_1/scale", "MlpBlock_0/Dense_0/bias",
        "MlpBlock_0/Dense_0/kernel", "MlpBlock_0/Dense_1/bias", "MlpBlock_0/Dense_1/kernel",
        "MultiHeadDotProductAttention_0/key/bias", "MultiHeadDotProductAttention_0/key/kernel",
        "MultiHeadDotProductAttention_0/out/bias", "MultiHeadDotProductAttention_0/out/kernel",
        "MultiHeadDotProductAttention_0/query/bias", "MultiHeadDotProductAttention_0/query/kernel",
        "MultiHeadDotProductAttention_0/value/bias", "MultiHeadDotProductAttention_0/value/kernel")]]
    big = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (16, 16, 3, 60000), }")
    small = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }")
    data = big + bytes(16 * 16 * 3 * 60000 * 4)
    yield "200 MB of zeros as a projection.npz", archive(
        deflated("embedding/kernel.npy", data), stored("x", bytes(10_000_000)),
        *[stored(f"Transformer/encoderblock_0/{name}.npy", small) for name in (
            "LayerNorm_0/scale", "LayerNorm_0/bias", "LayerNorm_2/scale", "LayerNorm_2/bias")])
    yield "a network of 10,000,000 layers of nothing.npz", archive(*[
        stored(name + ".npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (10000000, 0), }"))
        for name in arrays])


def folders():
    """(name of the folder, files)"""
    vit = (MODELS / "timm-avg/model.safetensors").read_bytes()
    weights = {"model.safetensors": vit}
    for name, text in (
            ("configuration of 16 MB of brackets", b"[" * (16 << 20)),
            ("configuration of 16 MB of numbers", b"[" + b"1," * (8 << 20)),
            ("configuration of 16 MB of objects", b"[" + b'{"a":{}},' * 1_800_000),
            ("configuration of 60 MB", b'"' + b"a" * 60_000_000 + b'"'),
            ("configuration that is cut", b'{"architecture": "vit_tiny_patch16_224", '),
            ("configuration that is a list", b"[]")):
        yield name, weights | {"config.json": text}
    index = json.dumps({"weight_map": {"a": "../../etc/passwd"}}).encode()
    yield "shard elsewhere", {"model.safetensors.index.json": index}
    yield "shard that is there twice", {
        "model.safetensors.index.json": b'{"weight_map":{"a":"b.safetensors","a":"c.safetensors"}}'}
    yield "index of 16 MB of numbers", {"model.safetensors.index.json": b'{"x":[' + b"1," * (8 << 20)}


def measure(vitrine, path, size):
    with tempfile.NamedTemporaryFile() as report:
        command = ["/usr/bin/time", "-f", "%U %S %e %M", "-o", report.name, vitrine, "inspect", path]
        run = subprocess.run(command, capture_output=True, text=True, errors="replace")
        user, system, elapsed, peak = report.read().decode().split("\n")[-2].split()
    seconds, elapsed, peak = float(user) + float(system), float(elapsed), int(peak) << 10
    message = run.stderr.strip()
    problems = []
    if run.returncode != 1:
        problems.append(f"exit status {run.returncode}")
    # The processor's time is what the file costs; the clock's depends on what else the machine does.
    if seconds > SECONDS:
        problems.append("time")
    if peak > size + MEMORY:
        problems.append("memory")
    if not message:
        problems.append("no message")
    return seconds, elapsed, peak, message.split("\n")[-1], problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vitrine", default=str(ROOT / ".build/release/vitrine"))
    parser.add_argument("--folder", type=pathlib.Path, help="keep the files here")
    parser.add_argument("--only", default="", help="those whose name contains this")
    options = parser.parse_args()
    temporary = tempfile.TemporaryDirectory()
    folder = options.folder or pathlib.Path(temporary.name)
    folder.mkdir(parents=True, exist_ok=True)
    failures = 0
    print(f"{'file':48} {'bytes':>11} {'cpu s':>6} {'s':>6} {'peak MiB':>8}  message")

    def report(name, path, size):
        nonlocal failures
        seconds, elapsed, peak, message, problems = measure(options.vitrine, path, size)
        failures += bool(problems)
        message = message.replace(str(path), "FILE").replace(str(folder), "")
        note = f"BROKEN: {', '.join(problems)}: " if problems else ""
        print(f"{name[:48]:48} {size:11,} {seconds:6.2f} {elapsed:6.2f} {peak / (1 << 20):8.1f}  {note}{message[:150]}", flush=True)

    for name, data in cases():
        if options.only in name:
            path = folder / name
            path.write_bytes(data)
            report(name, path, len(data))
            if not options.folder:
                path.unlink()
    for name, files in folders():
        if options.only in name:
            (folder / name).mkdir(exist_ok=True)
            for file, data in files.items():
                (folder / name / file).write_bytes(data)
            report(name, folder / name, sum(map(len, files.values())))
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
