#!/usr/bin/env python3
"""Checks an assembled EfficientNet-Lite: its answers, and its agreement with the definition.

usage: check_efficientnet_lite.py lite0|lite2 MODEL.onnx accuracy
       check_efficientnet_lite.py lite0|lite2 MODEL.onnx noise OUT.npz
       check_efficientnet_lite.py lite0|lite2 CHECKPOINT.pth definition NOISE.npz

`accuracy` counts right answers on $AFFERENT_DATA/classification/imagenet_*, decoded and resized
by Pillow (needs: numpy, onnxruntime, pillow). `noise` stores the answers to four inputs of
normal noise; `definition` compares them with those of efficientnet-lite-pytorch 0.1.0 (needs:
numpy, torch, that package), in a second step because the two needs may want two Pythons.
"""

import csv
import os
import sys

import numpy as np

# Side of the input and its share of the short side of the image, numerator and denominator.
INPUT = {"lite0": (224, 224, 256), "lite2": (260, 260, 292)}


def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def accuracy(variant, path):
    from PIL import Image

    net, (side, part, whole) = session(path), INPUT[variant]
    for name in ["imagenet_val227", "imagenet_sample"]:
        folder = os.path.join(os.environ["AFFERENT_DATA"], "classification", name)
        right, rows = 0, list(csv.DictReader(open(os.path.join(folder, "manifest.csv"))))
        for row in rows:
            image = Image.open(os.path.join(folder, row["file"])).convert("RGB")
            crop = round(part / whole * min(image.size))
            left, top = ((n - crop) // 2 for n in image.size)
            image = image.crop((left, top, left + crop, top + crop)).resize((side, side), Image.BICUBIC)
            x = ((np.asarray(image, np.float32) - 127) / 128).transpose(2, 0, 1)[None]
            right += int(net.run(None, {"in": x})[0].argmax()) == int(row["label_index"])
        print(f"{name}: right on {right} of {len(rows)}")


def noise(variant, path, out):
    side = INPUT[variant][0]
    x = np.random.default_rng(1).normal(size=(4, 3, side, side)).astype(np.float32)
    np.savez(out, x=x, logits=session(path).run(None, {"in": x})[0])


def definition(variant, checkpoint, answers):
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name(f"efficientnet-{variant}")
    net.load_state_dict(torch.load(checkpoint))
    net.eval()
    answers = np.load(answers)
    with torch.no_grad():
        logits = net(torch.from_numpy(answers["x"])).numpy()
    difference = np.abs(logits - answers["logits"]).max()
    print(f"greatest difference of {logits.size} logits {difference:.2e}, greatest logit {np.abs(logits).max():.2f}")


if __name__ == "__main__":
    steps = {"accuracy": (accuracy, 4), "noise": (noise, 5), "definition": (definition, 5)}
    step, count = steps.get(sys.argv[3] if len(sys.argv) > 3 else "", (None, 0))
    if step is None or len(sys.argv) != count or sys.argv[1] not in INPUT:
        sys.exit(__doc__)
    step(sys.argv[1], sys.argv[2], *sys.argv[4:])
