"""Attention with every option, and its gradients, in plain NumPy: what kernels are held to."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from kernels.oracles import TRUTH

NAMES = ("q", "k", "v", "mask", "bias", "sink", "slopes", "q_lengths", "k_lengths")
OWN_AXES = {"q": 3, "k": 3, "v": 3, "mask": 3, "bias": 3, "sink": 1, "slopes": 1}


class Attention:
    """One call, computed in `dtype`; `out`, `lse` and `gradients` are what the kernels return."""

    @np.errstate(all="ignore")
    def __init__(self, operands, dtype, *, scale, causal=False, window=None, softcap=None):
        named = dict(zip(NAMES, operands, strict=True))
        self.shapes = {n: x.shape for n, x in named.items() if x is not None}
        self.dtype, self.softcap = np.dtype(dtype), softcap
        self.scale = self._real(scale)
        batch = np.broadcast_shapes(
            *(s[: max(len(s) - OWN_AXES.get(n, 0), 0)] for n, s in self.shapes.items())
        )
        heads, self.rows = named["q"].shape[-3:-1]
        self.group = heads // named["k"].shape[-3]
        self.cols, self.batch, self.heads = named["k"].shape[-2], batch, heads
        self.place = (*batch, heads)

        (q, bad_q), (k, bad_k), (v, bad_v) = (self._clean(named[n], n) for n in "qkv")
        keep, self.distance = self._kept(named, causal, window)
        s, self.bend = self._scores(q, k, named)
        keep = keep & (s != -np.inf)
        bad = bad_q[..., :, None] | (bad_k | bad_v)[..., None, :]
        s = np.where(keep, np.where(bad, np.nan, s), -np.inf)
        self.q, self.k, self.v = q, k, v
        self._normalise(s, named["sink"])

    def _real(self, x):
        return np.asarray(x).astype(self.dtype)

    def _clean(self, x, name):
        """Broadcast to every query head, in the working dtype, bad rows zeroed and flagged."""
        x = self._real(x)
        if name != "q":
            x = np.repeat(x, self.group, axis=-3)
        bad = ~np.isfinite(x).all(axis=-1)
        x = np.where(bad[..., None], 0, x)
        place = self.place
        return (
            np.broadcast_to(x, (*place, *x.shape[-2:])),
            np.broadcast_to(bad, (*place, bad.shape[-1])),
        )

    def _kept(self, named, causal, window):
        lengths = []
        for name, size in (("q_lengths", self.rows), ("k_lengths", self.cols)):
            given = named[name]
            full = np.full(self.batch, size) if given is None else np.clip(given, 0, size)
            lengths.append(np.broadcast_to(full, self.batch)[..., None, None, None])
        q_length, k_length = lengths
        i, j = np.arange(self.rows)[:, None], np.arange(self.cols)
        off = np.zeros_like(k_length) if causal == "upper_left" else k_length - q_length
        keep = (i < q_length) & (j < k_length)
        left, right = window or (None, None)
        right = min(right, 0) if causal and right is not None else 0 if causal else right
        keep &= True if left is None else j >= i + off - left
        keep &= True if right is None else j <= i + off + right
        if named["mask"] is not None:
            keep = keep & named["mask"]
        full = (*self.place, self.rows, self.cols)
        return np.broadcast_to(keep, full), np.broadcast_to(np.abs(i + off - j), full)

    def _scores(self, q, k, named):
        s = self.scale * (q @ np.swapaxes(k, -1, -2))
        bend = np.ones_like(s)
        if self.softcap:
            t = np.tanh(s / self._real(self.softcap))
            s, bend = self._real(self.softcap) * t, 1 - t * t
        if named["bias"] is not None:
            s = s + self._real(named["bias"])
        if named["slopes"] is not None:
            s = s - self._real(named["slopes"])[..., None, None] * self._real(self.distance)
        return s, bend

    def _normalise(self, s, sink):
        sink = self._real(-np.inf if sink is None else sink)
        self.sink = np.broadcast_to(sink, self.place)[..., None]
        top = np.maximum(s.max(axis=-1, initial=-np.inf), self.sink)
        base = np.where(top == -np.inf, 0, top)
        e = np.exp(s - base[..., None])
        total = e.sum(axis=-1) + np.exp(self.sink - base)
        weights = e / np.where(total == 0, 1, total)[..., None]
        self.out = np.where(np.isnan(total)[..., None], np.nan, weights @ self.v)
        self.lse = np.where(total == 0, -np.inf, base + np.log(total))
        padded = ~np.any(np.isfinite(s) | np.isnan(s), axis=-1)
        self.weights, self.no_key = weights, padded

    def hide_rows(self, q_lengths):
        """Padded query rows: output 0 and log-sum-exp -inf, even with a sink."""
        if q_lengths is not None:
            hidden = np.arange(self.rows) >= np.asarray(q_lengths)[..., None, None]
            hidden = np.broadcast_to(hidden, self.lse.shape)
            self.out = np.where(hidden[..., None], 0, self.out)
            self.lse = np.where(hidden, -np.inf, self.lse)
        return self

    @np.errstate(all="ignore")
    def gradients(self, dout, dlse):
        """Gradients of all operands, summed to their shapes."""
        alive = np.isfinite(self.lse)
        dout = np.where(alive[..., None], self._real(dout), 0)
        out = np.where(alive[..., None], self.out, 0)
        p = np.where(alive[..., None], self.weights, 0)
        delta = (dout * out).sum(axis=-1) - np.where(alive, self._real(dlse), 0)
        ds = p * (dout @ np.swapaxes(self.v, -1, -2) - delta[..., None])
        raw = ds * self.bend
        pulled = np.where(alive, np.exp(self.sink - self.lse), 0)
        full = {
            "q": self.scale * (raw @ self.k),
            "k": self._per_group(self.scale * (np.swapaxes(raw, -1, -2) @ self.q)),
            "v": self._per_group(np.swapaxes(p, -1, -2) @ dout),
            "bias": ds,
            "slopes": -(ds * self.distance).sum(axis=(-1, -2)),
            "sink": -(pulled * delta).sum(axis=-1),
        }
        return {n: sum_to(g, self.shapes[n]) for n, g in full.items() if n in self.shapes}

    @np.errstate(all="ignore")
    def largest_terms(self, dout, dlse):
        """The largest term of the sums that each gradient is: errors are measured against it."""
        alive = np.isfinite(self.lse)
        dout = np.where(alive[..., None], np.abs(self._real(dout)), 0)
        delta = (dout * np.abs(np.where(alive[..., None], self.out, 0))).sum(axis=-1)
        delta += np.where(alive, np.abs(self._real(dlse)), 0)
        p = np.where(alive[..., None], self.weights, 0)
        ds = p * (dout @ np.swapaxes(np.abs(self.v), -1, -2) + delta[..., None])
        rows = ds.max(axis=-1, initial=0)
        columns = ds.max(axis=-2, initial=0)
        k, q = (np.abs(x).max(initial=0) for x in (self.k, self.q))
        pulled = np.where(alive, np.exp(self.sink - self.lse), 0)
        found = {
            "q": self.scale * rows * k, "k": self.scale * columns * q, "v": dout, "bias": ds,
            "slopes": (ds * self.distance).sum(axis=-1), "sink": pulled * delta,
        }  # fmt: skip
        return {name: float(np.max(np.abs(x), initial=0)) for name, x in found.items()}

    def _per_group(self, x):
        shape = (*self.batch, self.heads // self.group, self.group, *x.shape[-2:])
        return x.reshape(shape).sum(axis=-3)


def sum_to(x, shape):
    """Sum over the axes along which an array of this shape is broadcast to `x`."""
    shape = (1,) * (x.ndim - len(shape)) + tuple(shape)
    axes = tuple(a for a, (n, m) in enumerate(zip(x.shape, shape)) if m == 1 and n != 1)
    return x.sum(axis=axes, keepdims=True).reshape(shape)


def close(actual, truth, plain, dtype, what, *, size=0.0):
    """Worst error at most 4 eps of the largest number, or twice that of plain code of that dtype.

    `size` is the largest term, where the numbers are sums whose terms cancel.
    """
    actual = np.asarray(actual).astype(TRUTH)
    truth = truth.reshape(actual.shape) if truth.size == actual.size else truth
    assert actual.shape == truth.shape, what
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(truth), err_msg=what)
    infinite = np.isinf(truth)
    np.testing.assert_array_equal(actual[infinite], truth[infinite], err_msg=what)
    finite = np.isfinite(truth)
    with np.errstate(all="ignore"):
        plain = plain.reshape(actual.shape).astype(dtype).astype(TRUTH)
    ours, theirs = (np.abs(x[finite] - truth[finite]).max(initial=0) for x in (actual, plain))
    size = np.abs(truth)[finite].max(initial=size)
    eps = float(ml_dtypes.finfo(dtype).eps)
    assert ours <= max(2 * theirs, 4 * eps * size, 1e-30), (what, ours, theirs, size)
