"""Claim: softmax's gradients vanish to exactly 0 as logits grow, stablemax's do not.

    python bench/claims/stablemax_gradient.py [--quick] [--csv FILE]

"Grokking at the edge of numerical stability" (Prieto et al., arXiv:2501.04697): once all examples
are right, training scales the logits up, until in float32 the softmax of the right class is exactly
1 and nothing is learnt any more ("softmax collapse").  Here the logits of a batch that is right
everywhere are multiplied by growing factors, and the gradients of both cross entropies are shown:
the largest entry, and how many rows have none at all.  No training, no clock.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import anymax as am

ROWS, CLASSES = 256, 113  # the paper's modular addition has 113 classes
LEAD = 1.0  # by how much the right class leads, at least, before scaling


def batch() -> tuple[Any, Any]:
    """Logits in float32 whose largest one is the label's, and the labels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, CLASSES), dtype=np.float32)
    target = rng.integers(0, CLASSES, size=ROWS)
    x[np.arange(ROWS), target] = x.max(axis=-1) + LEAD
    return x, target


def gradients(log_probabilities: Any, x: Any, target: Any) -> Any:
    """Gradient by the logits of the summed losses."""
    _, pull = am.vjp(log_probabilities, x)
    hit = target[:, None] == np.arange(CLASSES)
    return pull(-hit.astype(np.float32))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer factors")
    parser.add_argument("--csv", metavar="FILE", help="append the figures to a file")
    options = parser.parse_args()
    factors = [1, 10, 100, 1000] if options.quick else [1, 3, 10, 30, 100, 300, 1000, 10_000]
    x, target = batch()
    forms = {"softmax": am.log_softmax, "stablemax": am.log_stablemax}
    print(f"{'factor':>7}" + "".join(f"{n + ' max':>16}{'rows at 0':>12}" for n in forms))
    lines, last = [], {}
    for factor in factors:
        found = {}
        for name, f in forms.items():
            g = np.abs(gradients(f, x * np.float32(factor), target))
            found[name] = float(g.max()), float(np.mean(g.max(axis=-1) == 0))
        print(f"{factor:>7}" + "".join(f"{m:>16.2e}{z:>12.1%}" for m, z in found.values()))
        lines += [f"{factor},{n},{m:.6e},{z:.6f}" for n, (m, z) in found.items()]
        last = found
    collapsed, alive = last["softmax"][1] == 1.0, last["stablemax"][1] == 0.0
    print("paper: softmax collapses to gradients of 0 in every row, stablemax keeps all of them")
    print(
        f"ours:  at factor {factors[-1]} softmax has {last['softmax'][1]:.0%} of its rows at 0, "
        f"stablemax {last['stablemax'][1]:.0%}; {'met' if collapsed and alive else 'NOT met'}"
    )
    print("(stablemax's gradients fall as one over the factor: alive, but not large)")
    if options.csv:
        with open(options.csv, "a") as file:
            file.write("\n".join(["factor,form,largest,rows_at_zero", *lines, ""]))


if __name__ == "__main__":
    main()
