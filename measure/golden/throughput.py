"""Times the reference implementations on the inputs of the Rust examples.

    python throughput.py [THREADS]      (needs what real.py needs; two threads unless told)

SSIM and MS-SSIM as measure/examples/metric_throughput.rs, ST-LPIPS as
models/tract/examples/similarity_throughput.rs. `cpu_ms` is the time that all threads together
ran: it hardly depends on what else the machine does, as `median_ms` does.
"""

import sys
import time

import torch
from pytorch_msssim import ms_ssim, ssim

from real import damaged, load, networks, tensor


def timed(measure):
    """Value, median time and mean processor time in ms, over five seconds."""
    with torch.no_grad():
        value = float(measure())
        times, cpu = [], time.process_time()
        while sum(times) < 5:
            start = time.perf_counter()
            measure()
            times.append(time.perf_counter() - start)
        cpu = (time.process_time() - cpu) / len(times)
    return value, sorted(times)[len(times) // 2] * 1e3, cpu * 1e3


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    torch.set_num_threads(threads)
    _, st_lpips = next(networks(None))
    print("image,width,height,metric,threads,median_ms,cpu_ms,value")
    for name in ["clock", "dandelion", "room"]:
        a = load(name)
        x, y = (tensor(image, torch.float32) for image in (a, damaged(a, "coarse")))
        u, v = x / 127.5 - 1, y / 127.5 - 1
        for side, metric, measure in [
            (None, "ssim", lambda: ssim(x, y, data_range=255)),
            (None, "ms-ssim", lambda: ms_ssim(x, y, data_range=255)),
            (256, "st-lpips", lambda: st_lpips(u[..., :256, :256], v[..., :256, :256])),
            (None, "st-lpips", lambda: st_lpips(u, v)),
        ]:
            value, median, cpu = timed(measure)
            size = f"{side or a.shape[1]},{side or a.shape[0]}"
            print(f"{name},{size},{metric},{threads},{median:.1f},{cpu:.1f},{value:.6f}", flush=True)


if __name__ == "__main__":
    main()
