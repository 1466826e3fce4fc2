#!/usr/bin/env python3
"""Write the ImageNet-1k labels that Vitrine carries: one line a class, in index order, worded as timm words them.

    imagenet_labels.py [Sources/VisionTransformer/Resources/imagenet1k-labels.txt]
"""

import pathlib
import sys

from timm.data import ImageNetInfo

DEFAULT = pathlib.Path(__file__).parents[2] / "Sources/VisionTransformer/Resources/imagenet1k-labels.txt"


def main() -> None:
    output = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    labels = ImageNetInfo("imagenet-1k").label_descriptions()
    if len(labels) != 1000 or any(label != label.strip() or not label for label in labels):
        sys.exit("expected 1000 labels without space around them")
    output.write_text("\n".join(labels) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
