"""What the row kernels must return, in plain NumPy, by the masking policy.

Every function computes in the dtype it is told: in extended precision it is the truth, in the dtype
of a kernel it is the plain array code whose error the kernel's is compared with.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

TRUTH = "longdouble"
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
TINY = {"float64": 1e-300, "float32": 1e-37, "float16": 6.2e-5, "bfloat16": 1e-37}


def dtype_of(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def wide(name: str) -> str:
    return "float64" if name == "float64" else "float32"


def _parts(x, where, axes, scale, dtype):
    z = x.astype(dtype) * np.dtype(dtype).type(scale)
    keep = z != -np.inf
    if where is not None:
        keep = keep & where
    m = np.max(np.where(keep, z, -np.inf), axis=axes, keepdims=True, initial=-np.inf)
    shift = np.where(m == -np.inf, 0, m).astype(dtype)
    z = np.where(keep, z - shift, 0).astype(dtype)
    e = np.where(keep, np.exp(z), 0).astype(dtype)
    return z, e, e.sum(axis=axes, keepdims=True), shift, keep


def _log_sum(z, e, s, keep, axes):
    """log(s); the truth also keeps what a few small terms add to a large one."""
    if z.dtype != np.dtype(TRUTH):
        return np.log(np.where(s == 0, 1, s))
    top = keep & (z == 0)
    count = np.maximum(top.sum(axis=axes, keepdims=True), 1)
    rest = np.where(top, 0, e).sum(axis=axes, keepdims=True)
    return np.log(count) + np.log1p(rest / count)


@np.errstate(all="ignore")
def forward(kind, x, where, axes, scale, dtype):
    z, e, s, m, keep = _parts(x, where, axes, scale, dtype)
    if kind == "softmax":
        return np.where(keep, e / np.where(s == 0, 1, s), 0)
    log_s = _log_sum(z, e, s, keep, axes)
    if kind == "log_softmax":
        return np.where(keep, z - log_s, -np.inf)
    lse = np.where(s == 0, -np.inf, m + log_s)
    return np.squeeze(np.where(m == np.inf, m, lse), axis=axes)


@np.errstate(all="ignore")
def backward(kind, x, where, g, axes, scale, dtype):
    """Gradient of x for the cotangent g."""
    _, e, s, _, keep = _parts(x, where, axes, scale, dtype)
    p = np.where(keep, e / np.where(s == 0, 1, s), 0)
    g = g.astype(dtype)
    if kind == "logsumexp":
        dx = np.expand_dims(g, axes) * p
    elif kind == "softmax":
        dx = p * (g - np.where(keep, g * p, 0).sum(axis=axes, keepdims=True))
    else:
        dx = g - p * np.where(keep, g, 0).sum(axis=axes, keepdims=True)
    return np.where(keep, dx * np.dtype(dtype).type(scale), 0)


@np.errstate(all="ignore")
def cross_entropy(
    x, target, where, weight, row_scale, dtype, *, smoothing, square, cap, cotangents
):
    """Return (loss, lse, dx) of rows (R, C) for the cotangents of loss and lse."""
    y = x.astype(dtype)
    inner = np.ones_like(y)
    if cap is not None:
        t = np.tanh(y / dtype_of(dtype).type(cap))
        y, inner = np.where(y == -np.inf, y, t * dtype_of(dtype).type(cap)), 1 - t * t
    allowed = np.ones(x.shape, bool) if where is None else np.broadcast_to(where, x.shape)
    z, e, s, m, keep = _parts(y, allowed, (-1,), 1.0, dtype)
    log_s = _log_sum(z, e, s, keep, (-1,))
    lse = np.where(s == 0, -np.inf, np.where(m == np.inf, m, m + log_s))[:, 0]
    wt = _weighted_target(target, allowed, weight, smoothing, dtype)
    loss = wt.sum(-1) * log_s[:, 0] - np.where(keep, wt * z, 0).sum(-1)
    loss = np.where(((wt > 0) & ~keep).any(-1), loss + np.inf, loss) + square * lse**2
    scale = np.ones(len(x), dtype) if row_scale is None else row_scale.astype(dtype)
    loss = np.where((lse == -np.inf) | (scale == 0), 0, loss * scale)

    if dtype == TRUTH:
        p = np.where(keep, e / np.where(s == 0, 1, s), 0)
    else:  # plain code keeps lse for the gradient, and pays with its rounding
        p = np.where(keep, np.exp(y - lse[:, None]) + 0 * s, 0)
    g_loss, g_lse = (np.zeros(len(x)) if g is None else g for g in cotangents)
    g = np.where(scale == 0, 0, g_loss.astype(dtype) * scale)[:, None]
    by_loss = (wt.sum(-1, keepdims=True) + 2 * square * lse[:, None]) * p - wt
    dx = np.where(g == 0, 0, g * by_loss) + np.where(g_lse[:, None] == 0, 0, g_lse[:, None] * p)
    return loss, lse, np.where(keep, dx * inner, 0)


def _weighted_target(target, allowed, weight, smoothing, dtype):
    classes = allowed.shape[-1]
    one_hot = target.ndim == 1
    t = (target[:, None] == np.arange(classes)) if one_hot else target
    count = np.maximum(allowed.sum(-1, keepdims=True), 1)
    t = (1 - smoothing) * t.astype(dtype) + np.where(allowed, smoothing / count, 0)
    return (t if weight is None else t * weight.astype(dtype)).astype(dtype)


def assert_close(actual, truth, plain, name, *, size=None):
    """Worst relative error at most 4 eps, or twice that of the plain code in the same dtype.

    Infinities and NaN must be where the truth has them. `size` is what errors are measured against,
    by default the true numbers themselves; for gradients, in which terms cancel, the largest term.
    """
    actual = np.asarray(actual).astype(TRUTH)
    assert actual.shape == truth.shape
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(truth))
    limit = float(ml_dtypes.finfo(dtype_of(name)).max)
    truth = np.where(np.abs(truth) > limit, np.copysign(np.inf, truth), truth)
    infinite = np.isinf(truth)
    np.testing.assert_array_equal(actual[infinite], truth[infinite])
    plain = np.asarray(plain).astype(dtype_of(name)).astype(TRUTH)
    size = np.maximum(np.abs(truth) if size is None else size, TINY[name])
    ours, theirs = (_error(a, truth, size) for a in (actual, plain))
    assert ours <= max(2 * theirs, 4 * EPS[name]), (ours, theirs)


@np.errstate(all="ignore")
def _error(actual, truth, size):
    gap = np.abs(actual - truth) / size
    return float(np.max(gap[np.isfinite(truth)], initial=0.0))


@np.errstate(all="ignore")
def largest(terms, axes):
    """Largest finite magnitude along some axes, kept."""
    size = np.where(np.isfinite(terms), np.abs(terms), 0)
    return np.max(size, axis=axes, keepdims=True, initial=0.0)
