"""`top_k_softmax`: softmax over the k largest logits."""

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
    *(_distinct(case).with_(case.name, k=2) for case in row_cases()),
    Case("ties", (_TIES,), {"k": 2}, wrt=()),
    Case("strict", (_TIES,), {"k": 2, "strict": True}, wrt=()),
    Case("strict_masked", (_X,), {"k": 2, "strict": True, "where": _X > -1.0}, smooth=True),
    Case("more_than_all", (_X,), {"k": 9}),
    Case("counts", (_X,), {"k": np.asarray([[[1], [2], [3]], [[2], [4], [7]]])}, smooth=True),
    Case("many", (untied(logits(3, 1500)),), {"k": 77}, wrt=()),
    Case("two_axes", (_X,), {"axis": (0, -1), "k": 3}, smooth=True),
    Case("warm", (_X,), {"k": 2, "temperature": 2.0}, smooth=True),
    Case(
        "temperatures", (_X,), {"k": 2, "temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, "temperature"), smooth=True,
    ),
]  # fmt: skip


def _kept(z, k, strict):
    """By a sort, ties at the k-th largest decided by `strict`."""
    order = np.argsort(-z, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    k = np.broadcast_to(k, z.shape)
    if strict:
        return rank < k
    last = np.min(np.where(rank < k, z, np.inf), axis=-1, keepdims=True)
    return z >= last


def _weights(z, temperature, k, strict):
    e = np.where(_kept(z, k, strict), np.exp(z / temperature), 0)
    return e / np.sum(e, axis=-1, keepdims=True)


def ORACLE(x, *, k, strict=False, axis=-1, where=None, temperature=1.0):
    return by_rows(x, axis, where, _weights, temperature, k, strict)


def DRAW(rng):
    shape = (*rng.integers(1, 4, rng.integers(0, 3)), int(rng.integers(1, 7)))
    return Case(
        "drawn",
        (np.rint(rng.normal(size=shape) * 2),),
        {"k": int(rng.integers(1, 8)), "strict": bool(rng.integers(2))},
    )


def _reversed(form, case):
    """Strictly, ties go by their place."""
    return None if case.options.get("strict") else permutation_equivariant(form, case)


def _is_softmax_of_the_kept(form, case):
    options = {k: v for k, v in case.options.items() if k != "temperature"}
    keep = am.top_k_mask(*case.args, **options)
    rest = {k: v for k, v in case.options.items() if k in ("axis", "temperature")}
    return form(*case.args, **case.options), am.softmax(*case.args, where=keep, **rest)


IDENTITIES = (
    _reversed, selected_classes, shift_invariant, sums_to_one, _is_softmax_of_the_kept,
)  # fmt: skip


def GOLDEN(load):
    for name in ("small", "ties"):
        z = load(f"classic-truncated-softmax__{name}")
        x = z["in_logits"]
        for k in (1, 3, 5):
            yield Golden(Case(f"{name}_{k}", (x,), {"k": k}), z[f"out_topk{k}"])
