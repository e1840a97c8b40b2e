"""Claim: training the output layer by the Z-loss is 40 times faster than by the softmax.

    python bench/claims/z_loss_factored.py [--quick] [--batch N] [--csv FILE]

de Brebisson and Vincent (arXiv:1604.08859) report 40x against the log-softmax and 4x against a
two-level hierarchical softmax on the 793,471 words of One Billion Word, on a GPU.  Here a step of
training, loss, gradient by the inputs and update of the weights, is timed on NumPy arrays in
float32: the factored layer, whose new rows are written in place; the log-softmax, three products
with all weights, its update added in place by BLAS; and two levels of sqrt(V) classes each, whose
blocks of words are updated in place.  The factored step is also timed from 10^4 to 10^6 words.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg.blas import sgemm

import anymax as am
from anymax._bench import csv, load
from anymax._bench.row import Row
from anymax._bench.timing import paired

PAPER = {"log-softmax": 40.0, "hierarchical softmax": 4.0}
WORDS, FEATURES, BATCH = 793_471, 300, 200
FLAT = 1.5  # how far the largest of the times may lie above the least
LR = 0.01
PERIOD = 1000  # steps between two refreshes


def weights(words: int, features: int) -> Any:
    return np.random.default_rng(0).standard_normal((words, features), dtype=np.float32) / 16


def batch(words: int, features: int, rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    h = rng.standard_normal((rows, features), dtype=np.float32)
    return h, rng.integers(0, words, size=rows)


def z_gradients(a: Any, q: Any, s: Any, words: int) -> tuple[Any, Any, Any]:
    """Derivatives of the mean Z-loss by the target's logit and the sums."""
    mu = s / words
    sigma = np.sqrt(q / words - mu * mu)
    z = (a[:, 0] - mu) / sigma
    g = 1 / (1 + np.exp(z)) / len(z)
    return (
        -(g / sigma)[:, None],
        g * z / (2 * words * sigma**2),
        (1 - z * mu / sigma) * g / (words * sigma),
    )


class Factored:
    """The layer, and a step of it."""

    def __init__(self, w: Any) -> None:
        one = np.eye(w.shape[1], dtype=w.dtype)
        self.layer = (w, one, one, 0 * w[0], w.T @ w, w.sum(axis=0))

    def step(self, h: Any, target: Any, **options: bool) -> Any:
        index, v = target[:, None], self.layer[0]
        gradients = z_gradients(*am.losses.factored_forward(h, index, self.layer), len(v))
        options = options or {"return_rows": True}
        dh, (rows, *rest) = am.losses.factored_backward_update(
            h, index, *gradients, self.layer, lr=LR, **options
        )
        if "return_rows" in options:
            v[index] = rows
            rows = v
        self.layer = (rows, *rest)
        return dh

    def dense(self) -> Any:
        v, u, _, omega, *_ = self.layer
        return v @ u + omega


def add_product(w: Any, scale: float, left: Any, right: Any) -> None:
    """``w += scale * left.T @ right`` without an array of that size."""
    sgemm(scale, right.T, left.T, beta=1.0, c=w.T, trans_b=True, overwrite_c=True)


def softmax_step(w: Any, h: Any, target: Any) -> Any:
    _, p = am.value_and_grad(am.cross_entropy)(h @ w.T, target)
    dh = p @ w
    add_product(w, -LR, p, h)
    return dh


def two_level_step(clusters: Any, w: Any, h: Any, target: Any) -> Any:
    """The softmax of the cluster, and that of the word inside it."""
    size = math.ceil(len(w) / len(clusters))
    cluster, word = target // size, target % size
    dh = softmax_step(clusters, h, cluster)
    for c in np.unique(cluster):
        mine = cluster == c
        block, some = w[c * size : (c + 1) * size], h[mine]
        p = am.softmax(some @ block.T)
        p[np.arange(len(p)), word[mine]] -= 1
        p /= len(h)
        dh[mine] += p @ block
        add_product(block, -LR, p, some)
    return dh


def check() -> None:
    """Twenty steps of the factored layer are twenty steps of the one that it stands for."""
    w = weights(2000, 32)
    layer, (h, target) = Factored(w.copy()), batch(2000, 32, 16)
    for _ in range(20):
        o = h @ w.T
        a, q, s = o[np.arange(16), target][:, None], np.sum(o * o, axis=1), np.sum(o, axis=1)
        da, dq, ds = z_gradients(a, q, s, 2000)
        g = ds[:, None] + 2 * dq[:, None] * o
        g[np.arange(16), target] += da[:, 0]
        np.testing.assert_allclose(layer.step(h, target), g @ w, rtol=1e-3, atol=1e-6)
        add_product(w, -LR, g, h)
    np.testing.assert_allclose(layer.dense(), w, rtol=1e-3, atol=1e-5)


def seconds(f: Callable[[], Any], budget: float) -> float:
    """The quickest of the calls in `budget` seconds, seven at least: others' work only adds."""
    times, end = [], time.perf_counter() + budget
    f()
    while len(times) < 7 or time.perf_counter() < end:
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


def flatness(sizes: list[int], features: int, rows: int, budget: float) -> None:
    found = []
    print(f"{'V':>10}{'factored ms':>13}")
    for words in sizes:
        layer, (h, target) = Factored(weights(words, features)), batch(words, features, rows)
        found.append(seconds(lambda f=layer, a=h, b=target: f.step(a, b), budget))
        print(f"{words:>10}{found[-1] * 1e3:>13.2f}")
    growth = max(found) / min(found)
    verdict = "met" if growth <= FLAT else "NOT met"
    print(
        "paper: the cost does not depend on the number of words\n"
        f"ours:  {growth:.2f}x between the least and the most; {verdict} within {FLAT:g}x"
    )


def contests(words: int, features: int, rows: int, budget: float) -> list[Row]:
    w = weights(words, features)
    clusters = weights(math.isqrt(words - 1) + 1, features)
    layer, (h, target) = Factored(w.copy()), batch(words, features, rows)
    rivals = {
        "log-softmax": lambda: softmax_step(w, h, target),
        "hierarchical softmax": lambda: two_level_step(clusters, w, h, target),
    }
    size, out = f"V={words} d={features} batch={rows}", []
    print(f"{size}\n{'':22}{'factored ms':>12}{'theirs ms':>11}{'ratio':>9}   paper")
    for name, rival in rivals.items():
        r = paired(lambda: layer.step(h, target), rival, budget)
        verdict = "met" if r.median >= PAPER[name] else "NOT met"
        print(
            f"{name:22}{r.ours * 1e3:>12.2f}{r.theirs * 1e3:>11.2f}{r.median:>8.1f}x"
            f"   {PAPER[name]:g}x: {verdict} (spread {r.spread:.0%})"
        )
        out.append(
            Row(
                "factored_backward_update", size, name, "cpu", "reference", r.median, r.low,
                r.high, r.rounds, r.ours, r.theirs,
            )
        )  # fmt: skip
    start = time.perf_counter()
    layer.step(h, target, refresh=True)
    share = (time.perf_counter() - start) / PERIOD
    print(
        f"a refresh takes {share * PERIOD * 1e3:.0f} ms; with one in {PERIOD} steps: "
        + ", ".join(f"{row.theirs_seconds / (row.ours_seconds + share):.1f}x" for row in out)
    )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of the words, d = 128")
    parser.add_argument("--batch", type=int, default=BATCH, help="examples a step")
    parser.add_argument("--csv", metavar="FILE", help="append the figures to a file")
    options = parser.parse_args()
    check()
    quick = options.quick
    words, features = (WORDS // 8, 128) if quick else (WORDS, FEATURES)
    with load.Watch() as watch:
        sizes = [10**4, 10**5] if quick else [10**4, 10**5, WORDS, 10**6]
        flatness(sizes, features, options.batch, 0.3 if quick else 2.0)
        rows = contests(words, features, options.batch, 0.3 if quick else 10.0)
    print("the paper's figures: a GPU, its own batches; here NumPy on the cores of this machine")
    if watch.foreign > load.cores() / 4 or load.average() > load.cores():
        print(
            f"load {load.average():.1f} on {load.cores()} cores, {watch.foreign:.1f} of them kept "
            "busy by others: run it again"
        )
    if options.csv:
        csv.write(options.csv, rows, csv.machine())


if __name__ == "__main__":
    main()
