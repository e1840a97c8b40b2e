"""Labels for all levels of a hierarchy of classes from a label on one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anymax import _array
from anymax._array import Array
from anymax._form import form
from anymax.losses._targets import check_labels
from anymax.losses.classification._levels import (
    check_integers,
    check_level,
    check_levels,
    check_logits,
    promoted,
)
from anymax.primitives._masked import kept, select
from anymax.primitives.row_softmax import row_softmax
from anymax.softmaxes.structured._gather import picked, rows

_MISSING = -100


@form(
    shapes="logits: n C, parent: C, level: n, target: n -> n H", papers=("2308.14374",),
    level="module", cost="O(n sum of C)",
)  # fmt: skip
def hierarchy_pseudo_labels(
    logits: Sequence[Array],
    parent: Sequence[Array],
    level: Array,
    target: Array,
    /,
    *,
    threshold: float | None = None,
) -> Array:
    r"""Labels on all levels from a label on one: known for coarser levels, guessed for finer ones.

    .. math:: y_{h-1} = \mathrm{parent}_h(y_h), \qquad
        \hat y_{h+1} = \arg\max_{c:\,\mathrm{parent}_{h+1}(c) = y_h} x_{h+1,c}

    Parameters
    ----------
    logits : sequence of H arrays (n, C)
        Logits of each level, coarse to fine.
    parent : sequence of H integer arrays (C,)
        For each class of a level its class one level up.  The first entry is not read and may be
        None.
    level : integer array (n,)
        The level that the example's label is of, from 0.
    target : integer array (n,)
        Class of each example inside its level; -100 for none.
    threshold : float
        Least probability, among the children, of a guess that is kept.

    Returns
    -------
    integer array (n, H)
        Labels on all levels, -100 where there is none.

    Raises
    ------
    TypeError, ValueError
        Sequences, dtypes or shapes that do not fit.
    IndexError
        A label, level or parent that there is not (on arrays whose values are at hand).

    Notes
    -----
    A class without children, or a guess below `threshold`, leaves all finer levels without a label.
    Ties go to the first child; NaN among the children counts as largest, and never passes a
    threshold.  A reconstruction from the paper's text: its published code leaves this step out, and
    the rule of acceptance in particular is not confirmed.  Nothing here is differentiable.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> coarse, fine = np.zeros((2, 2)), np.asarray([[0.0, 1.0, 9.0], [0.0, 0.0, 0.0]])
    >>> parent = (None, np.asarray([0, 0, 1]))
    >>> level, target = np.asarray([0, 1]), np.asarray([0, 2])
    >>> am.losses.hierarchy_pseudo_labels((coarse, fine), parent, level, target)
    array([[0, 1],
           [1, 2]])

    References
    ----------
    .. [1] B. H. Lee, O. Jung, J. Choi, S. Y. Chun, "Online continual learning on hierarchical
       label expansion", ICCV 2023, arXiv:2308.14374.
    """
    name = "hierarchy_pseudo_labels"
    heads = check_levels(name, "logits", logits)
    number = len(heads)
    parents = check_levels(name, "parent", parent, number)
    xp, heads, _ = promoted(name, heads, parents[1:], target, level)
    n = check_logits(name, heads)
    check_integers(name, "target", target, (n,), "a label for each example")
    check_integers(name, "level", level, (n,), "a level for each example")
    target, level = _array.as_index(xp, target), _array.as_index(xp, level)
    check_level(xp, name, level, number)
    parents = [None] + [_parents(xp, name, h, parents[h], heads) for h in range(1, number)]
    none = xp.full_like(target, _MISSING)
    for h, x in enumerate(heads):
        own = (level == h) & (target != _MISSING)
        check_labels(xp, name, target, own, x.shape[1], str(_MISSING))
    labels: list[Array] = []
    for h in range(number):  # what is known or guessed from above
        y = none if not h else _guessed(xp, heads[h], parents[h], labels[-1], threshold)
        labels.append(xp.where(level == h, target, xp.where(level < h, y, none)))
    for h in range(number - 1, 0, -1):
        up = _looked_up(xp, parents[h], labels[h])
        labels[h - 1] = xp.where(level >= h, up, labels[h - 1])
    return xp.stack(labels, axis=-1)


def _parents(xp: Any, function: str, h: int, parent: Array, heads: list) -> Array:
    check_integers(function, f"parent[{h}]", parent, (heads[h].shape[1],), "one for each class")
    parent = _array.as_index(xp, parent)
    if _array.values_known(parent) and 0 not in parent.shape:
        wrong = xp.any((parent < 0) | (parent >= heads[h - 1].shape[1]))
        if _array.values_known(wrong) and bool(wrong):
            raise IndexError(
                f"{function}: parent[{h}] names classes that level {h - 1} does not have; "
                f"0 to {heads[h - 1].shape[1] - 1} fit"
            )
    return parent


def _guessed(xp: Any, x: Array, parent: Array, above: Array, threshold: float | None) -> Array:
    """The likeliest child of each label, -100 where there is none."""
    missing = xp.full_like(above, _MISSING)
    if not x.shape[1]:
        return missing
    x = _array.widen(xp, _array.stop_gradient(x))
    child = kept(xp, x, parent[None, :] == above[:, None])
    rank = xp.where(xp.isnan(x), xp.full_like(x, xp.inf), x)
    best = xp.argmax(select(xp, child, rank, -xp.inf), axis=-1)
    accepted = xp.any(child, axis=-1)
    if threshold is not None:
        p = picked(xp, row_softmax(x, child, axis=(1,), scale=1.0), best)
        accepted = accepted & (p >= threshold)
    return xp.where(accepted, xp.astype(best, above.dtype), missing)


def _looked_up(xp: Any, parent: Array, label: Array) -> Array:
    """The parent of each label, -100 for a missing one."""
    some = label != _MISSING
    if not parent.shape[0]:
        return label
    found = rows(xp, parent, xp.where(some, label, xp.zeros_like(label)))
    return xp.where(some, xp.astype(found, label.dtype), label)
