"""Identities that many forms share; a case file lists those that its form obeys.

An identity takes the form and a case, and gives the two sides as arrays, or None for a case it has
nothing to say about.  The forms run on NumPy arrays here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anymax.testing import Case

Sides = tuple[Any, Any] | None
Identity = Callable[[Callable, Case], Sides]


def call(form: Callable, case: Case) -> Any:
    """The form's first result on the NumPy arrays of a case."""
    y = form(*case.args, **case.options)
    return y[0] if isinstance(y, tuple) else y


def _finite(case: Case) -> bool:
    return all(np.isfinite(x).all() for _, x in case.slots())


def sums_to_one(form: Callable, case: Case) -> Sides:
    """Weights of a finite row sum to one, or to zero where nothing takes part."""
    x, where = case.args[0], case.options.get("where")
    if not _finite(case):
        return None
    axis = case.options.get("axis", -1)
    some = np.ones(x.shape, bool) if where is None else np.broadcast_to(where, x.shape)
    p = np.asarray(call(form, case))
    if x.ndim == 0:
        return p, np.ones(())
    return np.sum(p, axis=axis), np.any(some, axis=axis).astype(p.dtype)


def shift_invariant(form: Callable, case: Case) -> Sides:
    """A constant added to the logits changes nothing."""
    if not _finite(case):
        return None
    shifted = case.with_("shifted", case.args[0] + 2.5, *case.args[1:])
    return call(form, shifted), call(form, case)


def shift_equivariant(form: Callable, case: Case) -> Sides:
    """A constant added to the logits is added to the result."""
    if not _finite(case) or case.args[0].size == 0 or case.options.get("weight") is not None:
        return None
    shifted = case.with_("shifted", case.args[0] + 2.5, *case.args[1:])
    return call(form, shifted), call(form, case) + 2.5


def permutation_equivariant(form: Callable, case: Case) -> Sides:
    """Reordering the classes reorders the weights."""
    x, where = case.args[0], case.options.get("where")
    if x.ndim == 0 or "axis" in case.options or "temperature" in case.options:
        return None
    new = case.with_("reversed", x[..., ::-1])
    if where is not None:
        new = new.with_("reversed", where=np.broadcast_to(where, x.shape)[..., ::-1])
    return call(form, new), np.asarray(call(form, case))[..., ::-1]


def selected_classes(form: Callable, case: Case) -> Sides:
    """Masked classes may as well not be there (checked on the first row)."""
    x, where = case.args[0], case.options.get("where")
    if where is None or x.ndim == 0 or "axis" in case.options or where.shape != x.shape:
        return None
    row, keep = x.reshape(-1, x.shape[-1])[0], where.reshape(-1, x.shape[-1])[0]
    options = {k: v for k, v in case.options.items() if not isinstance(v, np.ndarray)}
    whole = form(row, where=keep, **options)
    return np.asarray(whole)[keep], form(row[keep], **options)
