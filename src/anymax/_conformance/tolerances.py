"""How far a result may lie from the truth: one entry per (primitive, dtype).

`rtol` bounds ``|error| / (floor + |truth|)``.  Weights are judged relatively down to the smallest
normal number; logarithms, losses and averages of values relative to 1, where their size says
nothing about their conditioning.  Forms without a primitive are plain array code.
"""

from __future__ import annotations

from anymax._conformance.compare import EPS, Tolerance

# float64 and float32: roundings; halves accumulate in float32 and round once at the end.
_ROUNDINGS = {
    "row_softmax": (64.0, 1e-30),  # exp magnifies the rounding of x - max by |x - max|
    "row_log_softmax": (8.0, 1.0),
    "row_logsumexp": (4.0, 1.0),
    "row_weights": (64.0, 1e-30),
    "row_log_weights": (8.0, 1.0),
    "row_threshold": (16.0, 1.0),  # a weight is a difference from the threshold
    "row_cut": (0.0, 1.0),
    "row_cross_entropy": (16.0, 1.0),
    "ctc": (16.0, 1.0),
    "linear_cross_entropy": (32.0, 1.0),  # logits are sums of products, rounded
    "linear_kl_div": (32.0, 1.0),
    "attend": (64.0, 1.0),
    "attend_map": (64.0, 1.0),
    "pairwise_logsumexp": (64.0, 1.0),  # logits are products, divided by small temperatures
    "pairwise_softplus": (64.0, 1.0),
    "plain": (64.0, 1e-30),
}
_SMALLEST_NORMAL = {"float16": 2.0**-14, "bfloat16": 1e-30}

GRADIENT = 8.0  # a gradient's roundings against its value's, relative to its largest entry
NUMERIC = 2e-9  # what differences of an extended-precision oracle resolve


def tolerance(primitive: str | None, dtype: str) -> Tolerance:
    """The bound for results that run on `primitive`."""
    roundings, floor = _ROUNDINGS[primitive or "plain"]
    if dtype in ("float64", "float32"):
        return Tolerance(roundings * EPS[dtype], floor)
    once = 0.5 * EPS[dtype] * 1.01 + roundings * EPS["float32"]
    return Tolerance(once, max(floor, _SMALLEST_NORMAL[dtype]))


def gradient_tolerance(primitive: str | None, dtype: str, size: float) -> Tolerance:
    """The bound for gradients whose largest finite entry is `size`."""
    t = tolerance(primitive, dtype)
    return Tolerance(GRADIENT * t.rtol + NUMERIC, max(size, 1e-3))
