"""`top_p_softmax`: softmax over the largest logits that hold a mass."""

import numpy as np

import anymax as am
from anymax._conformance.by_rows import by_rows, untied
from anymax._conformance.identities import (
    permutation_equivariant,
    selected_classes,
    shift_invariant,
    sums_to_one,
)
from anymax.testing import Case, Golden, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_TIES = np.asarray(
    [[1.0, 2.0, 2.0, 2.0, 0.0], [3.0, 3.0, 3.0, 3.0, 3.0], [0.0, 1.0, 0.0, 1.0, 1.0]]
)


def _distinct(case):
    """No ties: what is kept jumps there, and has no derivative."""
    case = case.mapped(lambda _, x: untied(x) if x.dtype.kind == "f" else x)
    small = case.large or case.args[0].size < 60
    return case if small else case.with_(case.name, wrt=())


CASES = [
    *(_distinct(case).with_(case.name, p=0.7) for case in row_cases()),
    Case("ties", (_TIES,), {"p": 0.55}, wrt=()),
    Case("three", (_X,), {"p": 0.1, "min_keep": 3}, smooth=True),
    Case("largest", (_X,), {"p": 0.0}),
    Case("all", (_X,), {"p": 1.0}),
    Case("masses", (_X,), {"p": np.asarray([[[0.25], [0.5], [0.75]]])}, smooth=True),
    Case("many", (untied(logits(3, 1500)),), {"p": 0.8125}, wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1), "p": 0.6}, smooth=True),
    Case("warm", (_X,), {"p": 0.6, "temperature": 2.0}, smooth=True),
    Case(
        "temperatures", (_X,), {"p": 0.7, "temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, "temperature"), smooth=True,
    ),
]  # fmt: skip


def _kept(z, p, min_keep, temperature):
    """By a sort: what has less than p before it in stable descending order."""
    z = z / temperature
    order = np.argsort(-z, axis=-1, kind="stable")
    w = np.exp(np.take_along_axis(z, order, axis=-1))
    before = np.cumsum(w, axis=-1) - w
    chosen = before < p * np.sum(w, axis=-1, keepdims=True)
    chosen = (chosen | (np.arange(z.shape[-1]) < min_keep)) | (np.asarray(p) >= 1)
    return np.take_along_axis(chosen, np.argsort(order, axis=-1), axis=-1)


def _weights(z, p, min_keep, temperature):
    e = np.where(_kept(z, p, min_keep, temperature), np.exp(z / temperature), 0)
    return e / np.sum(e, axis=-1, keepdims=True)


def ORACLE(x, *, p, min_keep=1, axis=-1, where=None, temperature=1.0):
    return by_rows(x, axis, where, _weights, p, min_keep, temperature)


def DRAW(rng):
    shape = (*rng.integers(1, 4, rng.integers(0, 3)), int(rng.integers(1, 7)))
    return Case("drawn", (rng.normal(size=shape),), {"p": float(rng.integers(0, 33)) / 32})


def _reversed(form, case):
    """Ties go by their place."""
    return None if case.name == "ties" else permutation_equivariant(form, case)


def _is_softmax_of_the_kept(form, case):
    options = {k: v for k, v in case.options.items() if k != "temperature"}
    mask = {"temperature": case.options.get("temperature", 1.0)}
    keep = am.top_p_mask(*case.args, **options, **mask)
    rest = {k: v for k, v in case.options.items() if k in ("axis", "temperature")}
    return form(*case.args, **case.options), am.softmax(*case.args, where=keep, **rest)


IDENTITIES = (
    _reversed, selected_classes, shift_invariant, sums_to_one, _is_softmax_of_the_kept,
)  # fmt: skip


def GOLDEN(load):
    """Official code sorts unstably, so rows with ties are compared in a test of their own."""
    for name in ("small",):
        z = load(f"classic-truncated-softmax__{name}")
        x = z["in_logits"]
        for p in (0.1, 0.5, 0.9):
            yield Golden(Case(f"{name}_{p}", (x,), {"p": p}), z[f"out_topp{p}"])
        case = Case(f"{name}_keep", (x,), {"p": 0.5, "min_keep": 3})
        yield Golden(case, z["out_topp0.5_keep3"])
