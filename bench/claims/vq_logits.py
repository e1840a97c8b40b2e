"""Claim: VQ-Logits compute the output layer 6 times faster than the full matrix.

    python bench/claims/vq_logits.py [--quick] [--csv FILE]

Three things are timed against the full layer on the same NumPy arrays in float32, V = 128,000
tokens, d = 4096 features, K = 1024 codes: all V logits, which is what the paper's 6x is about, all
V log-probabilities, and the log-probability of one label a row, which needs K logits only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import anymax as am
from anymax._bench import csv, load
from anymax._bench.row import Row
from anymax._bench.timing import paired

PAPER = 6.0


def contests(tokens: int, features: int, codes: int, rows: int) -> dict[str, tuple[Callable, ...]]:
    """Ours and the full layer's, by name."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, dtype=np.float32) / features**0.5

    h, w = features**0.5 * normal(rows, features), normal(tokens, features)
    codebook = normal(codes, features)
    assignment = rng.integers(0, codes, size=tokens)
    counts = np.bincount(assignment, minlength=codes)
    log_counts = np.log(counts).astype(np.float32)
    target = rng.integers(0, tokens, size=rows)

    def label() -> Any:
        log_p = am.softmaxes.vq_code_log_softmax(h, codebook, assignment, counts=counts)
        code = assignment[target]
        return log_p[np.arange(rows), code] - log_counts[code]

    def full_label() -> Any:
        return -am.cross_entropy(h @ w.T, target, reduction="none")

    return {
        "vq_logits": (lambda: am.vq_logits(h, codebook, assignment), lambda: h @ w.T),
        "log_vq_softmax": (
            lambda: am.log_vq_softmax(h, codebook, assignment, counts=counts),
            lambda: am.log_softmax(h @ w.T),
        ),
        "vq_code_log_softmax (label)": (label, full_label),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of V and d, short rounds")
    parser.add_argument("--rows", type=int, default=16, help="rows of hidden states")
    parser.add_argument("--csv", metavar="FILE", help="append the figures to a file")
    options = parser.parse_args()
    tokens, features, codes = (16_000, 512, 128) if options.quick else (128_000, 4096, 1024)
    size = f"V={tokens} d={features} K={codes} rows={options.rows}"
    print(f"{size}\n{'':30}{'ours ms':>10}{'full ms':>10}{'ratio':>9}   paper")
    rows = []
    for name, (ours, full) in contests(tokens, features, codes, options.rows).items():
        r = paired(ours, full, 0.3 if options.quick else 4.0)
        verdict = "met" if r.median >= PAPER else "NOT met"
        print(
            f"{name:30}{r.ours * 1e3:>10.2f}{r.theirs * 1e3:>10.2f}{r.median:>8.1f}x"
            f"   {PAPER:g}x: {verdict}"
        )
        rows.append(
            Row(
                name, size, "full layer", "cpu", "auto", r.median, r.low, r.high, r.rounds,
                r.ours, r.theirs,
            )
        )  # fmt: skip
    kept = codes / tokens
    print(f"parameters: {kept:.2%} of the full matrix (paper: up to 99% fewer)")
    print("perplexity (paper: 4% worse) is a matter of training and isn't measured here")
    if load.average() > load.cores():
        print(f"load {load.average():.1f} on {load.cores()} cores: others were busy, run it again")
    if options.csv:
        csv.write(options.csv, rows, csv.machine())


if __name__ == "__main__":
    main()
