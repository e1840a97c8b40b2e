r"""Connectionist temporal classification: minus the log-probability of all alignments.

Contract: ``f(logp, target, input_lengths, target_lengths, blank=)`` gives losses (...), for
``logp`` (..., T, C), integer ``target`` (..., U), lengths (...) of its batch shape.  Frames and
labels past the lengths take no part, whatever they hold.  +inf where no alignment fits.

States are blanks 0 .. U and labels 0 .. U-1 in turn; label j follows blank j.  After every frame
the forward variables are shifted to a maximum of 0 and the shift is added up apart, so that long
sequences cost no digits.  The derivative by ``logp`` is minus the occupancy of each class, from the
forward and backward variables; it is that of free log-probabilities, which need not be normalised.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array, stop_gradient
from anymax._dispatch import Primitive
from anymax.primitives._masked import select


class _States(NamedTuple):
    """Numbers of blank states (..., U + 1) and of label states (..., U)."""

    blank: Array
    label: Array


class _Trellis(NamedTuple):
    """What frames emit, and how the states follow one another."""

    xp: Any
    labels: Array  # (..., T, U), -inf for labels that are none
    blanks: Array  # (..., T)
    frames: Array  # (..., T), True where a frame counts
    skips: Array  # (..., U), True where a label may follow the last one directly
    target: Array  # (..., U), the blank for labels that are none
    lengths: Array  # (...)

    def emitted(self, t: int) -> _States:
        return _States(self.blanks[..., t, None], self.labels[..., t, :])


def _trellis(xp, logp, target, input_lengths, target_lengths, *, blank: int) -> _Trellis:
    frames = _array.arange(xp, logp.shape[-2], target, target.dtype) < input_lengths[..., None]
    real = _array.arange(xp, target.shape[-1], target, target.dtype) < target_lengths[..., None]
    y = xp.where(real, target, xp.full_like(target, blank))
    labels = _gathered(xp, select(xp, frames[..., None], logp), y)
    labels = xp.where(real[..., None, :], labels, xp.full_like(labels, -xp.inf))
    some = min(y.shape[-1], 1)
    changes = y[..., some:] != y[..., : y.shape[-1] - some]
    skips = xp.concat([xp.zeros_like(real[..., :some]), changes], axis=-1)
    blanks = select(xp, frames, logp[..., blank])
    return _Trellis(xp, labels, blanks, frames, skips, y, target_lengths)


def _gathered(xp: Any, logp: Array, y: Array) -> Array:
    """logp (..., T, C) of the labels y (..., U), as (..., T, U)."""
    if _array.library(logp) == "dask":  # has no take_along_axis
        hot = y[..., None, :, None] == _array.arange(xp, logp.shape[-1], y, y.dtype)
        x = logp[..., None, :]
        return xp.sum(xp.where(hot, x, xp.zeros_like(x)), axis=-1)
    index = xp.broadcast_to(y[..., None, :], (*logp.shape[:-1], y.shape[-1]))
    return xp.take_along_axis(logp, index, axis=-1)


def _log_add(xp: Any, *terms: Array) -> Array:
    """Logarithm of a sum of exponentials; a term of -inf gets no gradient, not even NaN."""
    m = terms[0]
    for x in terms[1:]:
        m = xp.maximum(m, x)
    some = m != -xp.inf
    m = select(xp, some, stop_gradient(m))
    s = xp.zeros_like(m)
    for x in terms:
        part = x != -xp.inf
        s = s + select(xp, part, xp.exp(select(xp, part, x - m)))
    return select(xp, some, xp.log(select(xp, some, s, 1.0)) + m, -xp.inf)


def _start(trellis: _Trellis) -> _States:
    """Before the first frame: in the first blank, with nothing emitted."""
    xp, y = trellis.xp, trellis.blanks
    nowhere = xp.full_like(trellis.skips, -xp.inf, dtype=y.dtype)
    first = xp.zeros(y.shape[:-1], dtype=y.dtype, device=_array.device(y))[..., None]
    return _States(xp.concat([first, nowhere], axis=-1), nowhere)


def _forward(trellis: _Trellis, a: _States, e: _States) -> _States:
    """From one frame to the next: stay, step, or skip a blank between different labels."""
    xp = trellis.xp
    stepped = xp.concat([xp.full_like(a.blank[..., :1], -xp.inf), a.label], axis=-1)
    u = a.label.shape[-1]
    skipped = select(xp, trellis.skips, stepped[..., :u], -xp.inf)
    return _States(
        e.blank + _log_add(xp, a.blank, stepped),
        e.label + _log_add(xp, a.label, a.blank[..., :u], skipped),
    )


def _backward(trellis: _Trellis, b: _States, e: _States) -> _States:
    """The same in reverse: what remains after this frame, from what remains after the next."""
    xp = trellis.xp
    blank, label = e.blank + b.blank, e.label + b.label
    end = xp.full_like(blank[..., :1], -xp.inf)
    padded = xp.concat([label, end], axis=-1)
    u = label.shape[-1]
    skips = xp.concat([trellis.skips[..., min(u, 1) :], xp.zeros_like(end) != 0], axis=-1)
    skipped = select(xp, skips[..., :u], padded[..., 1:], -xp.inf)
    return _States(_log_add(xp, blank, padded), _log_add(xp, label, blank[..., 1:], skipped))


def _shifted(xp: Any, a: _States) -> tuple[_States, Array]:
    """States with a maximum of 0, and the shift (...), a constant; 0 in bad or dead rows."""
    m = xp.max(stop_gradient(a.blank), axis=-1, keepdims=True)
    if a.label.shape[-1]:
        m = xp.maximum(m, xp.max(stop_gradient(a.label), axis=-1, keepdims=True))
    m = select(xp, xp.isfinite(m), m)
    return _States(a.blank - m, a.label - m), m[..., 0]


def _chosen(xp: Any, keep: Array, new: _States, old: _States) -> _States:
    keep = keep[..., None]
    return _States(xp.where(keep, new.blank, old.blank), xp.where(keep, new.label, old.label))


def _ends(trellis: _Trellis) -> _States:
    """Which states may be the last: the last blank and the last label."""
    xp, n = trellis.xp, trellis.lengths[..., None]
    places = _array.arange(xp, trellis.target.shape[-1] + 1, n, n.dtype)
    return _States(places == n, places[:-1] == n - 1)


def _loss(xp: Any, trellis: _Trellis, a: _States, shift: Array) -> Array:
    ends = _ends(trellis)
    last = xp.sum(select(xp, ends.blank, a.blank), axis=-1)
    label = xp.sum(select(xp, ends.label, a.label), axis=-1)
    label = select(xp, trellis.lengths > 0, label, -xp.inf)
    return -(_log_add(xp, last, label) + shift)


def _reference(xp, logp, target, input_lengths, target_lengths, *, blank):
    trellis = _trellis(xp, logp, target, input_lengths, target_lengths, blank=blank)
    a = _start(trellis)
    shift = a.blank[..., 0]
    for t in range(logp.shape[-2]):
        keep = trellis.frames[..., t]
        new, m = _shifted(xp, _forward(trellis, a, trellis.emitted(t)))
        a, shift = _chosen(xp, keep, new, a), shift + select(xp, keep, m)
    return _loss(xp, trellis, a, shift)


def _occupancy(xp: Any, operands: tuple, blank: int) -> Array:
    """Expected visits (..., T, C) of every class: posteriors of the states, added up by class.

    The posteriors of a frame are normalised among themselves: the loss, rounded at its own size,
    would not do.
    """
    logp, *others = operands
    trellis = _trellis(xp, logp, *others, blank=blank)
    steps = range(logp.shape[-2])
    a, forward = _start(trellis), []
    for t in steps:
        new, _ = _shifted(xp, _forward(trellis, a, trellis.emitted(t)))
        a = _chosen(xp, trellis.frames[..., t], new, a)
        forward.append(a)
    ends, visits = _ends(trellis), []
    b = _States(*(select(xp, end, xp.zeros_like(x), -xp.inf) for end, x in zip(ends, a)))
    for t in reversed(steps):
        visits.append(_posterior(xp, forward[t], b))
        new, _ = _shifted(xp, _backward(trellis, b, trellis.emitted(t)))
        b = _chosen(xp, trellis.frames[..., t], new, b)
    if not visits:
        return xp.zeros_like(logp)
    of_blank, of_label = (xp.stack(x[::-1], axis=-2) for x in zip(*visits))
    classes = _array.arange(xp, logp.shape[-1], trellis.target, trellis.target.dtype)
    by_class = trellis.target[..., None] == classes
    total = xp.sum(select(xp, by_class[..., None, :, :], of_label[..., None]), axis=-2)
    total = total + select(xp, classes == blank, xp.sum(of_blank, axis=-1, keepdims=True))
    return select(xp, trellis.frames[..., None], total)


def _posterior(xp: Any, a: _States, b: _States) -> _States:
    """Probabilities of the states given the whole sequence; all 0 where it has none."""
    z, _ = _shifted(xp, _States(a.blank + b.blank, a.label + b.label))
    keep = _States(*((x != -xp.inf) & (y != -xp.inf) for x, y in zip(a, b)))
    visits = _States(*(select(xp, k, xp.exp(x)) for k, x in zip(keep, z)))
    s = xp.sum(visits.blank, axis=-1, keepdims=True) + xp.sum(visits.label, axis=-1, keepdims=True)
    s = select(xp, s != 0, s, 1.0)
    return _States(*(select(xp, k, x / s) for k, x in zip(keep, visits)))


def _vjp(xp, operands, outputs, cotangents, needs, *, blank):
    (g,) = cotangents
    if g is None or not needs[0]:
        return None, None, None, None
    occupancy = _occupancy(xp, operands, blank)
    live = occupancy != 0
    return select(xp, live, -g[..., None, None] * occupancy), None, None, None


def _jvp(xp, operands, outputs, tangents, *, blank):
    occupancy = _occupancy(xp, operands, blank)
    change = select(xp, occupancy != 0, tangents[0])
    return (-xp.sum(occupancy * change, axis=(-2, -1)),)


ctc = Primitive("ctc", _reference, _vjp, _jvp, (False,))
