"""Makes golden.csv: what the reference implementations say of the inputs below.

    python -m venv venv && venv/bin/pip install numpy scikit-image
    venv/bin/python make.py > golden.csv

The inputs are formulas over 32-bit integers, written the same way in
tests/golden.rs, so that no media file is needed. Images: PSNR by scikit-image's
peak_signal_noise_ratio, SSIM by its structural_similarity. Sound: SNR and
SI-SDR written out in NumPy.
"""

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def noise(n, seed):
    """Numbers 0..255 from a linear congruential generator (Numerical Recipes)."""
    out = np.empty(n, np.int64)
    state = seed
    for i in range(n):
        state = (1664525 * state + 1013904223) & 0xFFFFFFFF
        out[i] = state >> 24
    return out


def image(width, height, channels, kind, seed):
    x = np.arange(width)[None, :, None]
    y = np.arange(height)[:, None, None]
    c = np.arange(channels)[None, None, :]
    if kind == "ramp":
        base = (3 * x + 5 * y + 40 * c) % 256
    elif kind == "bars":
        base = np.where((x // 7 + y // 5 + c) % 2 == 0, 200, 30)
    elif kind == "flat":
        base = np.full((height, width, channels), 128) + 0 * c
    elif kind == "noise":
        base = noise(height * width * channels, seed).reshape(height, width, channels)
    elif kind == "saturated":
        base = np.where((x * x + y * y) % 97 < 40, 255, 0) + 0 * c
    return np.broadcast_to(base, (height, width, channels)).astype(np.int64)


def coded(pristine, damage, seed):
    """What a coder might have made of it."""
    height, width, channels = pristine.shape
    if damage == "none":
        return pristine.copy()
    if damage == "shift":
        return np.clip(pristine + 9, 0, 255)
    if damage == "coarse":
        return np.clip((pristine // 24) * 24 + 12, 0, 255)
    if damage == "noisy":
        return np.clip(pristine + noise(pristine.size, seed).reshape(pristine.shape) // 8 - 16, 0, 255)


def images():
    for name, width, height, channels, kind, damage in [
        ("ramp", 64, 48, 3, "ramp", "coarse"),
        ("bars", 51, 37, 3, "bars", "noisy"),
        ("noise", 32, 33, 3, "noise", "coarse"),
        ("grey", 40, 29, 1, "ramp", "noisy"),
        ("window", 11, 11, 3, "bars", "shift"),
        ("narrow", 11, 60, 3, "noise", "noisy"),
        ("flat", 24, 24, 3, "flat", "shift"),
        ("flat-noisy", 24, 31, 1, "flat", "noisy"),
        ("saturated", 80, 64, 3, "saturated", "noisy"),
        ("identical", 20, 20, 3, "noise", "none"),
    ]:
        a = image(width, height, channels, kind, 1)
        b = coded(a, damage, 2)
        a, b = a.astype(np.uint8), b.astype(np.uint8)
        if channels == 1:  # a grey image counts as one whose channels are equal
            a, b = np.repeat(a, 3, 2), np.repeat(b, 3, 2)
        with np.errstate(divide="ignore"):
            psnr = peak_signal_noise_ratio(a, b, data_range=255)
        ssim = structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                     data_range=255, channel_axis=2)
        sse = int(((a.astype(np.int64) - b.astype(np.int64)) ** 2).sum())
        print("image", name, width, height, channels, kind, damage, sse, repr(float(psnr)), repr(float(ssim)), sep=",")


def si_sdr(s, d):
    s, d = s - s.mean(), d - d.mean()
    target = (d @ s) / (s @ s) * s
    return 10 * np.log10((target @ target) / ((target - d) @ (target - d)))


def sounds():
    for name, frames, channels, step, gain, offset, mask in [
        ("mono", 4000, 1, 37, 1.0, 0.0, 0xF8),
        ("gain", 4000, 1, 53, 0.5, 0.0, 0xF0),
        ("offset", 3000, 1, 91, 1.0, 0.125, 0xFC),
        ("stereo", 2500, 2, 29, 0.75, 0.0, 0xE0),
        ("short", 64, 1, 17, 1.0, 0.0, 0xC0),
    ]:
        # Integer waves over noise; every value is a multiple of 2**-11, exact in 32-bit floats.
        i = np.arange(frames)
        values = np.stack([
            ((i * step * (c + 1)) % 512 - 256) * 4 + noise(frames, 3 + c) - 128 for c in range(channels)])
        kept = np.stack([
            ((i * step * (c + 1)) % 512 - 256) * 4 + (noise(frames, 3 + c) & mask) - 128 for c in range(channels)])
        s = (values / 2048).astype(np.float32).astype(np.float64)
        d = (kept / 2048 * gain + offset).astype(np.float32).astype(np.float64)
        snr = 10 * np.log10((s * s).sum() / ((d - s) ** 2).sum())
        ratio = np.mean([si_sdr(s[c], d[c]) for c in range(channels)])
        print("sound", name, frames, channels, step, gain, offset, mask, repr(float(snr)), repr(float(ratio)), sep=",")


images()
sounds()
