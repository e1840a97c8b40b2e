"""`robust_global_contrastive_loss`: two sides, each example with a temperature of its own."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.pairs import apart, lse_rows, products, unit
from anymax.testing import Case, logits

_Q, _K = logits(6, 4, seed=1), logits(6, 4, seed=2)
_A, _B = logits(8, 3, seed=3).reshape(2, 4, 3), logits(8, 3, seed=4).reshape(2, 4, 3)
_S = np.asarray([0.5, 1.0, 0.25, 2.0, np.nan, 0.75])  # the fifth is masked
_T = np.asarray([1.0, 0.5, 2.0, 0.25, np.nan, 1.5])
_S0, _T0 = np.asarray(0.5), np.asarray(1.0)
_NONE = {"reduction": "none"}
_WHERE = np.ones((6, 6), bool)
_WHERE[4], _WHERE[:, 4], _WHERE[2, 2], _WHERE[0, 1:] = (False,) * 4
_HOLES = _Q.copy()
_HOLES[4, 1] = np.nan
_BAD = _Q.copy()
_BAD[1, 2] = np.inf

CASES = [
    Case("edges", (_HOLES, _K, _S, _T), {"where": _WHERE, **_NONE}, compiled=True),
    Case(
        "mean", (_A, _B, np.asarray([0.5, 1, 2, 0.25]), np.asarray(0.5)),
        {"rho": np.asarray(2.0), "weight": np.asarray([1, 0.5, 0, 2])}, (0, 1, 2, 3, "rho"),
        compiled=True, smooth=True,
    ),
    Case("bad", (_BAD, _K, _S0, _T0), {"normalize": False, **_NONE}),
    Case("one", (_Q[:1], _K[:1], _S[:1], _T[:1]), _NONE),
    Case(
        "large", (logits(400, 5), logits(400, 5, seed=1), np.full(400, 0.5), np.full(400, 0.25)),
        large=True,
    ),
    Case("surrogate", (_Q, _K, _S0, _T0), {"surrogate": True, **_NONE}, wrt=()),
]  # fmt: skip


def ORACLE(
    image, text, image_temperature, text_temperature, *, rho=8.0, normalize=True, surrogate=False,
    where=None, weight=None, reduction="mean",
):  # fmt: skip
    a, b = unit(image, normalize), unit(text, normalize)
    s = products(a, b)
    total, live = 0.0, False
    allowed = apart(s, where)
    keep = np.diagonal(allowed, axis1=-2, axis2=-1)
    for z, part, t in (
        (s, allowed, image_temperature),
        (np.swapaxes(s, -1, -2), np.swapaxes(allowed, -1, -2), text_temperature),
    ):
        part = apart(z, part, diagonal=False)
        own = np.diagonal(z, axis1=-2, axis2=-1)
        count = part.sum(axis=-1)
        heat = np.broadcast_to(t, own.shape)
        margin = z - own[..., None]
        e = lse_rows(margin / heat[..., None], part)
        loss = heat * (e - np.log(np.maximum(count, 1)) + rho)
        if surrogate:
            w = np.where(
                part, np.exp(np.where(part, margin / heat[..., None] - e[..., None], 0)), 0
            )
            loss = np.sum(np.where(part, w * margin, 0), axis=-1)
        loss = np.where(count > 0, np.where(keep, loss, np.inf), 0)
        total, live = total + loss, live | (count > 0)
    return reduced(total, reduction, live=live, weight=weight)


def DRAW(rng):
    b, d = rng.integers(1, 6), rng.integers(1, 5)
    arrays = rng.normal(size=(2, b, d)), np.exp(rng.normal(size=(2, b)) / 2)
    return Case("drawn", (*arrays[0], *arrays[1]))


def _is_two_kl_dro_losses(form, case):
    if case.options or case.args[0].shape[0] < 2:
        return None
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in case.args[:2])
    z, n = a @ b.T, a.shape[0]
    own = np.eye(n, dtype=bool)
    total = 0.0
    for s, t in ((z, case.args[2]), (z.T, case.args[3])):
        margin = np.where(own, 0, s - np.diag(s)[:, None])
        first = np.zeros((n, 1), s.dtype)
        rest = np.concatenate([first, margin[~own].reshape(n, n - 1)], axis=-1)
        lse = am.logsumexp(rest[:, 1:] / t[:, None])
        total = total + t * (lse - np.log(n - 1) + 8.0)
    return form(*case.args), np.mean(total)


IDENTITIES = (_is_two_kl_dro_losses,)
