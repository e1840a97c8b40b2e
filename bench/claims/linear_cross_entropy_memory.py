"""Claim: Cut Cross-Entropy takes the memory of a large vocabulary's loss from 24 GB to 1 MB.

    python bench/claims/linear_cross_entropy_memory.py [--quick] [--csv FILE]

The paper's table 1 is of Gemma 2 (2B) on a GPU: 8192 tokens, 256,000 classes, 2304 features.  There
the loss takes 24 GB, 28 GB with its gradients, and Cut Cross-Entropy 1 MB and 1.16 GB, of which the
gradients themselves are all but a few MB.  Here peaks of resident memory are measured on torch
tensors in float32, each in a process of its own: of torch's cross_entropy(h @ w.T) and of
linear_cross_entropy, forward alone and with gradients, whose own size is subtracted.  A GPU kernel
holds a tile of logits, we hold 2**22 of them, so that BLAS has chunks worth a call: the ratio grows
with the tokens, and ours is the same for any number of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np

import anymax as am
from anymax._bench import csv, load
from anymax._bench.case import normal
from anymax._bench.memory import on_cpu
from anymax._bench.row import Row

PAPER = {False: "24 GB to 1 MB", True: "28 GB to 1.16 GB, 1.16 GB being the gradients"}
WANTED = 24.0


def call(ours: bool, gradients: bool, tokens: int, features: int, classes: int) -> Callable:
    """One call of a side, which gives its results."""
    import torch

    h, w = (torch.from_numpy(normal(n, features, seed=n)) for n in (tokens, classes))
    w /= features**0.5
    y = torch.from_numpy(np.arange(tokens) * 7919 % classes)
    leaves = [x.requires_grad_(gradients) for x in (h, w)]

    def run():
        if ours:
            loss = am.linear_cross_entropy(h, w, y)
        else:
            loss = torch.nn.functional.cross_entropy(h @ w.T, y)
        return torch.autograd.grad(loss, leaves) if gradients else loss

    return run


def one(ours: bool, gradients: bool, *shape: int) -> None:
    """The answer of a process of its own."""
    run = call(ours, gradients, *shape)
    for _ in range(2):
        run()
    tokens, features, classes = shape
    own = 4.0 * features * (tokens + classes) if gradients else 0.0
    peak = on_cpu(run)
    print("unknown" if peak is None else peak - own)


def asked(ours: bool, gradients: bool, *shape: int) -> float:
    words = [str(int(x)) for x in (ours, gradients, *shape)]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed goes back
    done = subprocess.run(
        [sys.executable, __file__, "--one", *words],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return float(done.stdout.strip().rpartition("\n")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the tokens")
    parser.add_argument("--one", nargs=5, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--csv", metavar="FILE", help="append the figures to a file")
    options = parser.parse_args()
    if options.one:
        ours, gradients, *shape = options.one
        one(bool(ours), bool(gradients), *shape)
        return
    features, classes = 512, 32_000
    rows = []
    print(f"{'':34}{'ours MB':>9}{'logits MB':>11}{'ratio':>9}   paper")
    for gradients in (False, True):
        for tokens in (512, 1024) if options.quick else (1024, 2048, 4096):
            shape = tokens, features, classes
            ours, theirs = (asked(mine, gradients, *shape) for mine in (True, False))
            ratio = theirs / max(ours, 1.0)
            name = "linear_cross_entropy" + (" gradient" if gradients else " loss")
            verdict = f"{WANTED:g}x: {'met' if ratio >= WANTED else 'NOT met'}"
            print(
                f"{name:26}{tokens:>8}{ours / 1e6:>9.1f}{theirs / 1e6:>11.1f}{ratio:>8.1f}x"
                f"   {PAPER[gradients]}; {verdict}"
            )
            size = "x".join(map(str, shape))
            rows.append(Row(name + " memory", size, "torch", "cpu", "auto", ours_peak=ours,
                            theirs_peak=theirs))  # fmt: skip
    if load.average() > load.cores():
        print(f"load {load.average():.1f} on {load.cores()} cores; peaks don't depend on it")
    if options.csv:
        csv.write(options.csv, rows, csv.machine())


if __name__ == "__main__":
    main()
