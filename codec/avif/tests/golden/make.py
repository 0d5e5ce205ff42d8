#!/usr/bin/env python3
"""Writes files of AVIF, and beside each as PNG what another decoder sees in it.

Needs Pillow 11.3 or newer, which encodes by another libaom; PyAV, which decodes by
dav1d; and NumPy, for the colours: bilinear chroma and BT.601 of full range, as the
codec's documentation states. Pillow would take other roundings for colours.
"""

import pathlib

import av
import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
PHOTOGRAPH = HERE.parents[3] / "data/demo/images/fig.jpg"
SIZE = (97, 75)


def planes(path):
    """The planes of a still picture, as dav1d decodes them."""
    with av.open(str(path)) as file:
        assert file.streams.video[0].codec_context.codec.name == "libdav1d"
        frame = next(file.decode(video=0))
        assert frame.color_range == 2, "full range"
        return [np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width] for p in frame.planes]


def upsampled(plane):
    """Twice as wide and high: 3/4 of the nearest sample, 1/4 of the next, edges repeated."""
    for axis in (0, 1):
        plane = np.moveaxis(plane, axis, 0)
        before = np.concatenate([plane[:1], plane[:-1]])
        after = np.concatenate([plane[1:], plane[-1:]])
        pairs = np.stack([0.75 * plane + 0.25 * before, 0.75 * plane + 0.25 * after], 1)
        plane = np.moveaxis(pairs.reshape(-1, *plane.shape[1:]), 0, axis)
    return plane


def pixels(path):
    y, *chroma = planes(path)
    if not chroma:
        return y
    cb, cr = (upsampled(plane - 128.0)[: y.shape[0], : y.shape[1]] for plane in chroma)
    kr, kb = 0.299, 0.114
    kg = 1 - kr - kb
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    g = y - 2 * (kr * (1 - kr) * cr + kb * (1 - kb) * cb) / kg
    return np.clip(np.stack([r, g, b], 2) + 0.5, 0, 255).astype(np.uint8)


def main():
    rgb = Image.open(PHOTOGRAPH).crop((0, 0, *SIZE))
    for name, image in (("rgb8", rgb), ("gray8", rgb.getchannel("G"))):
        for quality in (10, 60):
            path = HERE / f"{name}-{quality}.avif"
            image.save(path, quality=quality, speed=6, max_threads=1)
            Image.fromarray(np.ascontiguousarray(pixels(path))).save(path.with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
