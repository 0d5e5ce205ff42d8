"""Makes detection.json: COCO's average precision of the made-up boxes below.

    python -m venv venv && venv/bin/pip install numpy pycocotools
    venv/bin/python detection.py > detection.json

Each case holds the boxes of some images, as [class, x0, y0, x1, y1] of what is
there and [class, score, x0, y0, x1, y1] of what was found, and what COCOeval says
of the set for boxes of all areas and at most 100 detections. Edges are multiples
of 1/8 and scores of 1/64, exact in 32-bit floats; many scores are equal.
"""

import contextlib
import io
import json

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SIDE = 256


def boxes(rng, n, classes):
    low = rng.integers(0, 8 * (SIDE - 32), (n, 2)) / 8
    size = rng.integers(8 * 4, 8 * 96, (n, 2)) / 8
    return [[int(c), *map(float, [x, y, min(x + w, SIDE), min(y + h, SIDE)])]
            for c, (x, y), (w, h) in zip(rng.integers(0, classes, n), low, size)]


def found_of(rng, there, shift, missed, strays, classes):
    found = []
    for c, *edges in there:
        for _ in range(int(rng.integers(0, 3))):
            if rng.random() < missed:
                continue
            moved = np.array(edges) + rng.integers(-8 * shift, 8 * shift + 1, 4) / 8
            x0, x1 = sorted([moved[0], moved[2]])
            y0, y1 = sorted([moved[1], moved[3]])
            c_found = int(rng.integers(0, classes)) if rng.random() < 0.1 else c
            found.append([c_found, int(rng.integers(8, 64)) / 64, float(x0), float(y0), float(x1), float(y1)])
    for c, *edges in boxes(rng, strays, classes):
        found.append([c, int(rng.integers(1, 48)) / 64, *edges])
    order = rng.permutation(len(found))
    return [found[i] for i in order]


def evaluate(images, classes):
    truth = {
        "info": {},
        "images": [{"id": i + 1, "width": SIDE, "height": SIDE} for i in range(len(images))],
        "categories": [{"id": c + 1, "name": str(c)} for c in range(classes)],
        "annotations": [],
    }
    results = []
    for i, image in enumerate(images):
        for c, x0, y0, x1, y1 in image["there"]:
            truth["annotations"].append({
                "id": len(truth["annotations"]) + 1, "image_id": i + 1, "category_id": c + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0})
        for c, score, x0, y0, x1, y1 in image["found"]:
            results.append({"image_id": i + 1, "category_id": c + 1, "score": score,
                            "bbox": [x0, y0, x1 - x0, y1 - y0]})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return {"ap": float(run.stats[0]), "ap50": float(run.stats[1]), "ap75": float(run.stats[2])}


def main():
    cases = []
    for seed, (name, n, per_image, classes, shift, missed, strays) in enumerate([
        ("near", 6, 4, 3, 2, 0.1, 2),
        ("far", 6, 5, 4, 12, 0.3, 6),
        ("one-class", 4, 8, 1, 6, 0.2, 10),
        ("crowded", 2, 12, 1, 8, 0.1, 130),
        ("sparse", 5, 1, 6, 4, 0.5, 3),
    ]):
        rng = np.random.default_rng(seed)
        images = []
        for _ in range(n):
            there = boxes(rng, int(rng.integers(0, 2 * per_image)), classes)
            images.append({"there": there, "found": found_of(rng, there, shift, missed, strays, classes)})
        cases.append({"name": name, "classes": classes, "images": images, **evaluate(images, classes)})
    exact = [{"there": boxes(np.random.default_rng(9), 3, 2), "found": []}]
    exact[0]["found"] = [[c, 0.5, *edges] for c, *edges in exact[0]["there"]]
    cases.append({"name": "exact", "classes": 2, "images": exact, **evaluate(exact, 2)})
    print("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]")


main()
