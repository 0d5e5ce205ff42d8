"""Learns the analysis: the matrices of the lapped transform, for rate and distortion.

Rate is the code length of Laplace distributions whose scales come from what a decoder
would already know (neighbours in space and frequency), as the codec's contexts do;
distortion is the squared error of R'G'B' after the *linear* synthesis. Steps are drawn
anew for every batch, so that one transform serves all rates. What the networks of the
synthesis add comes after this, on a transform that no longer moves.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import photographs
from lapped import Analysis

# Chroma is quantised in steps of this much of luma's: at half size a unit of it
# stands for four pixels.
CHROMA_STEP = 0.55
DEAD_ZONE = 0.36


class Contexts(nn.Module):
    """The scale of each coefficient out of known neighbours: a weighted sum per band."""

    def __init__(self, n):
        super().__init__()
        weights = torch.full((n, n, 6), 0.2)
        weights[..., 0] = -1.0
        self.weights = nn.Parameter(weights)
        self.register_buffer("before", torch.tensor([[1.0, 2, 1], [2, 0, 0], [0, 0, 0]])[None, None] / 6, persistent=False)
        self.register_buffer("around", torch.tensor([[1.0, 1, 1], [1, 0, 1], [1, 1, 1]])[None, None] / 8, persistent=False)

    def forward(self, q):
        """Laplace scales for quantised coefficients of [batch, n, n, rows, columns]."""
        size = q.abs().clamp(max=15)
        batch, n, _, rows, columns = size.shape
        space = lambda x: F.conv2d(x.reshape(-1, 1, rows, columns), self.before, padding=1).reshape(size.shape)
        bands = size.permute(0, 3, 4, 1, 2).reshape(-1, 1, n, n)
        back = lambda x: x.reshape(batch, rows, columns, n, n).permute(0, 3, 4, 1, 2)
        padded = F.pad(bands, (1, 0, 1, 0))
        features = [space(size), back(padded[:, :, :-1, 1:]), back(padded[:, :, 1:, :-1]), back(padded[:, :, :-1, :-1])]
        features.append(space(back(F.conv2d(bands, self.around, padding=1))))
        weights = F.softplus(self.weights)
        scale = 0.3 * weights[None, :, :, None, None, 0] + 0.02
        for at, feature in enumerate(features, 1):
            scale = scale + weights[None, :, :, None, None, at] * feature
        return scale


def bits(values, scale):
    """Code length of values that uniform noise stands in for rounding of."""
    values = (values + torch.rand_like(values) - 0.5).abs()

    def below(x):
        tail = 0.5 * torch.exp(-x.abs() / scale)
        return torch.where(x < 0, tail, 1 - tail)

    return -torch.log2((below(0.5 - values) - below(-0.5 - values)).clamp_min(1e-7))


def quantise(c, step):
    """Dead-zone rounding, with the gradient of no rounding at all."""
    q = c / step
    return q, q + (torch.sign(q) * torch.floor(q.abs() + DEAD_ZONE) - q).detach()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="folders that hold the listed photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint and the log")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)
    crops = photographs.Crops(photographs.load(arguments.folders), 128, 8, arguments.seed)
    model = Analysis()
    contexts = nn.ModuleList([Contexts(16), Contexts(8), Contexts(8)])
    groups = [
        {"params": [model.luma.lap, model.chroma.lap], "lr": 4e-3},
        {"params": [model.luma.block, model.chroma.block], "lr": 1e-3},
        {"params": contexts.parameters(), "lr": 3e-2},
    ]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, arguments.steps)
    log, start = [], time.time()
    for at in range(1, arguments.steps + 1):
        rgb = crops.draw()
        step = float(np.exp(crops.rng.uniform(np.log(24), np.log(140))))
        rate, known = 0.0, []
        for plane, (c, context) in enumerate(zip(model(rgb), contexts)):
            size = step * (CHROMA_STEP if plane else 1.0)
            q, rounded = quantise(c, size)
            rate = rate + bits(q, context(rounded)).sum() / rgb[:, 0].numel()
            known.append(rounded * size)
        error = ((model.inverse(*known) - rgb) ** 2).mean()
        # At high rate the slope of an optimal quantiser is dD/dR = -(2 ln 2) D with
        # D = step^2 / 12; a dead zone costs about a seventh of it.
        loss = rate + 5.5 / step**2 * error
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        log.append((rate.item(), error.item(), loss.item()))
        if at % 200 == 0:
            mean = np.mean(log[-200:], 0)
            print(f"{at} rate {mean[0]:.4f} error {mean[1]:.2f} loss {mean[2]:.4f} {time.time() - start:.0f} s", flush=True)
            torch.save({"model": model.state_dict(), "steps": at}, arguments.out / "analysis.pt")
    with open(arguments.out / "analysis.csv", "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["step", "bpp", "squared_error", "loss"])
        for at in range(200, len(log) + 1, 200):
            writer.writerow([at, *np.mean(log[at - 200 : at], 0).round(5)])
    (arguments.out / "analysis.json").write_text(json.dumps({"steps": arguments.steps, "seed": arguments.seed}))


if __name__ == "__main__":
    main()
