"""Makes real.csv: what the reference implementations say of bundled images.

    pip install numpy pillow scikit-image onnx torch pytorch-msssim==1.0.0 scipy tqdm
    pip install --no-deps lpips==0.1.4 stlpips-pytorch==0.0.2
    python real.py [MODELS] > real.csv

Run with NumPy 2.4.6, Pillow 13.0.0, scikit-image 0.26.0, onnx 1.23.2 and torch 2.15.0 on the
processor.

LPIPS needs a trunk trained on ImageNet, which no package holds. That our graph computes what
the package lpips does is shown with seeded trunks instead: of a thirty-second of the width,
written beside this file whole, weights and all (lpips-*-narrow.onnx), and of full width with
the package's own linear layers, too large to be kept and written to the folder MODELS if that
is given. torchvision, which would give the untrained trunks, is stood in for.

The inputs are images of data/demo and damage by formula or by JPEG; tests/common/mod.rs makes
the same pixels, which the exact `sse` proves. A metric called `NAME!VARIANT` is a trap: a
plausible mistake, from which the right value must differ.
"""

import importlib.util
import io
import sys
import types
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pytorch_msssim import ms_ssim
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

ROOT = Path(__file__).resolve().parents[2]
# Whole images; sides odd and even.
WHOLE = [
    ("bird", "jpeg10"), ("dogs", "jpeg30"), ("room", "jpeg75"), ("dandelion", "noise"),
    ("mountain", "blocks"), ("clock", "coarse"), ("brook", "jpeg30"),
]
# Parts of images for the networks: x, y, width, height.
PARTS = [
    ("bird", "jpeg10", (200, 100, 256, 256)), ("dogs", "jpeg30", (100, 200, 255, 192)),
    ("room", "blocks", (90, 300, 161, 203)), ("dandelion", "noise", (300, 250, 128, 97)),
    ("clock", "coarse", (250, 120, 224, 224)), ("brook", "jpeg75", (10, 20, 192, 255)),
]


def load(name):
    return np.asarray(Image.open(ROOT / f"data/demo/images/{name}.jpg").convert("RGB"))


def jpeg(image, quality, subsampling):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file).convert("RGB"))


def noise(n, seed):
    """Numbers 0..255 from a linear congruential generator (Numerical Recipes)."""
    out = np.empty(n, np.int64)
    state = seed
    for i in range(n):
        state = (1664525 * state + 1013904223) & 0xFFFFFFFF
        out[i] = state >> 24
    return out


def damaged(image, damage):
    if damage.startswith("jpeg"):
        quality = int(damage[4:])
        return jpeg(image, quality, 0 if quality == 75 else 2)
    if damage == "coarse":
        return np.minimum(image.astype(np.int64) // 24 * 24 + 12, 255).astype(np.uint8)
    if damage == "noise":
        values = image + (noise(image.size, 7).reshape(image.shape) // 6 - 21)
        return np.clip(values, 0, 255).astype(np.uint8)
    if damage == "blocks":
        out = np.empty_like(image)
        for y in range(0, image.shape[0], 6):
            for x in range(0, image.shape[1], 6):
                block = image[y : y + 6, x : x + 6].astype(np.int64)
                out[y : y + 6, x : x + 6] = block.sum((0, 1)) // (block.shape[0] * block.shape[1])
        return out
    raise ValueError(damage)


def luma(image):
    return image @ np.array([0.299, 0.587, 0.114])


def tensor(image, dtype=torch.float64):
    return torch.tensor(np.ascontiguousarray(image.transpose(2, 0, 1)[None])).to(dtype)


def conventional(a, b):
    wide = lambda image: image.astype(np.float64)
    yield "sse", int(((a.astype(np.int64) - b) ** 2).sum())
    yield "psnr", peak_signal_noise_ratio(a, b, data_range=255)
    ya, yb = luma(wide(a)), luma(wide(b))
    yield "sse-y", ((ya - yb) ** 2).sum()
    yield "psnr-y", peak_signal_noise_ratio(ya, yb, data_range=255)
    yield "psnr-y!rounded", peak_signal_noise_ratio(np.rint(ya), np.rint(yb), data_range=255)
    yield "psnr-y!bgr", peak_signal_noise_ratio(luma(wide(a[..., ::-1])), luma(wide(b[..., ::-1])), data_range=255)
    studio = 219 / 255
    yield "psnr-y!studio-range", peak_signal_noise_ratio(ya * studio, yb * studio, data_range=255)
    yield "psnr-y!unit-range", peak_signal_noise_ratio(ya / 255, yb / 255, data_range=255)
    if np.abs(a.astype(int) - b).max() > 15:  # or no square of a byte wraps
        yield "psnr!wrapping-bytes", 10 * np.log10(255**2 / ((a - b) ** 2).mean())
    gaussian = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2)
    yield "ssim", structural_similarity(a, b, **gaussian)
    yield "ssim!uniform-window", structural_similarity(a, b, data_range=255, channel_axis=2)
    yield "ssim!sample-covariance", structural_similarity(a, b, **{**gaussian, "use_sample_covariance": True})
    yield "ssim!unit-range", structural_similarity(a / 255, b / 255, **gaussian)
    yield "ssim!luma", structural_similarity(ya, yb, **{**gaussian, "channel_axis": None})
    x, y = tensor(a), tensor(b)
    yield "ms-ssim", ms_ssim(x, y, data_range=255)
    # The package rounds its window to 32 bits even for 64-bit images; with its sum 2**-25 off,
    # so are the means. The same computation with an unrounded window:
    tap = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    yield "ms-ssim-exact-window", ms_ssim(x, y, data_range=255, win=(tap / tap.sum()).repeat(3, 1, 1, 1))
    yield "ms-ssim-f32", ms_ssim(x.float(), y.float(), data_range=255)
    yield "ms-ssim!unit-range", ms_ssim(x / 255, y / 255, data_range=255)
    yield "ms-ssim!window-7", ms_ssim(x, y, data_range=255, win_size=7)
    yield "ms-ssim!luma", ms_ssim(torch.tensor(ya)[None, None], torch.tensor(yb)[None, None], data_range=255)
    # float16 has no room for squares of 255.
    yield "ms-ssim!float16", ms_ssim(x.half(), y.half(), data_range=255)


def recipe():
    """models/import/lpips.py, under a name that is not the package's."""
    spec = importlib.util.spec_from_file_location("recipe", ROOT / "models/import/lpips.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def features(trunk):
    """What torchvision's `features` of that trunk would be, untrained."""
    layers, channels = [], 3
    for layer in (layer for group in trunk for layer in group):
        if isinstance(layer, int):
            layers.append(torch.nn.MaxPool2d(layer, 2))
        else:
            _, out, kernel, stride, padding = layer
            layers += [torch.nn.Conv2d(channels, out, kernel, stride, padding), torch.nn.ReLU()]
            channels = out
    return torch.nn.Sequential(*layers)


def narrowed(trunk):
    return [[x if isinstance(x, int) else (x[0], x[1] // 32, *x[2:]) for x in group] for group in trunk]


def seeded(model, seed):
    """Weights of the shapes that the graph names: normal ones that keep the features' size."""
    random, state = np.random.RandomState(seed), {}
    for weight in model.graph.value_info:
        shape = [dim.dim_value for dim in weight.type.tensor_type.shape.dim]
        values = random.standard_normal(shape)
        if weight.name.startswith("lin"):
            values = np.abs(values)
        elif len(shape) == 4:
            values *= np.sqrt(2 / np.prod(shape[1:]))
        else:
            values *= 0.1
        state[weight.name] = values.astype(np.float32)
    return state


def networks(models):
    """Name and function of each learnt distance."""
    stand_in = {name: types.ModuleType(name) for name in ("torchvision", "IPython", "torchsummary")}
    stand_in["torchvision"].models = tv = types.SimpleNamespace()
    stand_in["IPython"].embed = stand_in["torchsummary"].summary = None
    sys.modules.update(stand_in)
    import lpips
    from stlpips_pytorch import stlpips

    yield "st-lpips-alex", stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False)

    graphs = recipe()
    for width, narrow in (("narrow", True), ("seeded", False)):
        for name, attribute in (("alex", "alexnet"), ("vgg", "vgg16")):
            trunk = narrowed(graphs.TRUNKS[name]) if narrow else graphs.TRUNKS[name]
            model = graphs.build(f"lpips-{name}-{width}", trunk)
            state = seeded(model, 5)
            if not narrow:
                linear = torch.load(Path(lpips.__file__).parent / f"weights/v0.1/{name}.pth", map_location="cpu")
                state |= {name: weight.numpy() for name, weight in linear.items()}
            folder = Path(__file__).parent if narrow else models
            if folder:
                graphs.pour(model, state)
                graphs.write(model, Path(folder) / f"lpips-{name}-{width}.onnx")
            tensors = {name: torch.tensor(values) for name, values in state.items()}
            layers = features(trunk)
            layers.load_state_dict({k[9:]: v for k, v in tensors.items() if k.startswith("features.")})
            setattr(tv, attribute, lambda pretrained, layers=layers: types.SimpleNamespace(features=layers))
            metric = lpips.LPIPS(net=name, pretrained=False, pnet_rand=True, verbose=False)
            for layer, linear in enumerate(metric.lins):
                linear.model[1].weight = torch.nn.Parameter(tensors[f"lin{layer}.model.1.weight"])
            yield f"lpips-{name}-{width}", metric


def learnt(name, metric, a, b):
    unit = lambda image: tensor(image, torch.float32) / 255
    x, y = 2 * unit(a) - 1, 2 * unit(b) - 1
    yield name, metric(x, y)
    yield f"{name}!unit-range", metric(unit(a), unit(b))
    yield f"{name}!byte-range", metric(255 * unit(a), 255 * unit(b))
    yield f"{name}!bgr", metric(x.flip(1), y.flip(1))
    yield f"{name}!transposed", metric(x.transpose(2, 3), y.transpose(2, 3))
    metric.version = "0.0"
    yield f"{name}!unscaled", metric(x, y)
    metric.version = "0.1"


def main():
    print("metric,image,damage,x,y,width,height,value")
    for name, damage in WHOLE:
        a = load(name)
        b = damaged(a, damage)
        for metric, value in conventional(a, b):
            print(metric, name, damage, 0, 0, a.shape[1], a.shape[0], repr(float(value)), sep=",")
    for network, metric in networks(sys.argv[1] if len(sys.argv) > 1 else None):
        for name, damage, (x, y, width, height) in PARTS:
            a = load(name)
            a, b = (image[y : y + height, x : x + width] for image in (a, damaged(a, damage)))
            with torch.no_grad():
                for variant, value in learnt(network, metric, a, b):
                    print(variant, name, damage, x, y, width, height, repr(float(value)), sep=",")


if __name__ == "__main__":
    main()
