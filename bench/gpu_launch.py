"""What a call of a CUDA row kernel costs: host time per call, and bytes per second of the kernel.

Run on a machine with a GPU (``bench/gpu_session.sh`` does). Every number is a median over rounds in
which ours and the rivals take turns; the floor is a plain device copy of as many bytes.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

SHAPES = ((4, 8), (4096, 1024), (512, 32_000), (8192, 4096), (1024, 131_072))
ROUNDS = 15
COLUMNS = ("device", "case", "rows", "cols", "dtype", "who", "host_us", "device_us", "gb_per_s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", required=True, help="where the results go")
    arguments = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("torch has no CUDA device", file=sys.stderr)
        return 2
    device = torch.cuda.get_device_name()
    rows = [
        row
        for dtype in ("float32", "bfloat16")
        for shape in SHAPES
        for row in measure(shape, dtype)
    ]
    with open(arguments.csv, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([device, *row] for row in rows)
    for row in rows:
        print(*row, sep="\t")
    return 0


def measure(shape: tuple[int, int], dtype: str) -> list[list[Any]]:
    """Time softmax forward, its gradient, and cross entropy with gradient, against torch."""
    import torch
    from torch.nn.functional import cross_entropy

    from anymax._cuda import row_cross_entropy, row_softmax

    x = torch.randn(shape, device="cuda").to(getattr(torch, dtype))
    g, p = torch.randn_like(x), torch.softmax(x, 1)
    y = torch.empty_like(x)
    target = torch.randint(0, shape[1], shape[:1], device="cuda")
    leaf, operands = x.clone().requires_grad_(), (x, target, None, None, None)
    softmax_options = {"axis": (1,), "scale": 1.0}

    def loss_and_gradient() -> None:
        loss = cross_entropy(leaf, target, reduction="sum")
        torch.autograd.grad(loss, leaf)

    cases: dict[str, tuple[int, dict[str, Callable[[], Any]]]] = {
        "softmax": (2, {
            "anymax": lambda: row_softmax.softmax(x, None, **softmax_options),
            "torch": lambda: torch.softmax(x, 1),
            "copy": lambda: y.copy_(x),
        }),
        "softmax gradient": (3, {
            "anymax": lambda: row_softmax.softmax_backward(
                (x, None), (p,), (g,), (True, False), **softmax_options
            ),
            "torch": lambda: torch.ops.aten._softmax_backward_data(g, p, 1, x.dtype),
        }),
        "cross entropy and gradient": (2, {
            "anymax": lambda: row_cross_entropy.forward_backward(operands, 1.0),
            "torch": loss_and_gradient,
        }),
    }  # fmt: skip
    results = []
    for case, (passes, runners) in cases.items():
        moved = passes * x.numel() * x.element_size()
        for who, (host, device) in race(runners).items():
            rate = moved / device / 1e3
            results.append(
                [case, *shape, dtype, who, f"{host:.2f}", f"{device:.2f}", f"{rate:.1f}"]
            )
    return results


def race(runners: dict[str, Callable[[], Any]]) -> dict[str, tuple[float, float]]:
    """Median host and device microseconds per call; everyone takes a turn in every round."""
    import torch

    times: dict[str, list[tuple[float, float]]] = {who: [] for who in runners}
    for run in runners.values():
        for _ in range(5):
            run()
    for _ in range(ROUNDS):
        for who, run in runners.items():
            torch.cuda.synchronize()
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            clock = time.perf_counter()
            for _ in range(10):
                run()
            host = (time.perf_counter() - clock) * 1e5
            stop.record()
            stop.synchronize()
            times[who].append((host, start.elapsed_time(stop) * 100))
    return {
        who: (statistics.median(h for h, _ in pairs), statistics.median(d for _, d in pairs))
        for who, pairs in times.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
