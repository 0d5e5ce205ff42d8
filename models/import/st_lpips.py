#!/usr/bin/env python3
"""Writes the graph of ST-LPIPS (AlexNet) without its weights, as ONNX.

usage: st_lpips.py OUT.onnx        (needs: onnx; no deep-learning framework)

ST-LPIPS (Ghildyal and Liu 2022) is LPIPS made tolerant of small shifts: the network is the one
whose checkpoint the package stlpips-pytorch 0.0.2 holds, trunk and linear layers. It differs
from LPIPS's AlexNet in strides of 1, each with a blur of stride 2 after it, whose input is
reflected by two pixels on every side. Every weight is named as in the checkpoint. `value_info`
lists name and shape of each, and that list is what the model store pours the checkpoint into.

Inputs `ref` and `dist`: RGB of -1 to 1, shape 1x3xHxW. Output `distance`: 1x1x1x1.
"""

import sys

from lpips import Graph, write
from onnx import TensorProto


def blur(g, x, name, channels):
    """A 3x3 binomial filter of every second pixel."""
    padded = g.node("Pad", x, "border", mode="reflect")
    weight = g.weight(f"{name}.filt", channels, 1, 3, 3)
    return g.node("Conv", padded, weight, kernel_shape=[3, 3], strides=[2, 2], group=channels)


def trunk(g, x):
    """The features that are compared: channels and name of each."""
    relu = lambda x: g.node("Relu", x)
    x = g.convolution(x, "net.slice1.0", 3, 64, 11, padding=2)
    x = relu(blur(g, x, "net.slice1.1", 64))
    yield 64, x
    x = blur(g, g.pool(x, 3, 1), "net.slice2.4", 64)
    x = relu(g.convolution(x, "net.slice2.5", 64, 192, 5, padding=2))
    yield 192, x
    x = blur(g, g.pool(x, 3, 1), "net.slice3.8", 192)
    x = relu(g.convolution(x, "net.slice3.9", 192, 384, 3, padding=1))
    yield 384, x
    x = relu(g.convolution(x, "net.slice4.11", 384, 256, 3, padding=1))
    yield 256, x
    x = relu(g.convolution(x, "net.slice5.13", 256, 256, 3, padding=1))
    yield 256, x


def build():
    g = Graph()
    shift, scale = (g.weight(f"scaling_layer.{part}", 1, 3, 1, 1) for part in ("shift", "scale"))
    g.constant("border", TensorProto.INT64, [8], [0, 0, 2, 2] * 2)
    ref, dist = (list(trunk(g, g.scaled(port, shift, scale))) for port in ("ref", "dist"))
    g.distance([(channels, x, y) for (channels, x), (_, y) in zip(ref, dist)])
    return g.model("st-lpips-alex")


def main(path):
    model = build()
    write(model, path)
    print(f"{len(model.graph.node)} nodes, {len(model.graph.value_info)} weights to be poured")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
