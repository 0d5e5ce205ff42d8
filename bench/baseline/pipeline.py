#!/usr/bin/env python3
"""A straightforward Python pipeline, to compare a sweep with: speed and predictions.

For every knob and model it opens each image with Pillow, codes it as JPEG, decodes it,
preprocesses and runs ONNX Runtime: one pass per knob and model, as such scripts do.
Then it runs the same sweep by `afferent bench sweep` and compares the predictions.

    python3 bench/baseline/pipeline.py --data $AFFERENT_DATA/classification/imagenet_val227 \
        --afferent target/ci/afferent --out docs/results/baseline.json

Needs numpy, pillow, onnxruntime (of the version that Afferent loads) and pyarrow.
"""

import argparse
import csv
import io
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime
import pyarrow.parquet as parquet
from PIL import Image

# Contract of each model: side of the input, and part of the short side that is cropped.
MODELS = {"efficientnet-lite0": (224, 224, 256), "efficientnet-lite2": (260, 260, 292)}


def preprocess(image, side, part, whole):
    width, height = image.size
    crop = int(round(part / whole * min(width, height)))
    left, top = (width - crop) // 2, (height - crop) // 2
    image = image.crop((left, top, left + crop, top + crop)).resize((side, side), Image.BICUBIC)
    return ((np.asarray(image).astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]


def plain(files, knobs, models, afferent, threads):
    """Seconds, and the class ranked first by (model, knob, file)."""
    predictions = {}
    sessions = {}
    for model in models:
        path = subprocess.run([afferent, "models", model], capture_output=True, text=True, check=True).stdout.split()[-1]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        sessions[model] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        side = MODELS[model][0]
        sessions[model].run(None, {"in": np.zeros((1, 3, side, side), np.float32)})
    start = time.perf_counter()
    for model in models:
        for knob in knobs:
            for name, path in files:
                image = Image.open(path).convert("RGB")
                buffer = io.BytesIO()
                image.save(buffer, "JPEG", quality=knob)
                decoded = Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")
                logits = sessions[model].run(None, {"in": preprocess(decoded, *MODELS[model])})[0][0]
                predictions[model, knob, name] = int(logits.argmax())
    return time.perf_counter() - start, predictions


def swept(data, count, knobs, models, afferent, workers, work):
    """The same by a sweep."""
    work.mkdir(parents=True)
    plan = work / "plan.toml"
    listed = ", ".join(f'"{model}"' for model in models)
    plan.write_text(
        f'models = [{listed}]\nmetrics = ["psnr"]\nagreement = false\n[[data]]\npath = "{data}"\nname = "set"\nlimit = {count}\n'
        f'[[codec]]\nid = "jpeg"\npresets = ["420"]\nknobs = {knobs}\n'
    )
    start = time.perf_counter()
    command = [afferent, "bench", "sweep", plan, "--out", work / "out", "--workers", str(workers), "--require", "ort/cpu"]
    subprocess.run(command, check=True, capture_output=True)
    took = time.perf_counter() - start
    predictions = {}
    for file in sorted((work / "out" / "rows").glob("*.parquet")):
        table = parquet.read_table(file, columns=["model", "codec", "knob", "sample_id", "prediction_index"])
        for row in table.to_pylist():
            if row["codec"] == "jpeg":
                predictions[row["model"], int(row["knob"]), row["sample_id"]] = row["prediction_index"]
    return took, predictions


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--afferent", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=int, default=400)
    args = parser.parse_args()
    root = pathlib.Path(args.data)
    rows = list(csv.DictReader(open(root / "manifest.csv")))
    # Evenly spread, as a plan's `limit` takes them.
    count = min(args.limit, len(rows))
    rows = [rows[i * len(rows) // count] for i in range(count)]
    files = [(row["file"], root / row["file"]) for row in rows]
    cases = {
        "one point": ([5], ["efficientnet-lite0"]),
        "12 knobs x 2 models": ([5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90], list(MODELS)),
    }
    result = {
        "onnxruntime": onnxruntime.__version__,
        "pillow": Image.__version__,
        "threads": args.threads,
        "images": len(files),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, (knobs, models) in cases.items():
            repeats = args.repeat if len(knobs) == 1 else 1
            runs = []
            for number in range(repeats):
                # Side by side: one after the other, in the same run.
                plain_s, expected = plain(files, knobs, models, args.afferent, args.threads)
                work = pathlib.Path(folder) / f"{len(knobs)}-{number}"
                sweep_s, found = swept(args.data, len(files), knobs, models, args.afferent, args.threads, work)
                if expected.keys() != found.keys():
                    raise SystemExit("the sweep saw other samples than the plain pipeline")
                same = sum(found.get(key) == value for key, value in expected.items())
                runs.append({"plain_s": plain_s, "sweep_s": sweep_s, "same": same, "of": len(expected)})
            ratios = [run["plain_s"] / run["sweep_s"] for run in runs]
            result[name] = {"speedup_median": statistics.median(ratios), "speedups": ratios, "runs": runs}
            print(name, json.dumps(result[name]), flush=True)
    pathlib.Path(args.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
