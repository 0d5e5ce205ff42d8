"""The photographs that a codec is trained on: a hashed list, and crops out of it.

The list (`photographs.csv`: file, sha256, licence, source) is what was used, with the
licence of each; a file whose bytes differ from the list is refused.
"""

import csv
import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

LIST = Path(__file__).with_name("photographs.csv")


def load(folders, listing=LIST):
    """Reads the listed photographs out of `folders` as uint8 arrays of [height, width, 3]."""
    found = {path.name: path for folder in folders for path in Path(folder).rglob("*") if path.is_file()}
    images, missing = [], []
    with open(listing, newline="") as rows:
        for row in csv.DictReader(rows):
            path = found.get(row["file"])
            if path is None:
                missing.append(row["file"])
                continue
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != row["sha256"]:
                raise SystemExit(f"{path} is not the file that the list means: its SHA-256 differs")
            images.append(np.asarray(Image.open(path).convert("RGB")))
    if missing:
        print(f"{len(missing)} of the listed photographs are missing, the first is {missing[0]}")
    if not images:
        raise SystemExit("no listed photograph was found: name the folders that hold them")
    return images


class Crops:
    """Random crops, mirrored and turned, drawn by one seeded generator that can be saved."""

    def __init__(self, images, size, batch, seed):
        self.images = [image for image in images if min(image.shape[:2]) >= size]
        self.size, self.batch = size, batch
        self.rng = np.random.default_rng(seed)
        area = np.array([image.shape[0] * image.shape[1] for image in self.images], dtype=float)
        self.weights = np.sqrt(area) / np.sqrt(area).sum()

    def draw(self):
        """A float tensor of [batch, 3, size, size], 0 to 255."""
        out = np.empty((self.batch, self.size, self.size, 3), np.uint8)
        for crop in out:
            image = self.images[self.rng.choice(len(self.images), p=self.weights)]
            top = self.rng.integers(image.shape[0] - self.size + 1)
            left = self.rng.integers(image.shape[1] - self.size + 1)
            part = image[top : top + self.size, left : left + self.size]
            if self.rng.random() < 0.5:
                part = part[:, ::-1]
            if self.rng.random() < 0.25:
                part = part.transpose(1, 0, 2)
            crop[:] = part
        return torch.from_numpy(out).permute(0, 3, 1, 2).float()
