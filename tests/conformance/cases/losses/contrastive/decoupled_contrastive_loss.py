"""`decoupled_contrastive_loss`: the positive is in no denominator."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.pairs import apart, column, lse_rows, products, unit
from anymax.testing import Case, logits

_A, _B = logits(3, 4, seed=1), logits(3, 4, seed=2)
_S, _T = logits(6, 3, seed=3).reshape(2, 3, 3), logits(6, 3, seed=4).reshape(2, 3, 3)
_NONE = {"reduction": "none"}
_WHERE = np.ones((6, 6), bool)
_WHERE[4], _WHERE[:, 4], _WHERE[0, 3], _WHERE[5, [0, 1, 3]] = (False,) * 4
_HOLES = _B.copy()
_HOLES[1, 2] = np.nan
_BAD = _A.copy()
_BAD[2, 0] = np.inf

CASES = [
    Case("edges", (_A, _HOLES), {"where": _WHERE, **_NONE}, compiled=True),
    Case(
        "mean", (_S, _T), {"temperature": np.asarray(0.5), "sigma": 0.5}, (0, 1, "temperature"),
        compiled=True, smooth=True,
    ),
    Case(
        "masked_sigma", (_A, _B),
        {"where": _WHERE[5:] | _WHERE.T[5:], "sigma": 0.5, "temperature": 0.5, **_NONE},
    ),
    Case("weighted", (_A, _B), {"weight": np.asarray([1.0, 0, 0.5, 2, 1, 0.25])}, smooth=True),
    Case("bad", (_BAD, _B), _NONE),
    Case("one", (_A[:1], _B[:1]), _NONE),
    Case("large", (logits(250, 5), logits(250, 5, seed=1)), {"sigma": 0.5}, large=True),
]  # fmt: skip


def ORACLE(
    z_a, z_b, *, temperature=0.1, sigma=None, normalize=True, where=None, weight=None,
    reduction="mean",
):  # fmt: skip
    v = np.concatenate([unit(z_a, normalize), unit(z_b, normalize)], axis=-2)
    n = v.shape[-2]
    s, b = products(v, v), n // 2
    twin = (np.arange(n) + b) % n
    is_twin = np.arange(n) == twin[:, None]
    part = apart(s, where, diagonal=False)
    keep = np.any(part & is_twin, axis=-1)
    own = np.where(keep, np.sum(np.where(part & is_twin, s, 0), axis=-1), 0)
    w = np.ones(own.shape)
    if sigma is not None:
        some = keep[..., :b] | keep[..., b:]
        c = np.where(keep[..., :b], own[..., :b], own[..., b:]) / sigma
        e = np.where(some, np.exp(c - np.max(c)), 0)
        w = 2 - some.sum(-1, keepdims=True) * e / np.sum(e, axis=-1, keepdims=True)
        w = np.concatenate([w, w], axis=-1)
    negatives = part & ~is_twin
    live = negatives.any(axis=-1)
    loss = lse_rows(s / column(temperature), negatives) - w * own / temperature
    loss = np.where(live & ~keep, np.inf, loss)
    return reduced(np.where(live, loss, 0), reduction, live=live, weight=weight)


def _is_the_negatives_alone(form, case):
    """Added to the positive's logit, it is the logsumexp of all logits but two."""
    if set(case.options) - {"weight"}:
        return None
    v = np.concatenate([x / np.linalg.norm(x, axis=-1, keepdims=True) for x in case.args])
    n = v.shape[0]
    z = v @ v.T / 0.1
    twin = (np.arange(n) + n // 2) % n
    loss = form(*case.args, reduction="none")
    rest = ~np.eye(n, dtype=bool) & (np.arange(n) != twin[:, None])
    return loss + z[np.arange(n), twin], am.logsumexp(z, where=rest)


IDENTITIES = (_is_the_negatives_alone,)
