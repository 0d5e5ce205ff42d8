"""Trains a synthesis: from latents to pictures, on top of the linear inverse.

The analysis is frozen, and latents are quantised as the board quantises them, at a step
drawn anew for every batch: one network serves all rates. `--flavour faithful` minimises
squared error, and for the last part of a run MS-SSIM as well (Wang, Simoncelli and Bovik,
Asilomar 2003); `--flavour generative` starts from a faithful checkpoint and adds a perceptual and an adversarial loss, as HiFiC does
(Mentzer et al., NeurIPS 2020). The perceptual network is ST-LPIPS (AlexNet trunk), which
hence judges no generative figure.

A run can be stopped and resumed: the checkpoint holds weights, optimiser, random states.
"""

import argparse
import csv
import sys
import time
import types
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import photographs
from lapped import Analysis

CHROMA_STEP = 0.55
# What is added to magnitudes before they are cut: DC, and everything else.
ROUND_DC, ROUND_AC = 0.5, 104 / 256
FINEST, COARSEST = 16.0, 200.0


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x):
        return x + self.second(F.leaky_relu(self.first(x), 0.1))


class Synthesis(nn.Module):
    """What the linear inverse lacks, estimated at a quarter of the size."""

    def __init__(self, width=64, blocks=6, shared=64, context=16):
        super().__init__()
        self.settings = dict(width=width, blocks=blocks, shared=shared, context=context)
        self.levels = nn.Sequential(
            nn.Conv2d(16 * 16 + 2 * 8 * 8 + 1, shared, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(shared, shared, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(shared, context * 16, 1),
            nn.PixelShuffle(4),
        )
        self.enter = nn.Conv2d(16 + 2 * 4 + context + 1, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.leave = nn.Conv2d(width, 3 * 16, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("colours", torch.linalg.inv(torch.tensor(Analysis.MATRIX)), persistent=False)

    def forward(self, luma, chroma, levels, step):
        """Planes of the linear inverse around 0 ([batch, 1, height, width] and, at half
        size, [batch, 2, ...]), latents ([batch, 384, rows, columns], blocks of 16 x 16
        pixels) and the base-2 logarithm of luma's step over 64 ([batch, 1, rows,
        columns]) to R'G'B' of 0 to 255."""
        levels = torch.cat([levels.clamp(-6, 6), step], 1)
        fine = F.interpolate(step, scale_factor=4, mode="nearest")
        x = torch.cat([F.pixel_unshuffle(luma, 4), F.pixel_unshuffle(chroma, 2)], 1) / 64
        x = self.enter(torch.cat([x, self.levels(levels), fine], 1))
        x = F.pixel_shuffle(self.leave(self.blocks(x)), 4) * 16
        large = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
        planes = x + torch.cat([luma + 128, large], 1)
        return F.conv2d(planes, self.colours[:, :, None, None])


def worthwhile(n):
    """From what magnitude on the encoder keeps a one: more where its neighbours let
    expect nothing. This only resembles the codec's own rule, which asks its contexts."""
    size = n.clamp(max=3)
    space, bands = F.pad(size, (1, 1, 1, 0)), F.pad(size, (0, 0, 0, 0, 1, 0, 1, 0))
    around = space[..., 1:, :-2] + space[..., :-1, 1:-1] + space[..., :-1, :-2] + space[..., :-1, 2:]
    lower = bands[:, :-1, 1:] + bands[:, 1:, :-1]
    return 0.66 + 0.26 * torch.exp(-1.5 * (0.25 * around + 0.5 * lower))


class Channel(nn.Module):
    """What happens between the camera and the synthesis."""

    def __init__(self, checkpoint):
        super().__init__()
        self.analysis = Analysis()
        self.analysis.load_state_dict(torch.load(checkpoint)["model"])
        self.requires_grad_(False)

    def forward(self, rgb, step):
        """Inputs of the synthesis for pictures coded at `step`."""
        levels, planes = [], []
        for plane, c in enumerate(self.analysis(rgb)):
            size = step * (CHROMA_STEP if plane else 1.0)
            q = c.abs() / size
            n = torch.floor(q + ROUND_AC)
            n = torch.where((n == 1) & (q < worthwhile(n)), 0.0, n)
            n[:, 0, 0] = torch.floor(q[:, 0, 0] + ROUND_DC)
            known = torch.sign(c) * (n - torch.where(n == 1, 12 / 256, 8 / 256)).clamp_min(0) * size
            q = torch.sign(c) * n
            batch, bands, _, rows, columns = q.shape
            levels.append(q.reshape(batch, bands * bands, rows, columns))
            inverse = self.analysis.chroma.inverse if plane else self.analysis.luma.inverse
            planes.append(inverse(known)[:, None])
        levels = torch.cat(levels, 1)
        log = torch.full_like(levels[:, :1], float(np.log2(step / 64)))
        return planes[0], torch.cat(planes[1:], 1), levels, log


class Similarity(nn.Module):
    """MS-SSIM of luma: four scales, for the coarsest of five does not fit a crop."""

    # Weight of what is missing to 1, beside the step-weighted squared error.
    WEIGHT = 2.0
    # From what part of a run on.
    FROM = 0.7
    SCALES = [0.0448, 0.2856, 0.3001, 0.2363]

    def __init__(self):
        super().__init__()
        window = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
        self.window = window / window.sum()
        self.register_buffer("luma", torch.tensor(Analysis.MATRIX[0])[None, :, None, None], persistent=False)

    def blur(self, x):
        """Every window's weighted mean, by a banded matrix on either side: on CPUs far
        faster than convolutions of one channel."""
        size = x.shape[-1]
        band = torch.zeros(size - 10, size)
        for row, to in enumerate(band):
            to[row : row + 11] = self.window
        return band @ x @ band.T

    def forward(self, out, rgb):
        """The mean over a batch of square [batch, 3, height, width] pictures of 0 to 255."""
        x, y = F.conv2d(out, self.luma), F.conv2d(rgb, self.luma)
        total, weights = 0.0, torch.tensor(self.SCALES) / sum(self.SCALES)
        for scale, weight in enumerate(weights):
            if scale:
                x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
            a, b, aa, bb, ab = self.blur(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
            structure = (2 * (ab - a * b) + 58.5225) / (aa - a * a + bb - b * b + 58.5225)
            if scale + 1 == len(weights):
                structure = structure * (2 * a * b + 6.5025) / (a * a + b * b + 6.5025)
            total = total + weight * structure.mean((1, 2, 3)).clamp_min(1e-3).log()
        return total.exp().mean()


class Critic(nn.Module):
    """Tells pictures from syntheses, patch by patch, beside the linear inverse."""

    def __init__(self, width=48):
        super().__init__()
        norm = nn.utils.parametrizations.spectral_norm
        sizes = [6, width, 2 * width, 4 * width]
        layers = []
        for before, after in zip(sizes, sizes[1:]):
            layers += [norm(nn.Conv2d(before, after, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        layers += [norm(nn.Conv2d(sizes[-1], sizes[-1], 3, padding=1)), nn.LeakyReLU(0.2)]
        layers += [norm(nn.Conv2d(sizes[-1], 1, 3, padding=1))]
        self.layers = nn.Sequential(*layers)

    def forward(self, rgb, linear):
        return self.layers(torch.cat([rgb, linear], 1) / 127.5 - 1)


class Perceptual:
    """What the generative flavour adds to squared error."""

    # Weights beside the step-weighted squared error.
    SIMILARITY, ADVERSARIAL = 2.0, 0.03
    # How many pictures of a batch the (slow) similarity sees.
    COMPARED = 3

    def __init__(self, rate):
        # The package imports three that its inference never calls.
        for name in ("torchvision", "IPython", "torchsummary"):
            sys.modules.setdefault(name, types.ModuleType(name))
        sys.modules["torchvision"].models = sys.modules["IPython"].embed = sys.modules["torchsummary"].summary = None
        from stlpips_pytorch import stlpips

        self.similarity = stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False).requires_grad_(False).eval()
        self.critic = Critic()
        self.optimiser = torch.optim.Adam(self.critic.parameters(), lr=rate, betas=(0.5, 0.9))

    def loss(self, out, rgb, linear):
        """The losses of a synthesis; trains the critic on the way."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            real, fake = self.critic(rgb, linear), self.critic(out.detach(), linear)
            critic = F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()
        self.optimiser.zero_grad()
        critic.backward()
        self.optimiser.step()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            self.critic.requires_grad_(False)
            adversarial = F.softplus(-self.critic(out, linear).float()).mean()
            self.critic.requires_grad_(True)
            some = slice(0, self.COMPARED)
            similarity = self.similarity(out[some] / 127.5 - 1, rgb[some] / 127.5 - 1).float().mean()
        return self.SIMILARITY * similarity + self.ADVERSARIAL * adversarial, similarity.item(), critic.item()


def draw_step(rng):
    return float(np.exp(rng.uniform(np.log(FINEST), np.log(COARSEST))))


def decibels(error):
    return 10 * np.log10(255**2 / error)


def evaluate(model, channel, pictures, steps):
    """PSNR of whole pictures, linear and with the network, at each step."""
    out = []
    with torch.no_grad():
        for step in steps:
            linear, full = [], []
            for rgb in pictures:
                inputs = channel(rgb, step)
                base = channel.analysis.picture(inputs[0][:, 0], inputs[1][:, 0], inputs[1][:, 1])
                error = lambda x: ((x.clamp(0, 255).round() - rgb) ** 2).mean().item()
                linear.append(decibels(error(base)))
                full.append(decibels(error(model(*inputs))))
            out.append((step, np.mean(linear), np.mean(full)))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="folders that hold the listed photographs")
    parser.add_argument("--analysis", type=Path, required=True, help="checkpoint of analysis.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint and log; resumed if it is there")
    parser.add_argument("--flavour", choices=["faithful", "generative"], default="faithful")
    parser.add_argument("--start", type=Path, help="checkpoint to start from")
    parser.add_argument("--steps", type=int, default=13000)
    parser.add_argument("--rate", type=float, default=6e-4, help="learning rate at the start")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)
    images = photographs.load(arguments.folders)
    held = [image[: image.shape[0] // 16 * 16, : image.shape[1] // 16 * 16] for image in images[::37]]
    held = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() for image in held]
    images = [image for at, image in enumerate(images) if at % 37]
    crops = photographs.Crops(images, arguments.crop, arguments.batch, arguments.seed)
    channel = Channel(arguments.analysis)
    model = Synthesis(arguments.width, arguments.blocks).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), lr=arguments.rate, betas=(0.9, 0.99))
    similar = Similarity()
    perceptual = Perceptual(2 * arguments.rate) if arguments.flavour == "generative" else None
    if arguments.start:
        model.load_state_dict(torch.load(arguments.start, weights_only=False)["model"])
    at, log, path = 0, [], arguments.out / "synthesis.pt"
    if path.exists():
        saved = torch.load(path, weights_only=False)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        crops.rng, at, log = saved["rng"], saved["at"], saved["log"]
        if "torch" in saved:
            torch.set_rng_state(saved["torch"])
        if perceptual:
            perceptual.critic.load_state_dict(saved["critic"])
            perceptual.optimiser.load_state_dict(saved["critic_optimiser"])
    start = time.time()
    while at < arguments.steps:
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * min(1, (at + 1) / 500) * 0.5 * (1 + np.cos(np.pi * at / arguments.steps))
        rgb = crops.draw()
        step = draw_step(crops.rng)
        inputs = [x.contiguous(memory_format=torch.channels_last) for x in channel(rgb, step)]
        # Errors grow with the step: so weighted, no rate drowns the others.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = model(*inputs)
        loss = ((out.float() - rgb) ** 2).mean() / step**1.2
        error, similarity, critic = loss.item(), 0.0, 0.0
        if perceptual:
            linear = channel.analysis.picture(inputs[0][:, 0], inputs[1][:, 0], inputs[1][:, 1])
            more, similarity, critic = perceptual.loss(out.float(), rgb, linear)
            loss = loss + more
        elif at >= Similarity.FROM * arguments.steps:
            similarity = similar(out.float(), rgb)
            loss = loss + Similarity.WEIGHT * (1 - similarity)
            similarity = similarity.item()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        at += 1
        log.append((error, similarity, critic))
        if at % 100 == 0:
            error, similarity, critic = np.mean(log[-100:], 0)
            print(f"{at} error {error:.4f} similarity {similarity:.4f} critic {critic:.4f} {time.time() - start:.0f} s", flush=True)
        if at % 1000 == 0 or at == arguments.steps:
            scores = evaluate(model, channel, held, [32, 64, 100])
            print(" ".join(f"{step}: {a:.2f} {b:.2f} (+{b - a:.2f})" for step, a, b in scores), flush=True)
            with open(arguments.out / "synthesis.csv", "a", newline="") as out:
                csv.writer(out).writerow([at, *np.mean(log[-1000:], 0).round(5), *[round(b - a, 4) for _, a, b in scores]])
            state = {"model": model.state_dict(), "settings": model.settings, "optimiser": optimiser.state_dict()}
            state |= {"rng": crops.rng, "at": at, "log": log[-1000:], "torch": torch.get_rng_state()}
            if perceptual:
                state |= {"critic": perceptual.critic.state_dict(), "critic_optimiser": perceptual.optimiser.state_dict()}
            torch.save(state, path)


if __name__ == "__main__":
    main()
