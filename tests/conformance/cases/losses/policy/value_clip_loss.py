"""`value_clip_loss`: the larger error of a value and of its clipped self."""

import numpy as np

from anymax._conformance.policies import LOGP, OLD, WHERE, aggregated, drawn
from anymax.testing import Case, Golden

_TARGET = np.random.default_rng(63).normal(size=LOGP.shape)
_BAD = np.where(WHERE, LOGP, np.nan)

CASES = [
    Case(
        "edges", (_BAD, OLD, _TARGET), {"where": WHERE, "reduction": "none"}, wrt=(0,),
        compiled=True, condition=16.0,
    ),
    Case("mean", (LOGP, OLD, _TARGET), {"clip": 0.5}, wrt=(0,), smooth=True, condition=16.0),
    Case("unclipped", (LOGP, OLD, _TARGET), {"clip": np.inf}, wrt=(0,), condition=16.0),
    Case(
        "sequences", (LOGP, OLD, _TARGET[:, 0]),
        {"where": WHERE, "reduction": "seq-mean-token-mean"}, wrt=(0,), condition=16.0,
    ),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(value, old_value, target, *, clip=0.2, where=None, reduction="mean", length=None):
    target = target[:, None] if target.ndim < value.ndim else target
    near = np.clip(value, old_value - clip, old_value + clip)
    loss = np.maximum((value - target) ** 2, (near - target) ** 2) / 2
    return aggregated(loss, where, reduction, length)


DRAW = drawn


def GOLDEN(load):
    """verl, by tokens."""
    z = load("classic-policy-gradient__verl_losses_large")
    args = z["in_vpreds"], z["in_values_old"], z["in_returns"]
    case = Case("verl", args, {"where": z["in_response_mask"] != 0})
    yield Golden(case, z["out_value_loss"], rtol=1e-8)
