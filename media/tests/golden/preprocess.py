#!/usr/bin/env python3
"""Writes preprocess.txt: what Pillow makes of a synthetic image by crop, then resize.

usage: preprocess.py > preprocess.txt        (needs: pillow, numpy; written by Pillow 13.0.0)

One line per case: mode, width, height, part, whole, filter, target width, target height,
and the pixels of the result as hexadecimal digits. The image is `picture` below, which the
Rust test makes by the same integers.
"""

import numpy as np
from PIL import Image

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


def picture(mode, width, height):
    """Waves, an edge and a texture: smooth parts, sharp parts, both ends of the scale."""
    y, x, c = np.mgrid[0:height, 0:width, 0 : 3 if mode == "RGB" else 1]
    wave = (x * x + 3 * y * y + 29 * c * x) // 16
    edge = np.where((x * 2 + y) // 40 % 2 == 0, 255, 0)
    values = np.where((x + y * 2) // 64 % 2 == 0, wave % 256, edge ^ ((x * y) % 8)).astype(np.uint8)
    return Image.fromarray(values if mode == "RGB" else values[:, :, 0], mode)


def case(mode, width, height, part, whole, name, target):
    side = round(part / whole * min(width, height))
    left, top = (width - side) // 2, (height - side) // 2
    crop = picture(mode, width, height).crop((left, top, left + side, top + side))
    pixels = np.asarray(crop.resize(target, FILTERS[name]))
    print(mode, width, height, part, whole, name, *target, pixels.tobytes().hex())


def main():
    for name in FILTERS:
        case("RGB", 125, 94, 224, 256, name, (16, 16))
        case("L", 61, 77, 224, 256, name, (13, 9))
    # 38.5 and 45.5 pixels: halves go to the even number.
    case("RGB", 44, 60, 224, 256, "bicubic", (12, 12))
    case("RGB", 52, 60, 224, 256, "bicubic", (12, 12))
    # Enlarged; and left as it is.
    case("RGB", 17, 16, 224, 256, "bicubic", (24, 24))
    case("RGB", 16, 16, 224, 256, "bicubic", (14, 14))


if __name__ == "__main__":
    main()
