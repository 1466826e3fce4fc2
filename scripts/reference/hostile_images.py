"""Writes Tests/Fixtures/images/hostile.tar.gz: JPEG and PNG files that are odd, damaged or lying, and what Pillow says of each.

Needs the versions of requirements.txt beside this file, and cjpeg of libjpeg-turbo (Debian: libjpeg-turbo-progs):

    python scripts/reference/hostile_images.py

In the archive, cases.json has for each file, by its name, `pixels`, `width` and `height`: the file of uint8 [height, width, 3] that
Pillow shows, turned upright; or `refusal`, Pillow's words. Files that show the same share their pixels.
"""

import gzip
import hashlib
import io
import json
import struct
import subprocess
import tarfile
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from image_fixtures import (
    OUTPUT, PINNED, chunk, insert_segment, jpeg, picture, png, tiff, without_segment)  # fmt: skip

TURBO = "libjpeg-turbo version 2.1.5"


# JPEG: by libjpeg-turbo's tools, and by hand


def run(arguments, data):
    return subprocess.run(arguments, input=data, capture_output=True, check=True).stdout


def cjpeg(pixels, *arguments, scans=None):
    header = f"P{6 if pixels.ndim == 3 else 5} {pixels.shape[1]} {pixels.shape[0]} 255\n".encode()
    with tempfile.NamedTemporaryFile("w") as script:
        script.write(scans or "")
        script.flush()
        arguments = [*arguments, *(["-scans", script.name] if scans else [])]
        return run(["cjpeg", *arguments], header + pixels.tobytes())


def segments(data):
    """(start, marker, end of the segment) up to the first scan's data, and again behind each scan's."""
    found, position = [], 2
    while position + 4 <= len(data):
        marker = data[position + 1]
        if data[position] != 0xFF or marker in (0, 0xFF) or 0xD0 <= marker <= 0xD9:
            position += 1
            continue
        end = position + 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
        found.append((position, marker, end))
        position = end
    return found


def first(data, marker):
    return next(s for s in segments(data) if s[1] == marker)


def with_segment(data, marker, payload):
    """Puts a segment in front of the first one with its marker, or right behind the start."""
    start = next((s[0] for s in segments(data) if s[1] == marker), 2)
    return data[:start] + insert_segment(b"\xff\xd8", marker, payload)[2:] + data[start:]


def patched(data, offset, values):
    return data[:offset] + bytes(values) + data[offset + len(values) :]


def adobe(transform):
    return b"Adobe\0\x64\0\0\0\0" + bytes([transform])


def jpeg_kinds():
    """Every kind that encoders write, and some that they should not."""
    color, large, grey = picture(17, 11, 31), picture(41, 35, 32), picture(17, 11, 33)[..., 0]
    result = {}
    samplings = [
        "1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "2x4", "3x1", "1x3", "3x3", "4x4",
        "2x2,2x1,1x2", "2x2,1x2,1x1", "2x1,1x2,1x1", "1x1,2x2,2x2", "1x1,1x1,2x2", "3x1,1x1,1x1", "2x2,2x2,1x1", "3x2,3x1,1x2",
    ]  # fmt: skip
    for sampling in samplings:
        factors = sampling if "," in sampling else f"{sampling},1x1,1x1"
        for kind, options in {"": (), "-progressive": ("-progressive",), "-arithmetic": ("-arithmetic",)}.items():
            if kind == "-arithmetic" and sampling not in ("1x1", "2x2", "1x2"):
                continue
            try:
                result[f"sampling-{sampling}{kind}"] = cjpeg(color, "-sample", factors, *options)
            except subprocess.CalledProcessError:
                continue  # More blocks than an interleaved scan may have.
    for factor in ("1x1", "2x2", "1x2", "4x3"):
        result[f"grey-{factor}"] = cjpeg(grey, "-sample", factor)
    result["grey-progressive"] = cjpeg(grey, "-progressive")
    result["grey-arithmetic-progressive"] = cjpeg(grey, "-arithmetic", "-progressive")
    result["arithmetic-progressive"] = cjpeg(color, "-arithmetic", "-progressive")
    result["arithmetic-restart"] = cjpeg(large, "-arithmetic", "-restart", "1")
    result["optimized"] = cjpeg(color, "-optimize")
    result["rgb-jfif-less"] = cjpeg(color, "-rgb")
    result["quality-1"] = cjpeg(color, "-quality", "1")
    result["quality-1-baseline"] = cjpeg(color, "-quality", "1", "-baseline")
    result["quality-100"] = cjpeg(color, "-quality", "100")
    for blocks in ("1B", "3B", "1", "100"):
        result[f"restart-{blocks}"] = cjpeg(large, "-restart", blocks)
        result[f"restart-{blocks}-progressive"] = cjpeg(large, "-restart", blocks, "-progressive")
    result["scans-by-component"] = cjpeg(large, scans="0;1;2;")
    result["scans-in-two"] = cjpeg(large, scans="0,1;2;")
    result["scans-backwards"] = cjpeg(large, scans="2;1;0;")
    fine = "0,1,2: 0-0, 0, 1; 0: 1-5, 0, 2; 0: 6-63, 0, 2; 2: 1-63, 0, 0; 1: 1-63, 0, 0; 0: 1-63, 2, 1;"
    result["scans-by-bits"] = cjpeg(large, scans=fine + " 0,1,2: 0-0, 1, 0; 0: 1-63, 1, 0;")
    result["scans-left-out"] = cjpeg(large, scans=fine)
    for width, height in ((1, 1), (1, 17), (17, 1), (2, 3), (8, 8), (9, 7), (16, 16), (1, 200), (200, 1)):
        for subsampling in (0, 2):
            image = Image.fromarray(picture(width, height, width + height))
            result[f"{width}x{height}-{subsampling}"] = jpeg(image, quality=80, subsampling=subsampling)
    # What JPEG holds otherwise: transforms of colour, as Adobe's marker and component names tell them.
    plain = jpeg(Image.fromarray(color), quality=85, subsampling=0)
    bare = without_segment(plain, 0xE0)
    ink = np.concatenate([color, grey[..., None]], axis=-1)
    cmyk = jpeg(Image.fromarray(ink, mode="CMYK"), quality=85)
    naked = without_segment(cmyk, 0xEE)
    for transform in (0, 1, 2, 3, 255):
        result[f"adobe-{transform}"] = insert_segment(bare, 0xEE, adobe(transform))
        result[f"adobe-{transform}-jfif"] = with_segment(plain, 0xEE, adobe(transform))
        result[f"adobe-{transform}-4"] = insert_segment(naked, 0xEE, adobe(transform))
        result[f"adobe-{transform}-grey"] = insert_segment(cjpeg(grey), 0xEE, adobe(transform))
    result["adobe-short"] = insert_segment(bare, 0xEE, b"Adobe\0\x64")
    result["adobe-other"] = insert_segment(bare, 0xEE, b"Adobf\0\x64\0\0\0\0\0")
    result["adobe-twice"] = insert_segment(insert_segment(bare, 0xEE, adobe(0)), 0xEE, adobe(1))
    result["jfif-less"] = bare
    for name, ids in {"rgb": b"RGB", "bgr": b"BGR", "012": b"\0\1\2", "yccc": b"YCc", "same": b"\1\1\1", "big": b"\xff\xfe\xfd"}.items():
        result[f"components-{name}"] = with_components(bare, ids)
        result[f"components-{name}-jfif"] = with_components(plain, ids)
    result["components-cmyk"] = with_components(naked, b"CMYK")
    for subsampling in (0, 1, 2):
        for transform in (0, 2):
            data = jpeg(Image.fromarray(ink, mode="CMYK"), quality=85, subsampling=subsampling)
            result[f"four-{subsampling}-{transform}"] = patched(data, data.index(b"Adobe") + 11, [transform])
    result["four-progressive"] = jpeg(Image.fromarray(ink, mode="CMYK"), quality=85, progressive=True)
    result["two-components"] = two_components(plain)
    # Motion JPEG leaves the usual Huffman tables out.
    tables = plain
    while any(s[1] == 0xC4 for s in segments(tables)):
        tables = without_segment(tables, 0xC4)
    result["without-huffman-tables"] = tables
    result["without-one-huffman-table"] = without_segment(plain, 0xC4)
    result["without-quantization"] = without_segment(plain, 0xDB)
    return result


def with_components(data, ids):
    """The same with other names of the components, in the frame and in the scan."""
    frame, scan = first(data, 0xC0)[0], first(data, 0xDA)[0]
    for index, value in enumerate(ids):
        data = patched(data, frame + 10 + 3 * index, [value])
        data = patched(data, scan + 5 + 2 * index, [value])
    return data


def two_components(data):
    start, _, end = first(data, 0xC0)
    data = data[:start] + b"\xff\xc0" + struct.pack(">H", 14) + data[start + 4 : start + 9] + b"\2" + data[start + 10 : start + 16] + data[end:]
    start, _, end = first(data, 0xDA)
    return data[:start] + b"\xff\xda" + struct.pack(">H", 10) + b"\2" + data[start + 5 : start + 9] + b"\0\x3f\0" + data[end:]


def jpeg_metadata():
    """Segments that do not make the picture, and orientation."""
    plain = jpeg(Image.fromarray(picture(9, 6, 34)), quality=85, subsampling=0)
    photo = cjpeg(picture(9, 6, 35))
    result = {}
    for marker in [*range(0xE0, 0xF0), 0xFE, 0xF0, 0xF7, 0xC8, 0x02, 0xBF, 0xDE, 0xDF]:
        result[f"segment-{marker:02x}"] = insert_segment(plain, marker, b"anything at all")
        result[f"segment-{marker:02x}-empty"] = insert_segment(plain, marker, b"")
    result["comments"] = insert_segment(insert_segment(plain, 0xFE, b"one"), 0xFE, bytes(range(256)))
    result["segment-full"] = insert_segment(plain, 0xE5, bytes(0xFFFF - 2))
    result["icc-broken"] = insert_segment(plain, 0xE2, b"ICC_PROFILE\0\2\7nothing")
    result["icc-of-grey"] = insert_segment(plain, 0xE2, b"ICC_PROFILE\0\1\1" + bytes(128))
    result["photoshop-broken"] = insert_segment(plain, 0xED, b"Photoshop 3.0\x008BIM\x04\x04\xff\xff\xff\xff\xff")
    result["jfif-thumbnail"] = patched(photo, 4, struct.pack(">H", 16)) if photo[18:20] == b"\0\0" else photo
    result["jfif-short"] = insert_segment(without_segment(plain, 0xE0), 0xE0, b"JFIF\0")
    result["jfif-version-9"] = patched(plain, 11, [9])
    result["jfif-density"] = patched(plain, 13, [7, 0, 0, 0, 0])
    sound = {order: tiff(6, order) for order in "<>"}
    for order, name in (("<", "little"), (">", "big")):
        data = sound[order]
        for length in range(0, len(data), 3):
            result[f"exif-cut-{name}-{length}"] = insert_segment(plain, 0xE1, b"Exif\0\0" + data[:length])
        for offset in range(4, len(data), 2):
            payload = b"Exif\0\0" + patched(data, offset, [0xFF])
            result[f"exif-flipped-{name}-{offset}"] = insert_segment(plain, 0xE1, payload)
    for kind in range(1, 14):
        value = struct.pack("<H", 6) if kind in (3, 8) else struct.pack("<I", 6)
        entry = struct.pack("<HHI", 0x0112, kind, 1) + value.ljust(4, b"\0")
        payload = b"Exif\0\0II*\0\x08\0\0\0\1\0" + entry + bytes(4)
        result[f"exif-type-{kind}"] = insert_segment(plain, 0xE1, payload)
    for count in (0, 2, 3, 0xFFFFFFFF):
        payload = b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHIHH", 0x0112, 3, count, 6, 8) + bytes(4)
        result[f"exif-count-{count}"] = insert_segment(plain, 0xE1, payload)
    twice = b"\2\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 3, 0) + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    result["exif-twice-in-one"] = insert_segment(plain, 0xE1, b"Exif\0\0II*\0\x08\0\0\0" + twice + bytes(4))
    cyclic = b"\1\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<I", 8)
    result["exif-cyclic"] = insert_segment(plain, 0xE1, b"Exif\0\0II*\0\x08\0\0\0" + cyclic)
    result["exif-two-segments"] = insert_segment(
        insert_segment(plain, 0xE1, b"Exif\0\0" + tiff(3)), 0xE1, b"Exif\0\0" + tiff(6))
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    for name, entry in {
        "beyond": struct.pack("<HHII", 0x010F, 2, 20, 5000), "too-many": struct.pack("<HHII", 0x010F, 2, 0xFFFFFFFF, 8),
        "unknown-type": struct.pack("<HHII", 0x010F, 99, 20, 5000), "empty": struct.pack("<HHII", 0x0112, 3, 0, 3),
        "inside": struct.pack("<HHII", 0x010F, 2, 20, 8), "long-list": struct.pack("<HHII", 0x0112, 3, 3, 22),
        "byte": struct.pack("<HHII", 0x0112, 1, 1, 6), "rational": struct.pack("<HHII", 0x0112, 11, 1, 6),
    }.items():  # fmt: skip
        payload = b"Exif\0\0II*\0\x08\0\0\0\2\0" + entry + orientation + bytes(4)
        result[f"exif-after-{name}"] = insert_segment(plain, 0xE1, payload)
    swapped = b"MM*\0\0\0\0\x08" + tiff(6, ">")[8:]
    result["exif-head-swapped-big"] = insert_segment(plain, 0xE1, b"Exif\0\0" + swapped)
    for name, signature in {"xxif": b"Xxif\0\0", "no-zeros": b"Exif", "one-zero": b"Exif\0\xff", "lower": b"exif\0\0"}.items():
        result[f"exif-signature-{name}"] = insert_segment(plain, 0xE1, signature + tiff(6))
    for name, head in {"bigtiff": b"II+\0\x08\0\0\0", "swapped": b"II\0*\x08\0\0\0", "mixed": b"MM*\0\0\0\0\x08"}.items():
        result[f"exif-head-{name}"] = insert_segment(plain, 0xE1, b"Exif\0\0" + head + tiff(6)[8:])
    end = len(plain) - 2
    result["exif-behind"] = plain[:end] + insert_segment(b"\xff\xd8", 0xE1, b"Exif\0\0" + tiff(6))[2:] + plain[end:]
    scan = first(plain, 0xDA)[0]
    result["exif-before-scan"] = plain[:scan] + insert_segment(b"\xff\xd8", 0xE1, b"Exif\0\0" + tiff(6))[2:] + plain[scan:]
    result["exif-in-app2"] = insert_segment(plain, 0xE2, b"Exif\0\0" + tiff(6))
    xmp = b"http://ns.adobe.com/xap/1.0/\0"
    for name, text in {
        "": b'tiff:Orientation="6"', "single-quotes": b"tiff:Orientation='6'", "two-digits": b'tiff:Orientation="16"',
        "space": b'tiff:Orientation = "6"', "word": b'tiff:Orientation="six"', "element": b"<tiff:Orientation>6</tiff:Orientation>",
        "nine": b'tiff:Orientation="9"', "utf-16": 'tiff:Orientation="6"'.encode("utf-16-le"), "latin": b'\xff tiff:Orientation="6"',
        "twice": b'tiff:Orientation="x" tiff:Orientation="6"', "empty": b"",
    }.items():  # fmt: skip
        result[f"xmp-{name}"] = insert_segment(plain, 0xE1, xmp + text)
    buffer = io.BytesIO()
    frames = [Image.fromarray(picture(9, 6, seed)) for seed in (36, 37)]
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:], quality=85)
    result["mpo"] = buffer.getvalue()
    result["mpo-cut"] = result["mpo"][: len(result["mpo"]) // 2 + 40]
    result["mpo-broken"] = result["mpo"].replace(b"MPF\0II*\0", b"MPF\0II*\1").replace(b"MPF\0MM\0*", b"MPF\0MM\1*")
    return result


def jpeg_structure():
    """Cut, doubled, dropped, moved and lying segments."""
    bases = {
        "baseline": cjpeg(picture(17, 11, 38), "-sample", "2x2,1x1,1x1"),
        "progressive": cjpeg(picture(17, 11, 39), "-progressive", "-restart", "1B"),
    }
    result = {}
    for name, data in bases.items():
        found = segments(data)
        for index, (start, marker, end) in enumerate(found):
            case = f"{name}-{index}-{marker:02x}"
            places = {start, start + 1, start + 2, start + 3, (start + end) // 2, end - 1}
            if name == "progressive":
                places = {start, (start + end) // 2, end}
            for place in sorted(places):
                result[f"cut-{case}-{place}"] = data[:place]
                # An end where there is none.
                result[f"ended-{case}-{place}"] = data[:place] + b"\xff\xd9"
            length = end - start - 2
            for wrong in {0, 1, 2, length - 1, length + 1, length + 7, 0xFFFF}:
                result[f"length-{case}-{wrong}"] = patched(data, start + 2, struct.pack(">H", wrong))
            if index and found[index - 1][2] == start:
                before = found[index - 1][0]
                result[f"swapped-{case}"] = data[:before] + data[start:end] + data[before:start] + data[end:]
            if marker not in (0xC4,):
                result[f"dropped-{case}"] = data[:start] + data[end:]
                result[f"doubled-{case}"] = data[:end] + data[start:]
            for offset in range(start + 4, end, max(1, (end - start) // 5)):
                result[f"flipped-{case}-{offset}"] = patched(data, offset, [data[offset] ^ 0xFF])
                result[f"bit-{case}-{offset}"] = patched(data, offset, [data[offset] ^ 1 << offset % 8])
    data = bases["baseline"]
    scan = first(data, 0xDA)[2]
    for offset in range(scan, len(data) - 2, 5):
        result[f"entropy-{offset}"] = patched(data, offset, [data[offset] ^ 0x10])
    for name, inserted in {"eoi": b"\xff\xd9", "rst0": b"\xff\xd0", "soi": b"\xff\xd8", "tem": b"\xff\x01", "zero": b"\xff\x00",
                           "ffff": b"\xff\xff\xff", "com": b"\xff\xfe\x00\x04ab", "dqt": b"\xff\xdb\x00\x02", "res": b"\xff\x02"}.items():
        middle = (scan + len(data)) // 2
        result[f"inserted-{name}"] = data[:middle] + inserted + data[middle:]
        result[f"ahead-{name}"] = data[:2] + inserted + data[2:]
    restarts = cjpeg(picture(41, 20, 40), "-restart", "1B", "-sample", "1x1,1x1,1x1")
    places = [i for i in range(len(restarts) - 1) if restarts[i] == 0xFF and 0xD0 <= restarts[i + 1] <= 0xD7]
    for name, value in {"wrong": 0xD5, "next": 0xD2, "none": 0x00, "end": 0xD9}.items():
        result[f"restart-marker-{name}"] = patched(restarts, places[1] + 1, [value])
    result["restart-marker-dropped"] = restarts[: places[2]] + restarts[places[2] + 2 :]
    result["restart-part-dropped"] = restarts[: places[2]] + restarts[places[3] :]
    result["restart-part-doubled"] = restarts[: places[3]] + restarts[places[2] :]
    result["restart-interval-0"] = patched(restarts, first(restarts, 0xDD)[0] + 4, [0, 0])
    result["restart-interval-2"] = patched(restarts, first(restarts, 0xDD)[0] + 4, [0, 2])
    # What the frame claims.
    frame = first(data, 0xC0)[0]
    sizes = {"zero-width": (11, 0), "zero-height": (0, 17), "zero": (0, 0), "wider": (11, 33), "higher": (27, 17), "narrower": (11, 5),
             "lower": (3, 17), "huge": (65535, 65535), "largest": (65500, 65500), "row": (1, 65535), "column": (65535, 1)}  # fmt: skip
    for name, (height, width) in sizes.items():
        result[f"claims-{name}"] = patched(data, frame + 5, struct.pack(">HH", height, width))
    for value in (0, 1, 2, 4, 7, 9, 12, 16, 255):
        result[f"precision-{value}"] = patched(data, frame + 4, [value])
    for value in (0, 1, 2, 4, 5, 255):
        result[f"component-count-{value}"] = patched(data, frame + 9, [value])
    for value in (0x00, 0x01, 0x10, 0x12, 0x14, 0x44, 0x51, 0xFF):
        result[f"factors-{value:02x}"] = patched(data, frame + 11, [value])
    for marker in range(0xC1, 0xD0):
        if marker not in (0xC4, 0xC8, 0xCC):
            result[f"frame-{marker:02x}"] = patched(data, frame + 1, [marker])
    dnl = b"\xff\xdc\0\4" + struct.pack(">H", 11)
    result["dnl"] = patched(data, frame + 5, [0, 0])[:-2] + dnl + data[-2:]
    result["dnl-unneeded"] = data[:-2] + dnl + data[-2:]
    result["dnl-early"] = data[:frame] + dnl + data[frame:]
    result["junk-ahead"] = b"junk" + data
    result["junk-behind-start"] = data[:2] + b"junk" + data[2:]
    result["junk-between"] = data[: first(data, 0xDB)[0]] + b"\0\1\2junk" + data[first(data, 0xDB)[0] :]
    result["junk-behind"] = data + bytes(range(256))
    result["zeros-behind"] = data + bytes(5000)
    result["another-behind"] = data + bases["progressive"]
    starts = [start for start, _, _ in segments(data)]
    pieces = [data[a:b] for a, b in zip([0, *starts], [*starts, len(data)])]
    result["fill-everywhere"] = b"\xff\xff\xff".join(pieces)
    result["without-end"] = data[:-2]
    result["half-an-end"] = data[:-1]
    result["zero-for-end"] = data[:-2] + b"\0\0"
    result["start-only"] = data[:2]
    result["start-and-end"] = b"\xff\xd8\xff\xd9"
    result["starts-twice"] = data[:2] + data
    result["thumbnail-inside"] = insert_segment(data, 0xE1, b"Exif\0\0" + tiff(1) + cjpeg(picture(3, 3, 41)))
    result["tables-only"] = b"".join([data[:2], *[data[a:b] for a, m, b in segments(data) if m in (0xDB, 0xC4)], b"\xff\xd9"])
    result["tables-only-ahead"] = result["tables-only"] + data
    result["arithmetic-conditioning"] = with_segment(cjpeg(picture(17, 11, 42), "-arithmetic"), 0xCC, b"\0\x99")
    quantization = first(data, 0xDB)[0]
    result["quantization-16-bit"] = with_segment(data, 0xDB, b"\x10" + struct.pack(">64H", *range(1, 65)))
    result["quantization-zeros"] = with_segment(data[:quantization] + data[first(data, 0xDB)[2] :], 0xDB, b"\0" + bytes(64))
    result["quantization-table-4"] = with_segment(data, 0xDB, b"\4" + bytes(range(1, 65)))
    result["huffman-table-4"] = with_segment(data, 0xC4, b"\4" + bytes([1] + [0] * 15) + b"\0")
    result["huffman-overfull"] = with_segment(data, 0xC4, b"\0" + bytes([3] + [0] * 15) + b"\0\1\2")
    result["huffman-too-many"] = with_segment(data, 0xC4, b"\0" + bytes([255] * 16) + bytes(300))
    return result


# PNG: by hand


def split(data):
    """The chunks of a PNG file: (name, payload)."""
    chunks, position = [], 8
    while position < len(data):
        length = struct.unpack(">I", data[position : position + 4])[0]
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def joined(chunks):
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


def with_chunks(data, *chunks, before=b"IDAT"):
    whole = split(data)
    place = next(i for i, c in enumerate(whole) if c[0] == before)
    return joined(whole[:place] + list(chunks) + whole[place:])


def with_data(data, change):
    """The same with other pixel data, in one chunk: `change` takes and returns the compressed bytes."""
    whole = split(data)
    place = next(i for i, c in enumerate(whole) if c[0] == b"IDAT")
    compressed = b"".join(c[1] for c in whole if c[0] == b"IDAT")
    rest = [c for c in whole if c[0] != b"IDAT"]
    return joined(rest[:place] + [(b"IDAT", change(compressed))] + rest[place:])


def with_rows(data, change, level=9):
    return with_data(data, lambda d: zlib.compress(change(zlib.decompress(d)), level))


def png_kinds():
    color, tall = picture(13, 7, 51), picture(5, 9, 52)
    random = np.random.default_rng(53)
    base, interlaced = png(color, 8, 2), png(tall, 8, 2, True)
    indices = random.integers(0, 16, (7, 13, 1))
    palette = (b"PLTE", random.integers(0, 256, 48, dtype=np.uint8).tobytes())
    result = {"base": base, "interlaced": interlaced}
    # Chunks that say how colours are meant; all are ignored, well-formed or not.
    ancillary = {
        b"gAMA": [struct.pack(">I", v) for v in (0, 1, 45455, 100000, 2**31)] + [b"", b"\0"],
        b"sRGB": [b"\0", b"\3", b"\xff", b""], b"cHRM": [struct.pack(">8I", *range(31270, 31278)), b"\0" * 32, b"\0"],
        b"iCCP": [b"x\0\0" + zlib.compress(bytes(200)), b"x\0\0junk", b"x", b"", b"\0\0\0", b"x" * 90 + b"\0\0"],
        b"cICP": [b"\1\x0d\0\1", b"\x09\x10\0\1", b"\0"], b"sBIT": [b"\5\6\5", b"\0\0\0", b"\x09\x09\x09", b""],
        b"bKGD": [b"\0\1\0\2\0\3", b"\0"], b"pHYs": [b"\0\0\0\1\0\0\0\1\1", b""], b"tIME": [b"\7\xe5\1\1\0\0\0", b"\0" * 7, b"\1"],
        b"hIST": [b"\0\1"], b"sPLT": [b"x\0\x08" + bytes(6), b"x"], b"eXIf": [b"", b"II*\0", tiff(9), tiff(6) + b"junk"],
        b"tEXt": [b"Title\0hello", b"\0", b"", b"x" * 100], b"zTXt": [b"A\0\0" + zlib.compress(b"hello"), b"A\0\1x", b"A\0\0x", b"A", b""],
        b"iTXt": [b"A\0\0\0\0\0hello", b"A\0\1\0\0\0" + zlib.compress(b"hello"), b"A\0\1\0\0\0junk", b"A\0\0\0\0\0\xff\xfe", b"A", b""],
        b"oFFs": [b"\0" * 9], b"pCAL": [b"x\0" + bytes(10)], b"sCAL": [b"\1\x31\0\x31"], b"sTER": [b"\1"], b"dSIG": [b"x"],
        b"acTL": [b"\0\0\0\1\0\0\0\0", b"\0\0\0\0\0\0\0\0", b"\0\0\0\1", b""], b"quIz": [b"x"], b"quIZ": [b"x"], b"Quiz": [b"x"],
        b"QUIZ": [b"x"], b"\0\0\0\0": [b"x"], b"ID T": [b"x"], b"qu\xffz": [b"x"],
        b"fdAT": [b"\0\0\0\0x", b""], b"IDOT": [b"x"], b"CgBI": [b"\x50\0\x20\2"], b"MHDR": [b"x"], b"JHDR": [b"x"],
    }  # fmt: skip
    for name, payloads in ancillary.items():
        for index, payload in enumerate(payloads):
            label = name.decode("latin-1").encode("unicode_escape").decode()
            result[f"chunk-{label}-{index}"] = with_chunks(base, (name, payload))
        result[f"behind-{label}"] = with_chunks(base, (name, payloads[0]), before=b"IEND")
        result[f"twice-{label}"] = with_chunks(base, (name, payloads[0]), (name, payloads[-1]))
    bomb = zlib.compress(bytes(1 << 24), 9)
    result["bomb-zTXt"] = with_chunks(base, (b"zTXt", b"A\0\0" + bomb))
    result["bomb-iTXt"] = with_chunks(base, (b"iTXt", b"A\0\1\0\0\0" + bomb))
    result["bomb-iCCP"] = with_chunks(base, (b"iCCP", b"x\0\0" + bomb))
    # Transparency of each kind, fitting or not, and palettes.
    for color_type, channels in ((0, 1), (2, 3), (3, 1), (4, 2), (6, 4)):
        for depth in (1, 2, 4, 8, 16):
            if (color_type in (2, 4, 6) and depth < 8) or (color_type == 3 and depth == 16):
                continue
            samples = random.integers(0, min(2**depth, 2**16), (3, 5, channels))
            before = [(b"PLTE", palette[1][: 3 * min(16, 2**depth)])] if color_type == 3 else []
            if color_type == 3:
                samples %= min(16, 2**depth)
            name = f"type-{color_type}-{depth}"
            for label, transparency in {"none": None, "empty": b"", "one": b"\0", "two": b"\0\1", "six": b"\0\1\0\2\0\3", "long": bytes(300)}.items():
                if label == "none" and color_type in (0, 2):
                    continue  # Among the fixtures in png.safetensors.
                extra = [(b"tRNS", transparency)] if transparency is not None else []
                result[f"{name}-tRNS-{label}"] = png(samples, depth, color_type, before=before + extra)
    indexed = png(indices, 8, 3, before=[palette])
    for count in (0, 1, 2, 3, 4, 47, 48, 49, 768, 771, 3000):
        result[f"palette-bytes-{count}"] = png(indices, 8, 3, before=[(b"PLTE", bytes(i % 251 for i in range(count)))])
    for depth in (1, 2, 4):
        result[f"palette-too-long-{depth}"] = png(indices % 2**depth, depth, 3, before=[palette, ])
        result[f"palette-short-{depth}"] = png(indices % 2**depth, depth, 3, before=[(b"PLTE", palette[1][:3])])
    result["palette-missing"] = png(indices, 8, 3)
    result["palette-behind"] = with_chunks(png(indices, 8, 3), palette, before=b"IEND")
    result["palette-twice"] = with_chunks(indexed, (b"PLTE", bytes(48)))
    result["palette-of-grey"] = png(indices, 8, 0, before=[palette])
    result["palette-of-rgb"] = png(color, 8, 2, before=[palette])
    result["palette-of-rgb-odd"] = png(color, 8, 2, before=[(b"PLTE", b"\0\1")])
    result["tRNS-before-palette"] = with_chunks(indexed, (b"tRNS", b"\0\1"), before=b"PLTE")
    result["tRNS-behind"] = with_chunks(indexed, (b"tRNS", b"\0\1"), before=b"IEND")
    # Pixel data in pieces.
    compressed = b"".join(c[1] for c in split(base) if c[0] == b"IDAT")
    header, end = split(base)[0], (b"IEND", b"")
    ones = [(b"IDAT", compressed[i : i + 1]) for i in range(len(compressed))]
    result["bytewise"] = joined([header, *ones, end])
    result["empty-pieces"] = joined([header, (b"IDAT", b""), *[c for one in ones[:40] for c in (one, (b"IDAT", b""))], (b"IDAT", compressed[40:]), (b"IDAT", b""), end])
    result["data-empty"] = joined([header, (b"IDAT", b""), end])
    result["data-missing"] = joined([header, end])
    half = len(compressed) // 2
    pieces = [(b"IDAT", compressed[:half]), (b"IDAT", compressed[half:])]
    result["data-interrupted"] = joined([header, pieces[0], (b"tEXt", b"A\0b"), pieces[1], end])
    result["data-interrupted-unknown"] = joined([header, pieces[0], (b"quIz", b""), pieces[1], end])
    result["data-swapped"] = joined([header, pieces[1], pieces[0], end])
    result["data-behind-end"] = joined([header, end, *pieces])
    result["data-again"] = joined([header, *pieces, *pieces, end])
    result["header-late"] = joined([(b"tEXt", b"A\0b"), header, *pieces, end])
    result["header-twice"] = joined([header, header, *pieces, end])
    result["header-missing"] = joined([*pieces, end])
    result["end-twice"] = joined([header, *pieces, end, end])
    result["end-missing"] = joined([header, *pieces])
    result["end-with-data"] = joined([header, *pieces, (b"IEND", b"more")])
    result["junk-behind-end"] = base + bytes(range(256))
    result["another-behind-end"] = base + interlaced
    result["signature-only"] = base[:8]
    result["signature-of-text-mode"] = base.replace(b"\r\n", b"\n", 1)
    result["signature-cut"] = base[:7]
    # The stream of pixel data.
    result["adler-wrong"] = with_data(base, lambda d: d[:-4] + b"\0\0\0\0")
    result["adler-missing"] = with_data(base, lambda d: d[:-4])
    result["adler-half"] = with_data(base, lambda d: d[:-2])
    result["stream-junk-behind"] = with_data(base, lambda d: d + b"junk" * 20)
    result["stream-raw"] = with_data(base, lambda d: d[2:-4])
    result["stream-gzip"] = with_data(base, lambda d: b"\x1f\x8b" + d)
    result["stream-dictionary"] = with_data(base, lambda d: b"\x78\xf9" + d[2:])
    result["stream-small-window"] = with_data(base, lambda d: b"\x08\x1d" + d[2:])
    result["stream-stored"] = with_rows(base, lambda r: r, 0)
    for place in (2, 3, 4, 10, half, len(compressed) - 5):
        result[f"stream-cut-{place}"] = with_data(base, lambda d: d[:place])
        result[f"stream-flipped-{place}"] = with_data(base, lambda d: patched(d, place, [d[place] ^ 0x55]))
    # The rows in it.
    row = 1 + 13 * 3
    for value in (5, 6, 128, 255):
        result[f"filter-{value}-first"] = with_rows(base, lambda r: patched(r, 0, [value]))
        result[f"filter-{value}-middle"] = with_rows(base, lambda r: patched(r, 3 * row, [value]))
        result[f"filter-{value}-last"] = with_rows(base, lambda r: patched(r, 6 * row, [value]))
        result[f"filter-{value}-interlaced"] = with_rows(interlaced, lambda r: patched(r, 0, [value]))
    result["rows-one-missing"] = with_rows(base, lambda r: r[:-row])
    result["rows-byte-missing"] = with_rows(base, lambda r: r[:-1])
    result["rows-all-missing"] = with_rows(base, lambda r: b"")
    result["rows-too-many"] = with_rows(base, lambda r: r + r)
    result["rows-bomb"] = with_rows(base, lambda r: r + bytes(1 << 24))
    result["rows-interlaced-missing"] = with_rows(interlaced, lambda r: r[:-20])
    result["rows-interlaced-too-many"] = with_rows(interlaced, lambda r: r + r)
    result["rows-bits-set-behind"] = with_rows(png(indices % 2, 1, 0), lambda r: bytes(b | 1 for b in r[:3]) + r[3:])
    # What the header claims.
    sizes = {"zero-width": (0, 7), "zero-height": (13, 0), "wider": (20, 7), "narrower": (6, 7), "higher": (13, 9), "lower": (13, 5),
             "huge": (2**31 - 1, 2**31 - 1), "too-huge": (2**31, 2**31), "wide": (2**31 - 1, 1), "high": (1, 2**31 - 1),
             "million-wide": (10**6, 1), "bomb": (30000, 30000)}  # fmt: skip
    payload = header[1]
    for name, (width, height) in sizes.items():
        result[f"claims-{name}"] = joined([(b"IHDR", struct.pack(">II", width, height) + payload[8:]), *pieces, end])
    for field, offset, values in (("depth", 8, (0, 1, 2, 3, 4, 16, 32, 255)), ("type", 9, (0, 1, 3, 4, 5, 6, 7, 255)),
                                  ("compression", 10, (1, 255)), ("filter", 11, (1, 64, 255)), ("interlace", 12, (1, 2, 255))):  # fmt: skip
        for value in values:
            result[f"header-{field}-{value}"] = joined([(b"IHDR", patched(payload, offset, [value])), *pieces, end])
    for length in (0, 1, 8, 12, 14, 20, 100):
        result[f"header-bytes-{length}"] = joined([(b"IHDR", (payload + bytes(100))[:length]), *pieces, end])
    # Animations: the first picture.
    control = lambda n: (b"fcTL", struct.pack(">IIIIIHHBB", n, 13, 7, 0, 0, 1, 10, 0, 0))
    frame = (b"fdAT", struct.pack(">I", 2) + zlib.compress(bytes(row * 7)))
    count = (b"acTL", struct.pack(">II", 2, 0))
    result["animated"] = joined([header, count, control(0), *pieces, control(1), frame, end])
    result["animated-hidden-default"] = joined([header, (b"acTL", struct.pack(">II", 1, 0)), *pieces, control(0), (b"fdAT", b"\0\0\0\1" + frame[1][4:]), end])
    result["animated-wrong-order"] = joined([header, count, control(5), *pieces, control(1), frame, end])
    result["animated-short-control"] = joined([header, count, (b"fcTL", b"\0\0\0\0"), *pieces, end])
    result["animated-outside"] = joined([header, count, (b"fcTL", struct.pack(">IIIIIHHBB", 0, 20, 20, 5, 5, 1, 10, 0, 0)), *pieces, end])
    result["animated-small-frame"] = joined([header, count, (b"fcTL", struct.pack(">IIIIIHHBB", 0, 5, 3, 0, 0, 1, 10, 0, 0)), *pieces, end])
    result["animated-no-frames"] = joined([header, (b"acTL", struct.pack(">II", 0, 0)), control(0), *pieces, end])
    return result


def png_structure():
    """Cut, damaged, dropped and lying chunks."""
    random = np.random.default_rng(54)
    palette = (b"PLTE", random.integers(0, 256, 48, dtype=np.uint8).tobytes())
    text = [(b"gAMA", struct.pack(">I", 45455)), (b"tEXt", b"Title\0hello")]
    bases = {
        "rgb": png(picture(9, 6, 55), 8, 2, before=text),
        "palette-interlaced": png(random.integers(0, 16, (6, 9, 1)), 4, 3, True, before=[palette, (b"tRNS", b"\0\x80")]),
    }
    result = {}
    for name, data in bases.items():
        position = 8
        chunks = split(data)
        for index, (kind, payload) in enumerate(chunks):
            case = f"{name}-{index}-{kind.decode()}"
            end = position + 12 + len(payload)
            for place in sorted({position, position + 3, position + 4, position + 8, position + 8 + len(payload) // 2, end - 4, end - 1}):
                result[f"cut-{case}-{place}"] = data[:place]
                result[f"zeroed-{case}-{place}"] = data[:place] + bytes(len(data) - place)
            result[f"checksum-{case}"] = patched(data, end - 1, [data[end - 1] ^ 1])
            for wrong in {0, len(payload) - 1, len(payload) + 1, len(payload) + 12, 2**31 - 1, 2**31, 2**32 - 1}:
                if 0 <= wrong < 2**32:
                    result[f"length-{case}-{wrong}"] = patched(data, position, struct.pack(">I", wrong))
            result[f"dropped-{case}"] = joined(chunks[:index] + chunks[index + 1 :])
            result[f"doubled-{case}"] = joined(chunks[: index + 1] + chunks[index:])
            if index:
                result[f"swapped-{case}"] = joined(chunks[: index - 1] + [chunks[index], chunks[index - 1]] + chunks[index + 1 :])
            for offset in range(position + 4, end, max(1, (end - position) // 6)):
                result[f"flipped-{case}-{offset}"] = patched(data, offset, [data[offset] ^ 0xFF])
            for offset in range(0, len(payload), max(1, len(payload) // 6)):
                changed = chunks[:index] + [(kind, patched(payload, offset, [payload[offset] ^ 1 << offset % 8]))] + chunks[index + 1 :]
                result[f"sealed-{case}-{offset}"] = joined(changed)
            position = end
    return result


# What Pillow says


def shown(data):
    """Pixels, or the words of the refusal."""
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > 1 << 24:
            return None, f"not tried: {image.width}x{image.height} pixels"
        plain = image.convert("RGB")
    except Exception as error:  # Pillow promises no types.
        return None, f"{type(error).__name__}: {error}".split("<_io")[0].strip()
    try:
        return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")), None
    except Exception:
        # The picture can be seen, but not turned.
        return np.array(plain), None


def main():
    version = subprocess.run(["cjpeg", "-version"], capture_output=True, text=True, check=True)
    if not (version.stdout + version.stderr).startswith(TURBO):
        raise SystemExit(f"{TURBO} is needed, {(version.stdout + version.stderr).strip()} is installed")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    warnings.simplefilter("ignore", UserWarning)
    parts = {"jpg": [jpeg_kinds(), jpeg_metadata(), jpeg_structure()], "png": [png_kinds(), png_structure()]}
    files = {f"{name}.{ending}": data for ending in parts for part in parts[ending] for name, data in part.items()}
    members, cases, seen = {}, {}, set()
    for name, data in files.items():
        digest = hashlib.sha256(data).hexdigest()
        if digest in seen:
            continue
        seen.add(digest)
        pixels, refusal = shown(data)
        members[name] = data
        if refusal:
            cases[name] = {"refusal": refusal}
            continue
        key = f"pixels/{hashlib.sha256(pixels.tobytes()).hexdigest()[:12]}"
        members[key] = pixels.tobytes()
        cases[name] = {"pixels": key, "width": pixels.shape[1], "height": pixels.shape[0]}
    versions = {"libjpeg-turbo": TURBO.split()[-1], "pillow": PINNED["pillow"][1]}
    members["cases.json"] = json.dumps({"versions": versions, "cases": cases}, indent=1).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    path = OUTPUT / "hostile.tar.gz"
    path.write_bytes(gzip.compress(buffer.getvalue(), 9, mtime=0))
    refused = sum("refusal" in case for case in cases.values())
    print(f"{path.stat().st_size:,} bytes: {len(cases)} files, of which Pillow refuses {refused}")


if __name__ == "__main__":
    main()
