#!/usr/bin/env python3
"""Trains our own small classifiers: a linear head on a frozen EfficientNet-Lite0.

usage: heads.py train TRUNK.onnx           writes graphs, results/heads.json
       heads.py check NAME MODEL.onnx      compares an assembled model with what was trained
       heads.py list                       writes data/NAME.sha256

TRUNK.onnx is efficientnet-lite0 as the model store resolves it, MODEL.onnx what it resolves for
NAME (`cargo run -p afferent-models --example resolve -- NAME` says where). $AFFERENT_DATA holds
classification/beans and classification/chest_xray, each with a manifest.csv; a file whose
digest is another than in data/NAME.sha256 is refused. Needs: numpy, onnx, onnxruntime, pillow,
scikit-learn.

Features are the means over the map that leaves each of the seven stages (784 numbers), because
leaves and lungs differ by texture more than by ImageNet's things. They are standardised and go
into a logistic regression; both are one linear layer in the graph. The whole image is resized to
224x224 by antialiased bicubic interpolation, so that training images of 256 pixels and test
images of 500 or 512 come close, though not quite.

The baseline is a ridge regression on the 2304 grey pixels of the image at 48x48. For both, one
parameter, and whether mirrored copies help, is chosen by five-fold cross-validation on the
training part, no patient in two folds: by cross entropy for the head, by AUC, which is what is
reported, for the baseline. Two figures are reported: on the held-out part, and on the training
part by an outer cross-validation that chooses anew inside each fold.
"""

import csv
import hashlib
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import sklearn
from PIL import Image
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedGroupKFold

HERE = Path(__file__).resolve().parent
ZOO = HERE.parent / "zoo"
sys.path.insert(0, str(HERE.parent / "import"))
import efficientnet_lite  # noqa: E402

SEED, FOLDS, RESAMPLES, SIDE, FEATURES = 1, 5, 10_000, 224, 784
# Name in the zoo, folder of the data, and which part of a file's original name says who was seen.
TASKS = {"beans-lite0": ("beans", None), "chest-xray-lite0": ("chest_xray", "_")}
STRENGTHS = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1e0]
RIDGES = [1e0, 3e0, 1e1, 3e1, 1e2, 3e2, 1e3, 3e3, 1e4]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows_of(folder):
    """The rows of a data set's manifest, each with the file's path below AFFERENT_DATA."""
    rows = list(csv.DictReader(open(data_root() / "classification" / folder / "manifest.csv")))
    return [row | {"path": f"classification/{folder}/{row['file']}"} for row in rows]


def data_root():
    return Path(os.environ["AFFERENT_DATA"])


class Data:
    """Images of one task: labels, who was seen, which are held out, and both kinds of features.

    `deep` and `grey` have the axes image, view (as it is, mirrored), feature.
    """

    def __init__(self, name, net):
        folder, separator = TASKS[name]
        rows, listed = rows_of(folder), (HERE / "data" / f"{name}.sha256").read_text().splitlines()
        for row, line in zip(rows, listed, strict=True):
            if line != f"{digest(data_root() / row['path'])}  {row['path']}":
                sys.exit(f"{row['path']} is another file than the models were trained with")
        self.labels = np.array([int(row["label_index"]) for row in rows])
        self.classes = self.labels.max() + 1
        self.held_out = np.array([row["split"] == "heldout" for row in rows])
        who = [row["original"].split(separator)[0] if separator else row["file"] for row in rows]
        self.who = np.unique(who, return_inverse=True)[1]
        self.shared = len(set(self.who[self.held_out]) & set(self.who[~self.held_out]))
        if self.shared:
            sys.exit(f"{self.shared} patients are both trained and tested on")
        images = [Image.open(data_root() / row["path"]).convert("RGB") for row in rows]
        self.deep = np.stack([deep(net, image) for image in images])
        self.grey = np.stack([grey(image) for image in images])


def pixels(image):
    """The network's input, as `preprocess` in the zoo describes it."""
    image = np.asarray(image.resize((SIDE, SIDE), Image.BICUBIC), np.float32)
    return ((image - 127) / 128).transpose(2, 0, 1)


def deep(net, image):
    x = pixels(image)
    return np.stack([net.run(None, {"in": view[None]})[0][0] for view in (x, x[:, :, ::-1].copy())])


def grey(image):
    image = np.asarray(image.convert("L").resize((48, 48), Image.BICUBIC), np.float64) / 255
    return np.stack([image.ravel(), image[:, ::-1].ravel()])


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def features_of(trunk):
    """A network that answers with the features: its head is the identity."""
    identity = np.eye(FEATURES, dtype=np.float32), np.zeros(FEATURES, np.float32)
    model = efficientnet_lite.build("lite0", "features", identity)
    weights = {weight.name: weight for weight in onnx.load(trunk).graph.initializer}
    model.graph.initializer.extend(weights[wanted.name] for wanted in model.graph.value_info)
    return session(model.SerializeToString())


def views(x, labels, mirrored):
    """Training examples and labels, with or without the mirrored copies."""
    if mirrored:
        return x.reshape(-1, x.shape[-1]), np.repeat(labels, 2)
    return x[:, 0], labels


def fit_head(x, labels, classes, strength):
    """Matrix and vector of the linear layer: standardisation and logistic regression in one."""
    mean, scale = x.mean(0), x.std(0) + 1e-6
    found = LogisticRegression(C=strength, max_iter=2000, tol=1e-6).fit((x - mean) / scale, labels)
    weight, bias = found.coef_ / scale, found.intercept_
    if classes == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias - weight @ mean


def fit_ridge(x, labels, classes, strength):
    found = Ridge(alpha=strength).fit(x, np.eye(classes)[labels])
    return found.coef_, found.intercept_


def folds(labels, who, seed):
    return list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(who, labels, who))


class Method:
    """A way to train: how, on what, from which parameters."""

    def __init__(self, fit, parameters, probabilities):
        self.fit, self.probabilities = fit, probabilities
        self.settings = [(strength, mirrored) for mirrored in (False, True) for strength in parameters]

    def train(self, x, labels, classes, setting):
        strength, mirrored = setting
        return self.fit(*views(x, labels, mirrored), classes, strength)

    def score(self, layer, x):
        """One score per image and class, of logits their softmax."""
        weight, bias = layer
        z = x[:, 0] @ weight.T + bias
        if not self.probabilities:
            return z
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def choose(self, x, labels, who, classes, seed):
        """The best setting on folds that were left out: by cross entropy, where there is one, or AUC."""
        parts, best = folds(labels, who, seed), None
        for setting in self.settings:
            out = np.zeros((len(labels), classes))
            for kept, left in parts:
                layer = self.train(x[kept], labels[kept], classes, setting)
                out[left] = self.score(layer, x[left])
            if self.probabilities:
                found = np.log(out[np.arange(len(labels)), labels]).mean()
            else:
                found = area(out, labels, np.ones((1, len(labels))))[0]
            if best is None or found > best[0]:
                best = found, setting
        return best[1]

    def cross_validate(self, x, labels, who, classes):
        """Scores of every image by a layer that never saw its patient, chosen without them."""
        out = np.zeros((len(labels), classes))
        for kept, left in folds(labels, who, SEED):
            setting = self.choose(x[kept], labels[kept], who[kept], classes, SEED + 1)
            out[left] = self.score(self.train(x[kept], labels[kept], classes, setting), x[left])
        return out


def accuracy(out, labels, weights):
    right = (out.argmax(1) == labels).astype(float)
    return weights @ right / weights.sum(1)


def area(out, labels, weights):
    """AUC under `weights` [resamples, images]; of several classes the mean of each against the rest."""
    classes = [1] if out.shape[1] == 2 else range(out.shape[1])
    total = 0
    for k in classes:
        yes, no = labels == k, labels != k
        above = np.sign(out[yes, k][:, None] - out[no, k][None]) / 2 + 0.5
        a, b = weights[:, yes], weights[:, no]
        total = total + np.einsum("ri,ri->r", a @ above, b) / (a.sum(1) * b.sum(1))
    return total / len(classes)


def compare(head, ridge, labels, who):
    """Both measures of both methods, and their difference, with intervals by a paired bootstrap over `who`."""
    rng, groups = np.random.default_rng(SEED), np.unique(who, return_inverse=True)[1]
    draws = rng.multinomial(groups.max() + 1, np.full(groups.max() + 1, 1 / (groups.max() + 1)), RESAMPLES)
    weights, once = draws[:, groups].astype(float), np.ones((1, len(labels)))
    result = {"images": len(labels), "resampled": int(groups.max()) + 1}
    for name, measure in [("accuracy", accuracy), ("auc", area)]:
        drawn = {"head": measure(head, labels, weights), "ridge": measure(ridge, labels, weights)}
        value = {"head": measure(head, labels, once)[0], "ridge": measure(ridge, labels, once)[0]}
        drawn["difference"], value["difference"] = drawn["head"] - drawn["ridge"], value["head"] - value["ridge"]
        report = {
            key: {
                "value": round(float(value[key]), 4),
                "interval_95": [round(float(q), 4) for q in np.quantile(drawn[key], [0.025, 0.975])],
            }
            for key in value
        }
        crossings = min((drawn["difference"] <= 0).sum(), (drawn["difference"] >= 0).sum())
        report["difference"]["p"] = round(float(min(1, 2 * (crossings + 1) / (RESAMPLES + 1))), 5)
        result[name] = report
    return result


def processor():
    if os.path.exists("/proc/cpuinfo"):
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def train(trunk):
    begin, net, report = time.process_time(), features_of(trunk), {}
    for name in TASKS:
        data = Data(name, net)
        train, test = ~data.held_out, data.held_out
        labels, who = data.labels[train], data.who[train]
        found = {}
        for key, method, x in [
            ("head", Method(fit_head, STRENGTHS, True), data.deep),
            ("ridge", Method(fit_ridge, RIDGES, False), data.grey),
        ]:
            setting = method.choose(x[train], labels, who, data.classes, SEED)
            layer = method.train(x[train], labels, data.classes, setting)
            if key == "head":
                layer = tuple(np.float32(part) for part in layer)
                model = efficientnet_lite.build("lite0", name, layer)
                (ZOO / name).mkdir(exist_ok=True)
                efficientnet_lite.write(model, ZOO / name / "graph.onnx")
            out = method.score(layer, x[test]), method.cross_validate(x[train], labels, who, data.classes)
            found[key] = setting, *out
        report[name] = {
            "data_list_sha256": digest(HERE / "data" / f"{name}.sha256"),
            "graph_sha256": digest(ZOO / name / "graph.onnx"),
            "shared_by_training_and_test": data.shared,
            "chosen": {key: dict(zip(["parameter", "mirrored"], found[key][0])) for key in found},
            "held_out": compare(found["head"][1], found["ridge"][1], data.labels[test], data.who[test]),
            "cross_validation": compare(found["head"][2], found["ridge"][2], labels, who),
        }
        print(json.dumps({name: report[name]}, indent=1), flush=True)
    report["made_by"] = {
        "command": "heads.py train",
        "trunk_sha256": digest(Path(trunk)),
        "seed": SEED,
        "resamples": RESAMPLES,
        "cpu_seconds": round(time.process_time() - begin),
        "processor": processor(),
        "versions": {m.__name__: m.__version__ for m in (np, onnx, onnxruntime, sklearn, Image)},
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "heads.json").write_text(json.dumps(report, indent=1) + "\n")


def check(name, path):
    """The assembled model against features by the same trunk and the head that the zoo holds, in 64 bits."""
    model = onnx.load(path)
    committed = {w.name: w for w in onnx.load(ZOO / name / "graph.onnx").graph.initializer}
    weight, bias = (onnx.numpy_helper.to_array(committed[f"head.{part}"]).astype(float) for part in ("weight", "bias"))
    net, trunk = session(model.SerializeToString()), features_of(path)
    rows = [row for row in rows_of(TASKS[name][0]) if row["split"] == "heldout"]
    worst = right = 0
    for row in rows:
        x = pixels(Image.open(data_root() / row["path"]).convert("RGB"))[None]
        logits = net.run(None, {"in": x})[0][0]
        expected = trunk.run(None, {"in": x})[0][0].astype(float) @ weight.T + bias
        worst = max(worst, np.abs(logits - expected).max())
        right += int(logits.argmax()) == int(row["label_index"])
    print(f"{name}: greatest difference of {len(rows) * len(bias)} logits {worst:.2e}, right on {right} of {len(rows)}")
    if worst > 1e-4:
        sys.exit("the assembled model is another than was trained")


def write_lists():
    for name, (folder, _) in TASKS.items():
        lines = [f"{digest(data_root() / row['path'])}  {row['path']}\n" for row in rows_of(folder)]
        (HERE / "data" / f"{name}.sha256").write_text("".join(lines))


if __name__ == "__main__":
    steps = {"train": (train, 3), "check": (check, 4), "list": (write_lists, 2)}
    step, count = steps.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if step is None or len(sys.argv) != count:
        sys.exit(__doc__)
    step(*sys.argv[2:])
