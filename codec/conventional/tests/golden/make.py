#!/usr/bin/env python3
"""Writes pillow.csv: what Pillow decodes from files that it encoded itself.

Needs Pillow. One bundled photograph is encoded at several settings by Pillow's
libjpeg-turbo and libwebp, decoded again, and the SHA-256 of the pixels (rows from
top to bottom, without padding) is written. The codecs must give the same pixels
from the same photograph. `source` is the photograph's own pixels.
"""

import csv
import hashlib
import io
import pathlib

from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
PHOTOGRAPH = HERE.parents[3] / "data/demo/images/fig.jpg"

JPEG = {
    "420": {"subsampling": "4:2:0"},
    "444": {"subsampling": "4:4:4"},
    "420-optimised": {"subsampling": "4:2:0", "optimize": True},
    "444-optimised": {"subsampling": "4:4:4", "optimize": True},
    "420-progressive": {"subsampling": "4:2:0", "progressive": True},
    "444-progressive": {"subsampling": "4:4:4", "progressive": True},
}
WEBP = {"m0": {"method": 0}, "m4": {"method": 4}, "m6": {"method": 6}}


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


def decoded(image, kind, **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return Image.open(file)


def main():
    rgb = Image.open(PHOTOGRAPH)
    rows = [("source", "", "rgb8", "", digest(rgb))]
    for quality in (5, 25, 75):
        for preset, settings in JPEG.items():
            rows.append(("jpeg", preset, "rgb8", quality, digest(decoded(rgb, "JPEG", quality=quality, **settings))))
    # Grey that is exact without rounding rules: the green channel.
    green = rgb.getchannel("G")
    for quality in (5, 25, 75):
        rows.append(("jpeg", "420", "gray8", quality, digest(decoded(green, "JPEG", quality=quality))))
    for quality in (0, 25, 75):
        for preset, settings in WEBP.items():
            pixels = decoded(rgb, "WEBP", quality=quality, **settings).convert("RGB")
            rows.append(("webp", preset, "rgb8", quality, digest(pixels)))
    with open(HERE / "pillow.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("codec", "preset", "format", "quality", "sha256"))
        table.writerows(rows)


if __name__ == "__main__":
    main()
