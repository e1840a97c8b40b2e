"""`triplet_margin_loss`: the negative lies further away than the positive, by a margin."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax.testing import Case, Golden, logits

_A, _P, _N = (logits(6, 4, seed=i) for i in (1, 2, 3))
_NONE = {"reduction": "none"}
_KEEP = np.asarray([True, True, False, True, False, True])
_HOLES = _P.copy()
_HOLES[2, 1], _HOLES[4, 0] = np.nan, np.inf
_BAD = _N.copy()
_BAD[1, 2] = np.nan
_TWINS = _A.copy()  # distance 0 but for eps

CASES = [
    Case("edges", (_A, _HOLES, _BAD), {"where": _KEEP, **_NONE}, compiled=True),
    Case(
        "mean", (_A.reshape(2, 3, 4), _P.reshape(2, 3, 4), _N[:3]),
        {"margin": np.asarray(8.0)}, (0, 1, 2, "margin"), compiled=True, smooth=True,
    ),
    Case("swap", (_A, _P, _N), {"swap": True, "margin": 0.25, **_NONE}),
    Case("cubic", (_A, _P, _N), {"p": 3.0, "soft": True, "weight": _KEEP / 2 + 0.25}, smooth=True),
    Case("city", (_A, _P, _N), {"p": 1.0, "reduction": "sum"}),
    Case("chess", (_A, _P, _N), {"p": np.inf, "eps": 0.0, **_NONE}),
    Case("twins", (_A, _TWINS, _N), {"eps": 0.0, "margin": 16.0, **_NONE}, wrt=(2,)),
    Case("half", (_A[0], _P[0], _N[0]), {"p": 0.5, "soft": True}),
]  # fmt: skip


def ORACLE(
    anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-6, swap=False, soft=False, where=None,
    weight=None, reduction="mean",
):  # fmt: skip
    def distance(u, v):
        a = np.abs(u - v + eps)
        if np.isinf(p):
            return np.max(a, axis=-1)
        return np.sum(a ** np.longdouble(p), axis=-1) ** (1 / np.longdouble(p))

    far = distance(anchor, negative)
    if swap:
        far = np.minimum(far, distance(positive, negative))
    x = distance(anchor, positive) - far + margin
    loss = np.logaddexp(0, x) if soft else np.where(x > 0, x, np.where(np.isnan(x), x, 0))
    keep = np.ones(loss.shape, bool) if where is None else np.broadcast_to(where, loss.shape)
    return reduced(np.where(keep, loss, 0), reduction, live=keep, weight=weight)


def _moved_together(form, case):
    """Only differences count."""
    if not all(np.isfinite(x).all() for x in case.args):
        return None
    return form(*(x + 1.0 for x in case.args), **case.options), form(*case.args, **case.options)


IDENTITIES = (_moved_together,)


def GOLDEN(load):
    z = load("classic-contrastive__triplet")
    for i in range(3):
        options = {
            "margin": float(z[f"in_margin_{i}"]), "p": float(z[f"in_p_{i}"]),
            "swap": bool(z[f"in_swap_{i}"]), "reduction": "none",
        }  # fmt: skip
        args = tuple(z[f"in_{name}_{i}"] for name in ("anchor", "pos", "neg"))
        gradients = {j: z[f"out_grad_{name}_{i}"] for j, name in enumerate("apn")}
        loss = z[f"out_loss_{i}"]
        yield Golden(Case(str(i), args, options), loss, np.ones(loss.shape), gradients)
