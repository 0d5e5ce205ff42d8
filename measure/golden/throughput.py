"""Times the reference implementations on the inputs of examples/metric_throughput.rs.

    python throughput.py [THREADS]      (needs what real.py needs; two threads unless told)
"""

import sys
import time

import torch
from pytorch_msssim import ms_ssim, ssim

from real import damaged, load, tensor


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    torch.set_num_threads(threads)
    print("image,width,height,metric,threads,median_ms,cpu_ms,value")
    for name in ["clock", "dandelion", "room"]:
        a = load(name)
        x, y = (tensor(image, torch.float32) for image in (a, damaged(a, "coarse")))
        for metric, measure in [("ssim", ssim), ("ms-ssim", ms_ssim)]:
            with torch.no_grad():
                value = float(measure(x, y, data_range=255))
                times, cpu = [], time.process_time()
                while sum(times) < 5:
                    start = time.perf_counter()
                    measure(x, y, data_range=255)
                    times.append(time.perf_counter() - start)
                cpu = (time.process_time() - cpu) / len(times)
            median = sorted(times)[len(times) // 2]
            size = f"{a.shape[1]},{a.shape[0]}"
            print(f"{name},{size},{metric},{threads},{median * 1e3:.1f},{cpu * 1e3:.1f},{value:.6f}")


if __name__ == "__main__":
    main()
