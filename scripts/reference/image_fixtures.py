"""Writes Tests/Fixtures/images: small images in every form, and what others make of them.

Needs the versions of requirements.txt beside this file:

    python scripts/reference/image_fixtures.py

Each fixture file is a safetensors file. Encoded images are 1-D uint8 tensors named NAME.file; what they
decode to is NAME.rgb, uint8 [height, width, 3]. Configurations travel as JSON under __metadata__.
"""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
import timm
import torch
import transformers
from PIL import Image, ImageOps
from safetensors.numpy import save_file
from timm.data import create_transform, resolve_data_config
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

PINNED = {
    "pillow": (PIL.__version__, "13.0.0"),
    "numpy": (np.__version__, "2.4.6"),
    "torch": (torch.__version__.split("+")[0], "2.15.0"),
    "timm": (timm.__version__, "1.0.31"),
    "transformers": (transformers.__version__, "5.23.0"),
}
for package, (found, wanted) in PINNED.items():
    if found != wanted:
        raise SystemExit(f"{package} {wanted} is needed, {found} is installed")

OUTPUT = Path(__file__).resolve().parents[2] / "Tests" / "Fixtures" / "images"


def picture(width, height, seed):
    """Something like a photograph: gradients, edges and a little noise. uint8 [height, width, 3]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    channels = []
    for channel in range(3):
        value = 128 + 90 * np.sin(x / (5 + 3 * channel)) * np.cos(y / (9 - 2 * channel))
        value += 60 * ((x // 7 + y // 5 + channel) % 3 == 0)
        value -= 80 * ((x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 4) ** 2)
        channels.append(value + random.normal(0, 8, x.shape))
    return np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8)


def as_bytes(data):
    return np.frombuffer(bytes(data), dtype=np.uint8).copy()


def decoded(data, upright=False):
    """What Pillow shows. With `upright`, turned as EXIF asks."""
    image = Image.open(io.BytesIO(data))
    if upright:
        image = ImageOps.exif_transpose(image)
    return np.array(image.convert("RGB"))


# JPEG


def jpeg(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", **options)
    return buffer.getvalue()


def insert_segment(data, marker, payload):
    """Puts a segment right behind the start of a JPEG."""
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def without_segment(data, marker):
    position = 2
    while data[position + 1] != marker:
        position += 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
    end = position + 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
    return data[:position] + data[end:]


def damaged(data, seed, flips):
    """Flips bits behind the first start of scan."""
    random = np.random.default_rng(seed)
    scan = data.index(b"\xff\xda") + 14
    result = bytearray(data)
    for _ in range(flips):
        result[random.integers(scan, len(data) - 2)] ^= 1 << random.integers(0, 8)
    return bytes(result)


def jpegs():
    color = Image.fromarray(picture(37, 23, 1))
    large = Image.fromarray(picture(64, 48, 2))
    cmyk = Image.fromarray(
        np.concatenate([picture(37, 23, 3), picture(37, 23, 4)[..., :1]], axis=-1), mode="CMYK")
    result = {
        "grey": jpeg(color.convert("L"), quality=85),
        "444": jpeg(color, quality=90, subsampling=0),
        "422": jpeg(color, quality=80, subsampling=1),
        "420": jpeg(color, quality=75, subsampling=2),
        "420-large": jpeg(large, quality=40, subsampling=2),
        "411": jpeg(color, quality=75, subsampling="4:1:1"),
        "progressive": jpeg(large, quality=75, progressive=True),
        "progressive-grey": jpeg(large.convert("L"), quality=75, progressive=True),
        "restart": jpeg(large, quality=75, restart_marker_blocks=2),
        "rgb": jpeg(color, quality=90, keep_rgb=True),
        "cmyk": jpeg(cmyk, quality=90),
        "one-pixel": jpeg(Image.new("RGB", (1, 1), (200, 100, 50)), quality=90),
        "one-row": jpeg(Image.fromarray(picture(33, 1, 5)), quality=90),
        "one-column": jpeg(Image.fromarray(picture(1, 33, 6)), quality=90),
    }
    adobe = result["cmyk"].index(b"Adobe")
    ycck = bytearray(result["cmyk"])
    ycck[adobe + 11] = 2
    result["ycck"] = bytes(ycck)
    result["cmyk-without-adobe"] = without_segment(result["cmyk"], 0xEE)
    result["fill-bytes"] = result["444"][:2] + b"\xff\xff" + result["444"][2:]
    result["junk-behind"] = result["444"] + b"junk" * 5
    kept = 0
    for seed in range(200):
        base = ["420-large", "progressive", "restart", "444"][seed % 4]
        data = damaged(result[base], seed, flips=1 + seed % 3)
        try:
            decoded(data)
        except OSError:
            continue
        result[f"damaged-{kept}"] = data
        kept += 1
        if kept == 16:
            break
    return result


# PNG: written here, because Pillow writes neither all depths nor interlaced ones

ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(name, payload):
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def packed(row, depth):
    """One row of samples, [width * channels], as bytes."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    bits = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :]
    return np.packbits(bits.reshape(-1)).tobytes()


def filtered(rows, bytes_per_pixel, random):
    """Each row with one of the five filters, by lot."""
    result = b""
    above = bytes(len(rows[0]))
    for row in rows:
        kind = int(random.integers(0, 5))
        line = bytearray()
        for i, value in enumerate(row):
            a = row[i - bytes_per_pixel] if i >= bytes_per_pixel else 0
            b = above[i]
            c = above[i - bytes_per_pixel] if i >= bytes_per_pixel else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line.append((value - [0, a, b, (a + b) // 2, paeth][kind]) % 256)
        result += bytes([kind]) + bytes(line)
        above = row
    return result


def png(samples, depth, color_type, interlaced=False, before=(), after=()):
    """samples: [height, width, channels]. before, after: chunks in front of and behind the pixel data."""
    random = np.random.default_rng(7)
    height, width, channels = samples.shape
    bytes_per_pixel = max(channels * depth // 8, 1)
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    raw = b""
    for top, left, down, right in passes:
        part = samples[top::down, left::right]
        if part.size:
            raw += filtered([packed(row.reshape(-1), depth) for row in part], bytes_per_pixel, random)
    data = zlib.compress(raw, 9)
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    half = len(data) // 2
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(*c) for c in before)
        + chunk(b"IDAT", data[:half])
        + chunk(b"IDAT", data[half:])
        + b"".join(chunk(*c) for c in after)
        + chunk(b"IEND", b"")
    )


def pngs():
    random = np.random.default_rng(8)
    result = {}
    combinations = [(0, d) for d in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)]
    combinations += [(c, d) for c in (2, 4, 6) for d in (8, 16)]
    for color_type, depth in combinations:
        channels = CHANNELS[color_type]
        samples = random.integers(0, 2**depth, (13, 19, channels))
        if depth == 16:
            samples[::2] = samples[::2] % 512  # around 255, where grey is clipped
        before = []
        if color_type == 3:
            before.append((b"PLTE", random.integers(0, 256, 3 * 2**depth, dtype=np.uint8).tobytes()))
        transparency = {
            0: struct.pack(">H", int(samples[0, 0, 0])),
            2: struct.pack(">HHH", *(int(v) for v in samples[0, 0])) if channels == 3 else b"",
            3: bytes([0, 128]),
        }.get(color_type)
        name = f"{['grey', '', 'rgb', 'palette', 'grey-alpha', '', 'rgba'][color_type]}-{depth}"
        result[name] = png(samples, depth, color_type, before=before)
        result[f"{name}-interlaced"] = png(samples, depth, color_type, True, before=before)
        if transparency:
            with_transparency = before + [(b"tRNS", transparency)]
            result[f"{name}-transparent"] = png(samples, depth, color_type, before=with_transparency)
    indices = random.integers(0, 256, (13, 19, 1))
    short = (b"PLTE", random.integers(0, 256, 30, dtype=np.uint8).tobytes())
    result["palette-too-short"] = png(indices, 8, 3, before=[short])
    color = picture(19, 13, 9)
    result["gamma"] = png(color, 8, 2, before=[(b"gAMA", struct.pack(">I", 45455 * 2)), (b"sRGB", b"\0")])
    result["text"] = png(color, 8, 2, before=[(b"tEXt", b"Comment\0hello"), (b"zTXt", b"A\0\0garbage")])
    for width, height in ((1, 1), (2, 1), (1, 5), (3, 2), (5, 9)):
        part = color[:height, :width]
        result[f"interlaced-{width}x{height}"] = png(part, 8, 2, True)
    sound = result["rgb-8"]
    bad = bytearray(sound)
    bad[-14] ^= 0xFF  # the checksum of the last IDAT
    result["bad-pixel-checksum"] = bytes(bad)
    result["without-end"] = sound[:-12]
    result["cut-behind-last-row"] = sound[:-18]
    result["cut-behind-last-row-interlaced"] = result["rgb-8-interlaced"][:-18]
    return result


# Orientation


def tiff(orientation, order="<", kind=3):
    """The smallest EXIF that has an orientation."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    entries = struct.pack(order + "HHI", 0x010F, 2, 2) + b"x\0\0\0"
    entries += struct.pack(order + "HHI", 0x0112, kind, 1) + value
    return head + struct.pack(order + "I", 8) + struct.pack(order + "H", 2) + entries + bytes(4)


def oriented():
    pixels = picture(11, 6, 10)
    plain = jpeg(Image.fromarray(pixels), quality=90, subsampling=0)
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'
    xmp_signature = b"http://ns.adobe.com/xap/1.0/\0"
    result = {}
    for orientation in range(10):
        result[f"jpeg-little-{orientation}"] = insert_segment(plain, 0xE1, b"Exif\0\0" + tiff(orientation))
        result[f"png-{orientation}"] = png(pixels, 8, 2, before=[(b"eXIf", tiff(orientation, ">"))])
    result["jpeg-big"] = insert_segment(plain, 0xE1, b"Exif\0\0" + tiff(6, ">"))
    result["jpeg-long"] = insert_segment(plain, 0xE1, b"Exif\0\0" + tiff(8, "<", kind=4))
    result["jpeg-signed-twice"] = insert_segment(plain, 0xE1, b"Exif\0\0Exif\0\0" + tiff(3))
    whole = tiff(6)
    split = insert_segment(plain, 0xE1, b"Exif\0\0" + whole[20:])
    result["jpeg-split"] = insert_segment(split, 0xE1, b"Exif\0\0" + whole[:20])
    result["jpeg-xmp"] = insert_segment(plain, 0xE1, xmp_signature + xmp % 6)
    result["jpeg-xmp-element"] = insert_segment(
        plain, 0xE1, xmp_signature + b"<tiff:Orientation>3</tiff:Orientation>")
    result["jpeg-exif-over-xmp"] = insert_segment(
        result["jpeg-xmp"], 0xE1, b"Exif\0\0" + tiff(1))
    result["png-behind"] = png(pixels, 8, 2, after=[(b"eXIf", tiff(5))])
    result["png-xmp"] = png(
        pixels, 8, 2, before=[(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp % 8)])
    return result


# Resampling

FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


def resizes():
    """NAME.rgb: the sources; SOURCE.FILTER.WIDTHxHEIGHT: the results, uint8 [height, width, 3]."""
    random = np.random.default_rng(11)
    sources = {
        "picture": picture(37, 23, 12),
        "noise": random.integers(0, 256, (31, 53, 3), dtype=np.uint8),
        "tall": picture(9, 90, 13),
        "wide": picture(130, 5, 14),
        "pixel": np.array([[[3, 250, 128]]], dtype=np.uint8),
        "extremes": (random.integers(0, 2, (40, 40, 3)) * 255).astype(np.uint8),
    }
    targets = {
        "picture": [(16, 10), (37, 10), (16, 23), (74, 46), (50, 7), (7, 50), (1, 1), (36, 22), (38, 24),
                    (37, 23)],  # fmt: skip
        "noise": [(17, 10), (50, 15), (51, 29), (52, 29), (60, 20), (40, 4), (3, 40)],
        "tall": [(8, 8), (9, 9), (4, 40), (12, 12)],
        "wide": [(8, 8), (40, 2), (64, 5), (131, 4)],
        "pixel": [(5, 7), (1, 9)],
        "extremes": [(13, 29), (61, 55), (39, 37), (20, 40)],
    }
    tensors = {f"{name}.rgb": pixels for name, pixels in sources.items()}
    for name, sizes in targets.items():
        image = Image.fromarray(sources[name])
        for width, height in sizes:
            for method in FILTERS:
                resized = image.resize((width, height), Image.Resampling[method.upper()])
                tensors[f"{name}.{method}.{width}x{height}"] = np.array(resized)
    return tensors


# Transforms

PROCESSORS = {
    "ViTImageProcessor": ViTImageProcessorPil,
    "ViTFeatureExtractor": ViTImageProcessorPil,
    "BitImageProcessor": BitImageProcessorPil,
    "CLIPImageProcessorFast": CLIPImageProcessorPil,
    "DeiTImageProcessor": DeiTImageProcessorPil,
    "SiglipImageProcessor": SiglipImageProcessorPil,
}


def timm_cases():
    random = np.random.default_rng(15)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    cases = [
        {"input_size": [3, 24, 24], "crop_pct": 0.9, "mean": [0.5] * 3, "std": [0.5] * 3,
         "interpolation": "bicubic", "crop_mode": "center"},
        {"input_size": [3, 32, 32], "crop_pct": 1.0, "mean": mean, "std": std, "interpolation": "bilinear"},
        {"input_size": [3, 24, 32], "crop_pct": None, "crop_mode": "", "mean": mean},
        {"input_size": [3, 33, 17], "crop_pct": 0.95, "crop_mode": "border", "mean": mean, "std": std},
        {"input_size": [3, 20, 20], "crop_pct": 0.9, "crop_mode": "squash"},
    ]  # fmt: skip
    for _ in range(70):
        edges = random.integers(3, 25, 2).tolist()
        cases.append({
            "input_size": [3, edges[0], edges[0] if random.random() < 0.5 else edges[1]],
            "crop_pct": float(random.choice([0.5, 0.7, 0.84, 0.875, 0.9, 0.93, 0.95, 0.965, 1.0, 1.1])),
            "crop_mode": str(random.choice(["center", "squash", "border"])),
            "interpolation": str(random.choice(FILTERS)),
            "mean": random.random(3).round(3).tolist(),
        })  # fmt: skip
    return cases


def hugging_face_cases():
    random = np.random.default_rng(16)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    vit, bit = "ViTImageProcessor", "BitImageProcessor"
    cases = [
        {"image_processor_type": vit, "size": 24, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        {"feature_extractor_type": "ViTFeatureExtractor", "size": 20, "resample": 2, "image_mean": mean,
         "image_std": std},
        {"image_processor_type": vit, "size": {"height": 24, "width": 17}, "resample": 3,
         "rescale_factor": 0.00392156862745098},
        {"image_processor_type": vit, "size": {"height": 24, "width": 17}, "do_rescale": False},
        {"image_processor_type": vit, "size": {"height": 24, "width": 17}, "do_normalize": False},
        {"image_processor_type": bit, "size": {"shortest_edge": 32}, "crop_size": {"height": 28, "width": 28},
         "image_mean": mean, "image_std": std},
        {"image_processor_type": bit, "size": {"shortest_edge": 30, "longest_edge": 36}, "crop_size": 25},
        {"image_processor_type": bit, "do_resize": False, "crop_size": {"height": 31, "width": 40}},
        {"image_processor_type": "CLIPImageProcessorFast", "size": 22, "crop_size": 22},
        {"image_processor_type": "DeiTImageProcessor", "size": 32, "crop_size": 28},
        {"image_processor_type": "SiglipImageProcessor", "size": {"height": 16, "width": 16},
         "image_mean": 0.25, "image_std": 0.75, "rescale_factor": 0.01},
    ]  # fmt: skip
    for _ in range(45):
        edges = random.integers(3, 25, 4).tolist()
        size = random.choice([0, 1, 2])
        cases.append({
            "image_processor_type": str(random.choice([vit, bit, "DeiTImageProcessor"])),
            "size": [{"shortest_edge": edges[0]}, {"height": edges[0], "width": edges[1]},
                     {"shortest_edge": edges[0], "longest_edge": edges[0] + edges[1] - 2}][size],
            "do_center_crop": True,
            "crop_size": {"height": edges[2], "width": edges[3]},
            "resample": int(random.integers(0, 6)),
            "do_rescale": False,
            "do_normalize": False,
        })  # fmt: skip
    return cases


def transforms():
    """NAME.rgb: the sources; N.SOURCE: the result of case N, float32 or uint8 [3, height, width]."""
    sources = {
        "landscape": picture(64, 48, 17),
        "portrait": picture(30, 43, 18),
        "tall": picture(13, 70, 19),
        "wide": picture(75, 12, 20),
        "tiny": picture(7, 5, 21),
        "pixel": picture(1, 1, 22),
    }
    tensors = {f"{name}.rgb": pixels for name, pixels in sources.items()}
    cases = []
    for index, case in enumerate(timm_cases()):
        complete = index < 5
        for name, pixels in sources.items():
            configuration = resolve_data_config({}, pretrained_cfg=case)
            transform = create_transform(**configuration, is_training=False, normalize=complete)
            try:
                result = transform(Image.fromarray(pixels)).numpy()
            except ValueError:
                continue  # Pillow refuses to resize to no pixels at all.
            tensors[f"{len(cases)}.{name}"] = np.ascontiguousarray(result)
        cases.append({"library": "timm", "configuration": case})
    for index, case in enumerate(hugging_face_cases()):
        options = {k: v for k, v in case.items() if not k.endswith("_type")}
        kind = case.get("image_processor_type", case.get("feature_extractor_type"))
        processor = PROCESSORS[kind](**options)
        for name, pixels in sources.items():
            try:
                result = processor(images=Image.fromarray(pixels), return_tensors="np")
            except ValueError:
                continue
            tensors[f"{len(cases)}.{name}"] = np.ascontiguousarray(result["pixel_values"][0])
        cases.append({"library": "transformers", "configuration": case})
    return tensors, cases


def main():
    OUTPUT.mkdir(parents=True, exist_ok=True)
    pillow = {"versions": json.dumps({name: wanted for name, (_, wanted) in PINNED.items()})}
    for name, files in {"jpeg": jpegs(), "png": pngs()}.items():
        tensors = {}
        for form, data in files.items():
            tensors[f"{form}.file"] = as_bytes(data)
            tensors[f"{form}.rgb"] = decoded(data)
        save_file(tensors, OUTPUT / f"{name}.safetensors", pillow)
    tensors = {}
    for form, data in oriented().items():
        tensors[f"{form}.file"] = as_bytes(data)
        tensors[f"{form}.rgb"] = decoded(data, upright=True)
    save_file(tensors, OUTPUT / "orientation.safetensors", pillow)
    save_file(resizes(), OUTPUT / "resize.safetensors", pillow)
    tensors, cases = transforms()
    save_file(tensors, OUTPUT / "transform.safetensors", {**pillow, "cases": json.dumps(cases)})
    for path in sorted(OUTPUT.iterdir()):
        print(f"{path.stat().st_size:>9,}  {path.name}")


if __name__ == "__main__":
    main()
