"""Writes a trained synthesis as the ONNX file that decoders run.

    python export.py CHECKPOINT ../../zoo/optic/faithful.onnx

The file's contract is told in `codec/default/src/synthesis.rs`. The graph is written
operator by operator, of those that every backend has (Conv, DepthToSpace, LeakyRelu,
Clip, Concat, Pad, Add, Mul): equal checkpoints give equal bytes. Rearrangements are
convolutions with fixed kernels, and the bilinear enlargement of chroma is one over
planes with repeated edges; each is exact. The reference implementation of ONNX runs the
result on noise and must agree with the checkpoint. The last line is what `zoo.toml`
wants.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from synthesis import Synthesis

OPSET = 17


class Graph:
    def __init__(self):
        self.nodes, self.weights = [], []

    def weight(self, name, values):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name))
        return name

    def integers(self, name, values):
        self.weights.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name

    def add(self, operator, inputs, name, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def convolve(self, x, name, kernel, bias=None, **attributes):
        inputs = [x, self.weight(f"{name}.weight", kernel)]
        if bias is not None:
            inputs.append(self.weight(f"{name}.bias", bias))
        side = int(kernel.shape[-1])
        attributes = {"kernel_shape": [side, side], "pads": [side // 2] * 4} | attributes
        return self.add("Conv", inputs, name, **attributes)

    def relu(self, x, name):
        return self.add("LeakyRelu", [x], name, alpha=0.1)

    def unshuffle(self, x, name, channels, factor, scale):
        """What `pixel_unshuffle` does, times `scale`."""
        kernel = np.zeros((channels * factor**2, channels, factor, factor))
        for at in np.ndindex(channels, factor, factor):
            kernel[np.ravel_multi_index(at, (channels, factor, factor)), at[0], at[1], at[2]] = scale
        return self.convolve(x, name, kernel, strides=[factor, factor], pads=[0] * 4)

    def shuffle(self, x, name, factor):
        return self.add("DepthToSpace", [x], name, blocksize=factor, mode="CRD")

    def double(self, x, name, channels):
        """What bilinear `interpolate` does to twice the size."""
        ends = self.integers(f"{name}.ends", [0, 0, 1, 1, 0, 0, 1, 1])
        x = self.add("Pad", [x, ends], f"{name}.edges", mode="edge")
        line = np.array([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
        kernel = np.zeros((channels, 2, 2, channels, 3, 3))
        for c, i, j in np.ndindex(channels, 2, 2):
            kernel[c, i, j, c] = np.outer(line[i], line[j])
        kernel = kernel.reshape(channels * 4, channels, 3, 3)
        return self.shuffle(self.convolve(x, f"{name}.kernel", kernel, pads=[0] * 4), name, 2)


def build(model):
    state = {name: values.detach().numpy() for name, values in model.state_dict().items()}
    of = lambda name: (state[f"{name}.weight"], state[f"{name}.bias"])
    g = Graph()
    low, high = g.weight("least", -6.0), g.weight("most", 6.0)
    x = g.add("Concat", [g.add("Clip", ["levels", low, high], "clipped"), "step"], "known", axis=1)
    for at in (0, 2):
        x = g.relu(g.convolve(x, f"levels.{at}", *of(f"levels.{at}")), f"levels.{at + 1}")
    context = g.shuffle(g.convolve(x, "levels.4", *of("levels.4")), "context", 4)
    fine = g.shuffle(g.convolve("step", "repeated", np.ones((16, 1, 1, 1))), "fine", 4)
    near = g.unshuffle("luma", "luma.quarters", 1, 4, 1 / 64)
    nears = g.unshuffle("chroma", "chroma.quarters", 2, 2, 1 / 64)
    x = g.add("Concat", [near, nears, context, fine], "entering", axis=1)
    x = g.convolve(x, "enter", *of("enter"))
    for block in range(len(model.blocks)):
        name = f"blocks.{block}"
        y = g.relu(g.convolve(x, f"{name}.first", *of(f"{name}.first")), f"{name}.relu")
        x = g.add("Add", [x, g.convolve(y, f"{name}.second", *of(f"{name}.second"))], name)
    kernel, bias = of("leave")
    x = g.shuffle(g.convolve(x, "leave", kernel * 16, bias * 16), "lacking", 4)
    linear = g.add("Concat", ["luma", g.double("chroma", "large", 2)], "linear", axis=1)
    planes = g.add("Add", [x, linear], "planes")
    colours = model.colours.numpy()
    # Luma lies around 0: what the matrix makes of its middle, 128, is the bias.
    g.convolve(planes, "rgb", colours[:, :, None, None], colours @ np.array([128.0, 0.0, 0.0]))
    value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        g.nodes,
        "synthesis",
        [
            value("luma", 1, 1, "height", "width"),
            value("chroma", 1, 2, "half_height", "half_width"),
            value("levels", 1, 384, "rows", "columns"),
            value("step", 1, 1, "rows", "columns"),
        ],
        [value("rgb", 1, 3, "height", "width")],
        g.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def differ(model, file):
    """The largest difference between the checkpoint and its file on noise."""
    from onnx.reference import ReferenceEvaluator

    rng = np.random.default_rng(1)
    rows, columns = 3, 4
    inputs = {
        "luma": rng.normal(0, 60, (1, 1, 16 * rows, 16 * columns)),
        "chroma": rng.normal(0, 20, (1, 2, 8 * rows, 8 * columns)),
        "levels": np.round(rng.normal(0, 3, (1, 384, rows, columns))),
        "step": rng.normal(0, 1, (1, 1, rows, columns)),
    }
    inputs = {name: values.astype(np.float32) for name, values in inputs.items()}
    (rgb,) = ReferenceEvaluator(file).run(None, inputs)
    with torch.no_grad():
        wanted = model(*(torch.from_numpy(values) for values in inputs.values())).numpy()
    return float(np.abs(rgb - wanted).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    saved = torch.load(arguments.checkpoint, weights_only=False, map_location="cpu")
    model = Synthesis(**saved["settings"]).eval()
    model.load_state_dict(saved["model"])
    file = build(model)
    onnx.checker.check_model(file, full_check=True)
    difference = differ(model, file)
    assert difference < 2e-3, f"the file differs from the checkpoint by {difference} grey levels"
    data = file.SerializeToString(deterministic=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_bytes(data)
    print(f"{len(data)} bytes; differs from the checkpoint by at most {difference:.1e} grey levels")
    print(f'sha256 = "{hashlib.sha256(data).hexdigest()}"')


if __name__ == "__main__":
    main()
