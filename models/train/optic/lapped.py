"""The lapped transform of the codec, as PyTorch modules.

Along each axis: a *lapping* matrix across every inner block boundary (half a block on
either side), then a matrix on every block. Both are learned; they start as the
time-domain lapped transform of Tran, Liang and Tu (IEEE Trans. Signal Processing 51(6),
2003) around a DCT-II. The lapping matrix keeps Tran's butterflies, so that it is
invertible wherever its one free block is, and pictures need no special borders.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def dct2(n):
    k, x = np.arange(n)[:, None], np.arange(n)[None]
    m = np.cos(np.pi * (2 * x + 1) * k / (2 * n)) * np.sqrt(2 / n)
    m[0] /= np.sqrt(2)
    return m


def dct4(n):
    k, x = np.arange(n)[:, None], np.arange(n)[None]
    return np.sqrt(2 / n) * np.cos(np.pi * (2 * k + 1) * (2 * x + 1) / (4 * n))


class Lapped(nn.Module):
    """A separable lapped transform with `n` bands along each axis."""

    def __init__(self, n):
        super().__init__()
        self.n = n
        half = n // 2
        flip = np.eye(half)[::-1]
        self.lap = nn.Parameter(torch.tensor(flip @ dct2(half).T @ dct4(half) @ flip, dtype=torch.float32))
        self.block = nn.Parameter(torch.tensor(dct2(n), dtype=torch.float32))
        eye, flip = torch.eye(half), torch.flip(torch.eye(half), [0])
        butterflies = torch.cat([torch.cat([eye, flip], 1), torch.cat([flip, -eye], 1)]) / 2**0.5
        self.register_buffer("butterflies", butterflies, persistent=False)

    def lapping(self):
        """The [n, n] matrix applied across a boundary."""
        free = torch.block_diag(torch.eye(self.n // 2, device=self.lap.device), self.lap)
        return self.butterflies @ free @ self.butterflies

    def _across(self, x, matrix):
        half, length = self.n // 2, x.shape[-1]
        inner = x[..., half : length - half]
        inner = (inner.reshape(*inner.shape[:-1], -1, self.n) @ matrix.T).reshape(inner.shape)
        return torch.cat([x[..., :half], inner, x[..., length - half :]], -1)

    def _blocks(self, x, matrix):
        return (x.reshape(*x.shape[:-1], -1, self.n) @ matrix.T).reshape(x.shape)

    def forward(self, x):
        """[batch, height, width] samples to [batch, n, n, rows, columns] coefficients;
        the second axis counts vertical bands."""
        lap = self.lapping()
        for _ in range(2):
            x = self._blocks(self._across(x, lap), self.block).transpose(1, 2)
        batch, height, width = x.shape
        n = self.n
        return x.reshape(batch, height // n, n, width // n, n).permute(0, 2, 4, 1, 3)

    def inverse(self, c):
        """What `forward` would turn into `c`."""
        batch, n, _, rows, columns = c.shape
        x = c.permute(0, 3, 1, 4, 2).reshape(batch, rows * n, columns * n)
        lap, block = torch.linalg.inv(self.lapping()), torch.linalg.inv(self.block)
        for _ in range(2):
            x = self._across(self._blocks(x, block), lap).transpose(1, 2)
        return x


class Analysis(nn.Module):
    """Pictures to coefficients and back: luma in 16x16 bands, both chroma planes at
    half size in 8x8."""

    # RGB to Y'CbCr of BT.601, full range.
    MATRIX = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]

    def __init__(self):
        super().__init__()
        self.luma, self.chroma = Lapped(16), Lapped(8)
        self.register_buffer("colours", torch.tensor(self.MATRIX), persistent=False)

    def planes(self, rgb):
        """[batch, 3, height, width] of 0 to 255 to three planes around 0."""
        ycc = torch.einsum("ck,bkhw->bchw", self.colours, rgb)
        chroma = F.avg_pool2d(ycc[:, 1:], 2)
        return ycc[:, 0] - 128, chroma[:, 0], chroma[:, 1]

    def picture(self, y, cb, cr):
        """The picture of three planes, chroma enlarged by bilinear interpolation."""
        chroma = F.interpolate(torch.stack([cb, cr], 1), scale_factor=2, mode="bilinear")
        ycc = torch.cat([y[:, None] + 128, chroma], 1)
        return torch.einsum("ck,bkhw->bchw", torch.linalg.inv(self.colours), ycc)

    def forward(self, rgb):
        y, cb, cr = self.planes(rgb)
        return self.luma(y), self.chroma(cb), self.chroma(cr)

    def inverse(self, y, cb, cr):
        return self.picture(self.luma.inverse(y), self.chroma.inverse(cb), self.chroma.inverse(cr))
