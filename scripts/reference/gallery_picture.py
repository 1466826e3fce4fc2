#!/usr/bin/env python3
"""Put pictures side by side, for the documentation: docs/images/attention.jpg and others.

    gallery_picture.py --output docs/images/attention.jpg [--height 230] [--columns 4] maps/*.png
"""

import argparse
import pathlib

from PIL import Image

GAP = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--height", type=int, default=230, help="of each picture")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--quality", type=int, default=85, help="of the JPEG")
    parser.add_argument("pictures", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    images = []
    for path in options.pictures:
        with Image.open(path) as image:
            width = round(image.width * options.height / image.height)
            images.append(image.convert("RGB").resize((width, options.height), Image.LANCZOS))
    rows = [images[start:start + options.columns] for start in range(0, len(images), options.columns)]
    width = max(sum(image.width + GAP for image in row) - GAP for row in rows)
    sheet = Image.new("RGB", (width, len(rows) * (options.height + GAP) - GAP), "white")
    for index, row in enumerate(rows):
        left = 0
        for image in row:
            sheet.paste(image, (left, index * (options.height + GAP)))
            left += image.width + GAP
    sheet.save(options.output, quality=options.quality, optimize=True)


if __name__ == "__main__":
    main()
