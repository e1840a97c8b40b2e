"""`log_sink_softmax`: logarithm of the softmax with sinks."""

import numpy as np

import anymax as am
from anymax._conformance.identities import selected_classes
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_INF = np.inf

CASES = [
    *row_cases(),
    Case("positive", (_X,), {"sink": 2.5}, smooth=True),
    Case("huge", (_X,), {"sink": 1e4}),
    Case("everything", (_X,), {"sink": _INF}),
    Case(
        "per_row", (_X,), {"sink": np.asarray([[[0.5]], [[-2.0]]])}, wrt=(0, "sink"),
        compiled=True, smooth=True,
    ),
    Case("several", (_X,), {"sink": np.asarray([[[0.5, -1.0]]])}, wrt=(0, "sink"), smooth=True),
    Case("two_axes", (_X,), {"axis": (0, -1), "sink": 0.25}, smooth=True),
    Case(
        "odd_sinks", (np.repeat([[0.5, -_INF, 2.0]], 4, axis=0),),
        {"sink": np.asarray([[-_INF], [_INF], [1.0], [300.0]])},
    ),
]  # fmt: skip


def ORACLE(x, *, sink=0.0, axis=-1, where=None):
    keep = np.broadcast_to((x != -_INF) & (True if where is None else where), x.shape)
    axes = tuple(range(x.ndim)) if axis is None or not x.ndim else axis
    sink = np.asarray(sink, x.dtype)
    sink = sink.reshape((1,) * (x.ndim - sink.ndim) + sink.shape)
    keep = keep & ~np.any(sink == _INF, axis=axes, keepdims=True)
    bad = np.any(keep & ~np.isfinite(x), axis=axes, keepdims=True)
    z = np.where(keep, x, -_INF)
    top = np.max(np.where(np.isnan(z), -_INF, z), axis=axes, keepdims=True, initial=-_INF)
    top = np.maximum(top, np.max(sink, axis=axes, keepdims=True))
    m = np.where(np.isfinite(top), top, 0)
    s = np.sum(np.exp(z - m), axis=axes, keepdims=True)
    s = s + np.sum(np.exp(sink - m), axis=axes, keepdims=True)
    return np.where(keep, np.where(bad, np.nan, z - m - np.log(s)), -_INF)


def _exponential_is_sink_softmax(form, case):
    return np.exp(form(*case.args, **case.options)), am.sink_softmax(*case.args, **case.options)


def _logits_less_both_normalisers(form, case):
    """x - logaddexp(lse(x), lse(sinks))."""
    x, sink = case.args[0], case.options.get("sink", 0.0)
    if not np.isfinite(x).all() or np.any(np.isinf(sink)) or "where" in case.options:
        return None
    if "axis" in case.options or np.shape(sink)[-1:] > (1,) or 0 in x.shape:
        return None
    lse = am.logsumexp(x, keepdims=True)
    return form(x, **case.options), x - np.logaddexp(lse, np.asarray(sink))


IDENTITIES = (selected_classes, _exponential_is_sink_softmax, _logits_less_both_normalisers)
