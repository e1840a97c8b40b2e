"""`supervised_contrastive_loss`: finding the examples of one's own class."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax._conformance.pairs import apart, column, lse, products, unit
from anymax.testing import Case, logits

_F, _Y = logits(7, 4, seed=1), np.asarray([2, 0, 2, 5, 0, 2, 0])
_G = logits(8, 3, seed=3).reshape(2, 4, 3)
_NONE = {"reduction": "none"}
_WHERE = np.ones((7, 7), bool)
_WHERE[4], _WHERE[:, 4], _WHERE[0, [2, 5]], _WHERE[1, 2] = (False,) * 4
_HOLES = _F.copy()
_HOLES[4, 2] = np.nan
_BAD = _F.copy()
_BAD[3, 0] = np.inf

CASES = [
    Case("edges", (_HOLES, _Y), {"where": _WHERE, **_NONE}, compiled=True),
    Case(
        "mean", (_G, np.asarray([[1, 0, 1, 0], [3, 3, 3, 1]])),
        {"temperature": np.asarray(0.5), "base_temperature": 0.25}, (0, "temperature"),
        compiled=True, smooth=True,
    ),
    Case("in", (_F, _Y), {"kind": "in", "temperature": 0.5, **_NONE}, smooth=True),
    Case(
        "weighted", (_F, _Y),
        {"weight": np.asarray([1.0, 0, 0.5, 2, 1, 0.25, 1]), "temperature": np.asarray(
            [0.5, 1, 2, 0.25, 0.5, 1, 2])}, (0, "temperature"), smooth=True,
    ),
    Case("masked_in", (_HOLES, _Y), {"where": _WHERE, "kind": "in", **_NONE}),
    Case("bad", (_BAD, _Y), {"normalize": False, "temperature": 8.0, **_NONE}),
    Case("alone", (_F[:1], _Y[:1])),
    Case("large", (logits(400, 5), np.arange(400) % 7), large=True),
]  # fmt: skip


def ORACLE(
    features, target, *, temperature=0.07, base_temperature=None, kind="out", normalize=True,
    where=None, weight=None, reduction="mean",
):  # fmt: skip
    f = unit(features, normalize)
    z = products(f, f) / column(temperature)
    part = apart(z, where, diagonal=False)
    same = part & (target[..., :, None] == target[..., None, :])
    loss, live = np.zeros(z.shape[:-1], np.longdouble), same.any(axis=-1)
    for row in zip(*np.nonzero(live)):
        own = z[row][same[row]]
        mean = np.mean(own) if kind == "out" else lse(own) - np.log(np.longdouble(own.size))
        loss[row] = lse(z[row][part[row]]) - mean
    if base_temperature is not None:
        loss = loss * (temperature / base_temperature)
    return reduced(loss, reduction, live=live, weight=weight)


def DRAW(rng):
    b, d = rng.integers(1, 7), rng.integers(1, 5)
    kind = rng.choice(["out", "in"])
    return Case("drawn", (rng.normal(size=(b, d)), rng.integers(0, 3, size=b)), {"kind": str(kind)})


def _inside_is_less(form, case):
    """Jensen's inequality."""
    if "where" in case.options or not np.isfinite(case.args[0]).all() or "weight" in case.options:
        return None
    options = {**case.options, "reduction": "none"}
    inner = form(*case.args, **{**options, "kind": "in"})
    return np.minimum(inner, form(*case.args, **{**options, "kind": "out"})), inner


IDENTITIES = (_inside_is_less,)
