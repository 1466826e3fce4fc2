#!/usr/bin/env python3
"""Write the colour maps that Vitrine carries: one line a map, its name and 256 colours as RRGGBB, from the lowest value to the highest.

    color_maps.py [Sources/Figures/Resources/color-maps.txt]

Needs matplotlib, whose tables these are: viridis, magma and inferno by van der Walt and Smith (public domain, CC0), cividis by Nuñez, Anderton and
Renslow (PLOS ONE 2018), coolwarm by Moreland (ISVC 2009).
"""

import pathlib
import sys

import matplotlib
import matplotlib.colors

VERSION = "3.11.2"
MAPS = ("viridis", "magma", "inferno", "cividis", "coolwarm")
DEFAULT = pathlib.Path(__file__).parents[2] / "Sources/Figures/Resources/color-maps.txt"


def main() -> None:
    if matplotlib.__version__ != VERSION:
        sys.exit(f"matplotlib {VERSION} is needed, {matplotlib.__version__} is installed")
    output = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    lines = []
    for name in MAPS:
        colors = matplotlib.colormaps[name](range(256))
        lines.append(f"{name} " + "".join(matplotlib.colors.to_hex(color)[1:] for color in colors))
    output.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
