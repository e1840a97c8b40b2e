"""`sink_softmax`: softmax with sinks: extra logits in the denominator."""

import numpy as np

import anymax as am
from anymax._conformance.identities import selected_classes
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_INF = np.inf
_PER_ROW = np.asarray([[[0.5]], [[-2.0]]])
_SEVERAL = np.asarray([[[0.5, -1.0], [2.0, 0.0], [-40.0, -45.0]]])

CASES = [
    *row_cases(),
    Case("positive", (_X,), {"sink": 2.5}, smooth=True),
    Case("huge", (_X,), {"sink": 1e4}),
    Case("none", (_X,), {"sink": -_INF}),
    Case("everything", (_X,), {"sink": _INF}),
    Case("per_row", (_X,), {"sink": _PER_ROW}, wrt=(0, "sink"), compiled=True, smooth=True),
    Case("one_number", (_X,), {"sink": np.asarray(-0.75)}, wrt=(0, "sink")),
    Case("several", (_X,), {"sink": _SEVERAL}, wrt=(0, "sink"), smooth=True),
    Case("two_axes", (_X,), {"axis": (0, -1), "sink": 0.25}, smooth=True),
    Case("all_axes", (_X,), {"axis": None}),
    Case(
        "odd_sinks", (np.repeat([[0.5, -_INF, 2.0]], 4, axis=0),),
        {"sink": np.asarray([[-_INF], [_INF], [1.0], [300.0]])},
    ),
    Case(
        "empty_rows", (np.full((3, 2), -_INF),),
        {"sink": np.asarray([[-_INF], [-200.0], [200.0]])}, wrt=(0, "sink"),
    ),
    Case("wide_sinks", (logits(37, 2051),), {"sink": logits(37, 1)}, large=True),
]  # fmt: skip


def terms(x, sink, axis, where):
    """Which cells take part, exp of logits and of sinks, shifted alike, and the shift."""
    keep = np.broadcast_to((x != -_INF) & (True if where is None else where), x.shape)
    axes = tuple(range(x.ndim)) if axis is None or not x.ndim else axis
    sink = np.asarray(sink, x.dtype)
    sink = sink.reshape((1,) * (x.ndim - sink.ndim) + sink.shape)
    keep = keep & ~np.any(sink == _INF, axis=axes, keepdims=True)  # such a sink takes everything
    bad = np.any(keep & ~np.isfinite(x), axis=axes, keepdims=True)
    z = np.where(keep, x, -_INF)
    top = np.max(np.where(np.isnan(z), -_INF, z), axis=axes, keepdims=True, initial=-_INF)
    top = np.maximum(top, np.max(sink, axis=axes, keepdims=True))
    m = np.where(np.isfinite(top), top, 0)
    s = np.sum(np.exp(z - m), axis=axes, keepdims=True)
    s = s + np.sum(np.exp(sink - m), axis=axes, keepdims=True)
    return keep, z - m, np.where(bad, np.nan, s)


def ORACLE(x, *, sink=0.0, axis=-1, where=None):
    keep, z, s = terms(x, sink, axis, where)
    return np.where(keep, np.exp(z) / s, 0)


def _no_sink_is_softmax(form, case):
    if "sink" in case.options:
        return None
    return form(*case.args, sink=-_INF, **case.options), am.softmax(*case.args, **case.options)


def _softmax_of_both(form, case):
    """A softmax over logits and sinks side by side, the sinks' columns dropped."""
    x, where = case.args[0], case.options.get("where")
    if not x.ndim or "axis" in case.options or np.any(case.options.get("sink", 0.0) == _INF):
        return None
    sink = np.broadcast_to(x[..., :1] * 0, (*x.shape[:-1], min(1, x.shape[-1])))
    sink = np.where(np.isnan(sink), 0, sink) + case.options.get("sink", 0.0)
    z = np.concatenate([x, sink], axis=-1)
    if where is not None:
        where = np.concatenate([np.broadcast_to(where, x.shape), np.ones(sink.shape, bool)], -1)
    return form(*case.args, **case.options), am.softmax(z, where=where)[..., : x.shape[-1]]


def _gated_softmax(form, case):
    """softmax(x) sigmoid(lse(x) - sink): how attention outputs get a sink afterwards."""
    x, sink = case.args[0], case.options.get("sink", 0.0)
    options = {k: v for k, v in case.options.items() if k != "sink"}
    if np.size(sink) > 1 and np.asarray(sink).shape[-1] > 1:
        return None
    if not np.isfinite(x).all() or not np.isfinite(sink).all():
        return None
    lse = am.logsumexp(x, keepdims=True, **options)
    with np.errstate(over="ignore"):
        gate = 1.0 / (1.0 + np.exp(np.asarray(sink) - lse))
    return form(*case.args, **case.options), am.softmax(x, **options) * gate


IDENTITIES = (selected_classes, _no_sink_is_softmax, _softmax_of_both, _gated_softmax)


def GOLDEN(load):
    """gpt-oss in transformers, float32: one sink a head, weights of the keys."""
    z = load("classic-softmax1__gpt_oss_sink_a")
    q, k = (z[f"in_{a}"].astype(float) for a in "qk")
    scores = float(z["in_scaling"]) * q @ np.swapaxes(k, -1, -2) + z["in_mask"].astype(float)
    where = np.broadcast_to(z["in_mask"] > -1e30, scores.shape)
    sink = z["in_sinks"].astype(float).reshape(-1, 1, 1)
    yield Golden(
        Case("gpt_oss", (scores,), {"sink": sink, "where": where}), z["out_weights"], rtol=2e-6
    )
