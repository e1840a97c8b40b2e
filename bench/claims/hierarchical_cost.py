"""Claim: a hierarchical softmax costs O(log V) a word where the full softmax costs O(V).

    python bench/claims/hierarchical_cost.py [--quick] [--csv FILE]

Times `hierarchical_log_prob` of random words of a balanced tree (every word has log2 V turns) and
the full softmax's log-probability of the same words, product with all V vectors included, for V
from 10^3 to 10^6.  Both take NumPy arrays in float32; the full softmax gets as many words at a time
as have 32 MB of logits.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

import anymax as am
from anymax._bench import csv, load
from anymax._bench.row import Row
from anymax._bench.timing import Ratio, paired

FEATURES, ROWS = 64, 256
ALLOWED = 2.0  # of the growth of log V: larger tables miss the caches more


def contest(words: int, budget: float) -> Ratio:
    """A word of the tree against a word of the full softmax."""
    rng = np.random.default_rng(0)
    tree = am.softmaxes.huffman_tree(np.ones(words))
    nodes = rng.standard_normal((words - 1, FEATURES), dtype=np.float32) / 8
    vectors = rng.standard_normal((words, FEATURES), dtype=np.float32) / 8
    h = rng.standard_normal((ROWS, FEATURES), dtype=np.float32)
    target = rng.integers(0, words, size=ROWS)
    few = max(1, min(ROWS, 8_000_000 // words))  # rows whose V logits fit in 32 MB

    def full() -> None:
        am.cross_entropy(h[:few] @ vectors.T, target[:few], reduction="none")

    found = paired(lambda: am.hierarchical_log_prob(h, target, nodes, tree), full, budget)
    a_row = ROWS / few
    return Ratio(
        found.median * a_row, found.low * a_row, found.high * a_row, found.rounds,
        found.ours / ROWS, found.theirs / few,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="up to 10^5 words, short rounds")
    parser.add_argument("--csv", metavar="FILE", help="append the figures to a file")
    options = parser.parse_args()
    sizes = [10**3, 10**4, 10**5] if options.quick else [10**3, 10**4, 10**5, 10**6]
    print(f"{'V':>9}{'turns':>7}{'tree us/word':>14}{'full us/word':>14}{'full/tree':>11}")
    found, rows = [], []
    for words in sizes:
        r = contest(words, 0.2 if options.quick else 2.0)
        turns = math.ceil(math.log2(words))
        print(f"{words:>9}{turns:>7}{r.ours * 1e6:>14.2f}{r.theirs * 1e6:>14.2f}{r.median:>10.1f}x")
        found.append(r.ours)
        rows.append(
            Row(
                "hierarchical_log_prob", f"V={words} D={FEATURES}", "full softmax", "cpu",
                "reference", r.median, r.low, r.high, r.rounds, r.ours, r.theirs,
            )
        )  # fmt: skip
    growth, wanted = found[-1] / found[0], math.log(sizes[-1]) / math.log(sizes[0])
    verdict = "met" if growth <= ALLOWED * wanted else "NOT met"
    print(
        f"paper: cost grows as log V, {wanted:.2f}x from V = {sizes[0]} to {sizes[-1]} (V grows "
        f"{sizes[-1] // sizes[0]}x)\nours:  {growth:.2f}x; {verdict} within {ALLOWED:g} times that"
    )
    if load.average() > load.cores():
        print(f"load {load.average():.1f} on {load.cores()} cores: others were busy, run it again")
    if options.csv:
        csv.write(options.csv, rows, csv.machine())


if __name__ == "__main__":
    main()
