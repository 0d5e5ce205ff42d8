"""Writes the learned transform as the codec's `matrices.bin`.

    python matrices.py ANALYSIS.pt ../../../codec/default/tables/matrices.bin

For luma, then chroma: the lapping matrix, the block matrix, and the inverse of each, as
16-bit little-endian integers with 13 fractional bits, in the order that
`codec/default/src/tables.rs` reads.
"""

import sys

import numpy as np
import torch

from lapped import Analysis


def main(checkpoint, out):
    model = Analysis()
    model.load_state_dict(torch.load(checkpoint)["model"])
    data = b""
    for transform in (model.luma, model.chroma):
        lap, block = transform.lapping().detach().double(), transform.block.detach().double()
        for matrix in (lap, block, torch.linalg.inv(lap), torch.linalg.inv(block)):
            whole = np.round(matrix.numpy() * 8192)
            if abs(whole).max() > 32767:
                raise SystemExit("a weight does not fit 16 bits")
            data += whole.astype("<i2").tobytes()
    with open(out, "wb") as file:
        file.write(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
