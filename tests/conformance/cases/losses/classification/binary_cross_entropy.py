"""Binary cross entropy of probabilities."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax.testing import Case

_EDGES = np.stack([[0.0, 1.0, 0.5, 0.25, np.nan, 2.0**-14]] * 2, axis=-1)
_HARD = np.asarray([[0.0, 1.0]] * 6)
_P = (np.arange(12).reshape(4, 3) + 4.0) / 20.0
_Y = np.arange(12).reshape(4, 3) % 5 / 4.0
_KEEP = np.arange(12).reshape(4, 3) % 4 != 1
_WEIGHT = np.asarray([[1.0], [0.5], [0.0], [2.0]])

CASES = [
    Case("edges", (_EDGES, _HARD), {"reduction": "none"}, wrt=(), compiled=True),
    Case("exact", (_EDGES, _HARD), {"reduction": "none", "log_floor": None}, wrt=()),
    Case("mean", (_P, _Y), smooth=True),
    Case("floored", (_P, _Y), {"log_floor": -1.0, "reduction": "sum"}),
    Case(
        "masked", (np.where(_KEEP, _P, np.nan), _Y), {"weight": _WEIGHT, "where": _KEEP},
        wrt=(0, 1, "weight"), compiled=True,
    ),
    Case("all_masked", (_P, _Y), {"where": np.zeros((4, 1), bool)}),
    Case("labels", (_P, np.rint(_Y).astype(int))),
]  # fmt: skip


def DRAW(rng):
    shape = tuple(rng.integers(1, 5, size=rng.integers(0, 3)))
    return Case("drawn", (np.asarray(rng.uniform(size=shape)), np.asarray(rng.uniform(size=shape))))


def ORACLE(
    probs, target, *, where=None, weight=None, reduction="mean", log_floor=-100.0
):  # fmt: skip
    floor = -np.inf if log_floor is None else log_floor
    y = target.astype(np.longdouble)
    loss = -np.where(y == 0, 0.0 * probs, y * np.maximum(np.log(probs), floor))
    loss = loss - np.where(y == 1, 0.0 * probs, (1 - y) * np.maximum(np.log1p(-probs), floor))
    return reduced(loss, reduction, live=where, weight=weight, by_count=True)


def _with_logits(form, case):
    p, y = case.args
    if not (np.all(p > 0) and np.all(p < 1)) or "log_floor" in case.options:
        return None
    x = np.log(p) - np.log1p(-p)
    return form(p, y, **case.options), am.binary_cross_entropy_with_logits(x, y, **case.options)


IDENTITIES = (_with_logits,)
