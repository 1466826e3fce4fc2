#!/usr/bin/env python3
"""Draw the README's picture: the sample photos with the sample model's predictions.

    demo_picture.py [--vitrine .build/release/vitrine] [--output docs/images/demo.jpg]
"""

import argparse
import json
import pathlib
import subprocess

from PIL import Image, ImageDraw, ImageFont, ImageOps

ROOT = pathlib.Path(__file__).parents[2]
TILE, CAPTION, GAP, COLUMNS = 236, 52, 12, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vitrine", type=pathlib.Path, default=ROOT / ".build/release/vitrine")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs/images/demo.jpg")
    options = parser.parse_args()

    command = [options.vitrine, "classify", ROOT / "samples/photos", "--model", ROOT / "samples/models/cifar10",
               "--top-k", "2", "--format", "jsonl"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    results = [json.loads(line) for line in output.splitlines()]

    rows = -(-len(results) // COLUMNS)
    size = (COLUMNS * (TILE + GAP) + GAP, rows * (TILE + CAPTION + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    bold, plain = ImageFont.load_default(19), ImageFont.load_default(15)
    for index, result in enumerate(results):
        x = GAP + index % COLUMNS * (TILE + GAP)
        y = GAP + index // COLUMNS * (TILE + CAPTION + GAP)
        with Image.open(result["path"]) as photo:
            upright = ImageOps.exif_transpose(photo).convert("RGB")
        # What the model sees: the centre square.
        sheet.paste(ImageOps.fit(upright, (TILE, TILE), Image.Resampling.LANCZOS), (x, y))
        draw.rectangle((x, y, x + TILE - 1, y + TILE - 1), outline="#d0d0d0")
        first, second = result["predictions"]
        draw.text((x, y + TILE + 5), f"{first['label']}  {first['probability']:.0%}", fill="#111111", font=bold)
        draw.text((x, y + TILE + 29), f"{second['label']}  {second['probability']:.0%}", fill="#666666", font=plain)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.output, quality=88, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
