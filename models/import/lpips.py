#!/usr/bin/env python3
"""Writes LPIPS v0.1 as ONNX: the graph without its weights, or with a user's trunk.

usage: lpips.py {alex,vgg} GRAPH.onnx                        (needs: onnx)
       lpips.py {alex,vgg} MODEL.onnx TRUNK.pth LINEAR.pth   (needs: onnx, torch)

LPIPS (Zhang, Isola, Efros, Shechtman and Wang 2018) compares the unit-normalised features of
five layers of a network for ImageNet. TRUNK.pth is torchvision's state dict of that network
(alexnet-owt-*.pth, vgg16-*.pth), which the user must have: its weights are in no package.
LINEAR.pth weighs the features' channels: member lpips/weights/v0.1/{alex,vgg}.pth of the
package lpips 0.1.4. Both keep their own names for their weights, which `value_info` lists.

Inputs `ref` and `dist`: RGB of -1 to 1, shape 1x3xHxW. Output `distance`: 1x1x1x1.
"""

import sys

from onnx import TensorProto, checker, helper

EPSILON = 1e-10
# What the trunks' training subtracted and divided by, for values of -1 to 1.
SHIFT, SCALE = [-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]

# Layers by their index in torchvision's `features`: convolutions as index, channels, kernel,
# stride, padding; pools as kernel. After the last layer of each group features are compared.
ALEX = [
    [(0, 64, 11, 4, 2)],
    [3, (3, 192, 5, 1, 2)],
    [3, (6, 384, 3, 1, 1)],
    [(8, 256, 3, 1, 1)],
    [(10, 256, 3, 1, 1)],
]
VGG = [
    [(0, 64, 3, 1, 1), (2, 64, 3, 1, 1)],
    [2, (5, 128, 3, 1, 1), (7, 128, 3, 1, 1)],
    [2, (10, 256, 3, 1, 1), (12, 256, 3, 1, 1), (14, 256, 3, 1, 1)],
    [2, (17, 512, 3, 1, 1), (19, 512, 3, 1, 1), (21, 512, 3, 1, 1)],
    [2, (24, 512, 3, 1, 1), (26, 512, 3, 1, 1), (28, 512, 3, 1, 1)],
]
TRUNKS = {"alex": ALEX, "vgg": VGG}


class Graph:
    """Nodes, weights still to be poured, and constants."""

    def __init__(self):
        self.nodes, self.weights, self.constants = [], {}, []

    def weight(self, name, *shape):
        self.weights[name] = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        return name

    def constant(self, name, kind, shape, values):
        self.constants.append(helper.make_tensor(name, kind, shape, values))
        return name

    def node(self, op, *inputs, output=None, **attributes):
        output = output or f"{op}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def convolution(self, x, name, channels_in, channels_out, kernel, stride=1, padding=0):
        weights = [self.weight(f"{name}.weight", channels_out, channels_in, kernel, kernel)]
        weights.append(self.weight(f"{name}.bias", channels_out))
        shape = dict(kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[padding] * 4)
        return self.node("Conv", x, *weights, **shape)

    def pool(self, x, kernel, stride):
        return self.node("MaxPool", x, kernel_shape=[kernel] * 2, strides=[stride] * 2)

    def scaled(self, x, shift, scale):
        return self.node("Div", self.node("Sub", x, shift), scale)

    def distance(self, pairs):
        """The sum over layers of the weighed mean squared difference of normalised features."""
        epsilon = self.constant("epsilon", TensorProto.FLOAT, [], [EPSILON])
        parts = []
        for layer, (channels, *features) in enumerate(pairs):
            units = []
            for x in features:
                length = self.node("ReduceL2", x, axes=[1], keepdims=1)
                units.append(self.node("Div", x, self.node("Add", length, epsilon)))
            difference = self.node("Sub", *units)
            square = self.node("Mul", difference, difference)
            weight = self.weight(f"lin{layer}.model.1.weight", 1, channels, 1, 1)
            weighed = self.node("Conv", square, weight, kernel_shape=[1, 1])
            parts.append(self.node("ReduceMean", weighed, axes=[2, 3], keepdims=1))
        self.node("Sum", *parts, output="distance")

    def model(self, name):
        shape = [1, 3, "H", "W"]
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(port, TensorProto.FLOAT, shape) for port in ("ref", "dist")],
            [helper.make_tensor_value_info("distance", TensorProto.FLOAT, [1, 1, 1, 1])],
            self.constants,
            value_info=list(self.weights.values()),
        )
        return helper.make_model(
            graph, producer_name="afferent", ir_version=7, opset_imports=[helper.make_opsetid("", 13)]
        )


def write(model, path):
    context = checker.C.CheckerContext()
    context.ir_version, context.opset_imports = model.ir_version, {"": model.opset_import[0].version}
    for node in model.graph.node:
        checker.check_node(node, context)
    with open(path, "wb") as f:
        f.write(model.SerializeToString(deterministic=True))


def build(name, trunk):
    g = Graph()
    shift = g.constant("shift", TensorProto.FLOAT, [1, 3, 1, 1], SHIFT)
    scale = g.constant("scale", TensorProto.FLOAT, [1, 3, 1, 1], SCALE)
    features = []
    for port in ("ref", "dist"):
        x, channels, taps = g.scaled(port, shift, scale), 3, []
        for group in trunk:
            for layer in group:
                if isinstance(layer, int):
                    x = g.pool(x, layer, 2)
                else:
                    index, out, kernel, stride, padding = layer
                    x = g.convolution(x, f"features.{index}", channels, out, kernel, stride, padding)
                    x, channels = g.node("Relu", x), out
            taps.append((channels, x))
        features.append(taps)
    g.distance([(channels, ref, dist) for (channels, ref), (_, dist) in zip(*features)])
    return g.model(name)


def pour(model, state):
    """Fills in the weights that the graph lists; `state` gives arrays by name."""
    for wanted in model.graph.value_info:
        shape = [dim.dim_value for dim in wanted.type.tensor_type.shape.dim]
        if list(state[wanted.name].shape) != shape:
            sys.exit(f"{wanted.name} has shape {list(state[wanted.name].shape)}, not {shape}")
        raw = state[wanted.name].astype("<f4").tobytes()
        model.graph.initializer.append(helper.make_tensor(wanted.name, TensorProto.FLOAT, shape, raw, raw=True))


def main(name, path, *checkpoints):
    model = build(f"lpips-{name}", TRUNKS[name])
    if checkpoints:
        import torch

        state = {}
        for checkpoint in checkpoints:
            state |= torch.load(checkpoint, map_location="cpu", weights_only=True)
        pour(model, {name: tensor.numpy() for name, tensor in state.items()})
    write(model, path)
    print(f"{len(model.graph.node)} nodes, {len(model.graph.value_info)} weights {'poured' if checkpoints else 'named'}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 5) or sys.argv[1] not in TRUNKS:
        sys.exit(__doc__)
    main(*sys.argv[1:])
