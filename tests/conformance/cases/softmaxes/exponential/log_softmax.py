"""Log-softmax: logits less their normaliser."""

import numpy as np

import anymax as am
from anymax._conformance.identities import (
    permutation_equivariant,
    selected_classes,
    shift_invariant,
)
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=5).reshape(2, 3, 4)

CASES = [
    *row_cases(),
    Case("cool", (_X,), {"temperature": 0.5}, smooth=True),
    Case(
        "temperatures", (_X,), {"temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, "temperature"), smooth=True,
    ),
    Case("two_axes", (_X,), {"axis": (0, -1)}, smooth=True),
]  # fmt: skip


def ORACLE(x, *, axis=-1, where=None, temperature=1.0):
    x = np.broadcast_to(x / temperature, x.shape)
    keep = (x != -np.inf) & (True if where is None else where)
    axis = tuple(range(x.ndim)) if axis is None else axis
    if x.ndim == 0:
        return np.zeros(())
    top = np.max(x, axis=axis, keepdims=True, where=keep, initial=-np.inf)
    z = np.where(keep, x - top, 0)
    s = np.sum(np.exp(z), axis=axis, keepdims=True, where=keep)
    return np.where(keep, z - np.log(s), -np.inf)


def _exponential_is_softmax(form, case):
    return np.exp(form(*case.args, **case.options)), am.softmax(*case.args, **case.options)


IDENTITIES = (
    shift_invariant,
    permutation_equivariant,
    selected_classes,
    _exponential_is_softmax,
)


def GOLDEN(load):
    """torch without a mask, jax with one; both give NaN to a -inf cell of a bad row, we -inf."""
    for name in ("small", "inf"):
        z = load(f"classic-softmax__{name}")
        x, where = z["in_logits"], z["in_where"]
        plain = np.where(x == -np.inf, -np.inf, z["out_log_softmax"])
        yield Golden(Case(name, (x,)), plain)
        masked = np.where(x == -np.inf, -np.inf, z["out_log_softmax_where"])
        yield Golden(Case(f"{name}_where", (x,), {"where": where}), masked)
