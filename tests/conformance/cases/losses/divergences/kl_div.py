"""`kl_div`: divergence of log-probabilities from a target."""

import numpy as np

import anymax as am
from anymax._conformance.divergences import kl
from anymax._conformance.examples import reduced
from anymax.testing import Case, Golden, logits

_X = logits(6, 5, seed=1).reshape(2, 3, 5) / 4.0
_T = np.abs(logits(6, 5, seed=7).reshape(2, 3, 5)) / 16.0 + 0.125
_KEEP = np.arange(30).reshape(2, 3, 5) % 4 != 3
_WEIGHT = np.asarray([[1.0, 0.5, 2.0], [0.25, 0.0, 1.5]])
_INF, _NAN = np.inf, np.nan
_LOGP = np.asarray(
    [
        [-1.0, -2.0, -0.5], [-1.0, -_INF, -0.5], [-1.0, -_INF, -0.5], [-_INF, -_INF, -_INF],
        [_NAN, -1.0, -0.5], [-1.0, -2.0, -0.5], [_NAN, -1.0, -0.25], [-1024.0, -1.0, 0.0],
    ]
)  # fmt: skip
_TARGET = np.asarray(
    [
        [0.5, 0.25, 0.25], [0.5, 0.0, 0.5], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25],
        [0.5, 0.25, 0.25], [0.5, _NAN, 0.25], [0.5, _NAN, 0.25], [0.0, 0.0, 1.0],
    ]
)  # fmt: skip
with np.errstate(divide="ignore"):
    _LOG_TARGET = np.log(_TARGET)
_WHERE = np.ones((8, 3), bool)
_WHERE[5, 1] = _WHERE[6, :2] = False
_EDGES = {"where": _WHERE, "reduction": "none"}

CASES = [
    Case("edges", (_LOGP, _TARGET), {"reduction": "none"}, wrt=(0,), compiled=True),
    Case("masked", (_LOGP, _TARGET), _EDGES, compiled=True),
    Case("log_edges", (_LOGP, _LOG_TARGET), {**_EDGES, "log_target": True}),
    Case("mean", (_X, _T), smooth=True),
    Case("logs", (_X, np.log(_T)), {"log_target": True}, smooth=True, condition=4.0),
    Case("weighted", (_X, _T), {"where": _KEEP, "weight": _WEIGHT}, smooth=True, condition=4.0),
    Case("one_target", (_X, _T[0, 0]), {"reduction": "sum", "axis": -1}, condition=4.0),
    Case("nothing", (_X, _T), {"where": np.zeros((3, 1), bool)}),
]  # fmt: skip


def ORACLE(
    logp, target, *, log_target=False, axis=-1, where=None, weight=None, reduction="mean"
):  # fmt: skip
    logp, target = np.broadcast_arrays(logp, target)
    keep = np.broadcast_to(True if where is None else where, logp.shape)
    t = target if log_target else np.log(target)
    q, t = (np.moveaxis(np.where(keep, x, -np.inf), axis, -1) for x in (logp, t))
    live = np.any(q != -np.inf, axis=-1)
    return reduced(kl(t, q), reduction, live=live, weight=weight)


def DRAW(rng):
    n, c = rng.integers(1, 6, size=2)
    args = am.log_softmax(rng.normal(size=(n, c))), rng.uniform(size=(n, c))
    return Case("drawn", args, condition=8.0)


def GOLDEN(load):
    """torch, batchmean, on log-softmaxes."""
    z = load("classic-distillation-kl__kl_jsd")
    for n in range(3):
        t = float(z[f"in_temperature_{n}"])
        s = am.log_softmax(z[f"in_student_{n}"], temperature=t)
        p = am.softmax(z[f"in_teacher_{n}"], temperature=t)
        yield Golden(Case(f"forward_{n}", (s, p)), z[f"out_forward_kl_{n}"] / t**2)
