"""`min_p_softmax`: softmax over the logits with a fraction of the largest weight."""

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
    *(_distinct(case).with_(case.name, min_p=0.15) for case in row_cases()),
    Case("ties", (_TIES,), {"min_p": 0.55}, wrt=()),
    Case("three", (_X,), {"min_p": 0.9, "min_keep": 3}, smooth=True),
    Case("all", (_X,), {"min_p": 0.0}),
    Case("fractions", (_X,), {"min_p": np.asarray([[[0.25], [0.5], [0.0]]])}, smooth=True),
    Case("many", (untied(logits(3, 1500)),), {"min_p": 0.8125}, wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1), "min_p": 0.6}, smooth=True),
    Case("warm", (_X,), {"min_p": 0.6, "temperature": 2.0}, smooth=True),
    Case(
        "temperatures", (_X,), {"min_p": 0.15, "temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, "temperature"), smooth=True,
    ),
]  # fmt: skip


def _kept(z, min_p, min_keep, temperature):
    """By probabilities, as the definition says."""
    z = z / temperature
    rank = np.argsort(np.argsort(-z, axis=-1, kind="stable"), axis=-1)
    return (np.exp(z) >= min_p) | (rank < min_keep)


def _weights(z, min_p, min_keep, temperature):
    e = np.where(_kept(z, min_p, min_keep, temperature), np.exp(z / temperature), 0)
    return e / np.sum(e, axis=-1, keepdims=True)


def ORACLE(x, *, min_p, min_keep=1, axis=-1, where=None, temperature=1.0):
    return by_rows(x, axis, where, _weights, min_p, min_keep, temperature)


def DRAW(rng):
    shape = (*rng.integers(1, 4, rng.integers(0, 3)), int(rng.integers(1, 7)))
    return Case("drawn", (rng.normal(size=shape),), {"min_p": float(rng.uniform())})


def _is_softmax_of_the_kept(form, case):
    options = {k: v for k, v in case.options.items() if k != "temperature"}
    mask = {"temperature": case.options.get("temperature", 1.0)}
    keep = am.min_p_mask(*case.args, **options, **mask)
    rest = {k: v for k, v in case.options.items() if k in ("axis", "temperature")}
    return form(*case.args, **case.options), am.softmax(*case.args, where=keep, **rest)


IDENTITIES = (
    permutation_equivariant, selected_classes, shift_invariant, sums_to_one,
    _is_softmax_of_the_kept,
)  # fmt: skip


def GOLDEN(load):
    for name in ("small", "ties"):
        z = load(f"classic-truncated-softmax__{name}")
        x = z["in_logits"]
        for min_p in (0.05, 0.1, 0.5):
            yield Golden(Case(f"{name}_{min_p}", (x,), {"min_p": min_p}), z[f"out_minp{min_p}"])
