"""`info_nce`: finding each query's own key among all."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.pairs import apart, column, products, surprise, unit
from anymax.testing import Case, Golden, logits

_Q, _K = logits(6, 4, seed=1), logits(6, 4, seed=2)
_A, _B = logits(8, 3, seed=3).reshape(2, 4, 3), logits(8, 3, seed=4).reshape(2, 4, 3)
_N, _OWN = logits(3, 3, seed=5), logits(24, 3, seed=6).reshape(2, 4, 3, 3)
_NONE = {"reduction": "none"}

# Query and key 4 hold NaN and are masked; row 2 lacks its positive, row 5 its negatives.
_WHERE = np.ones((6, 6), bool)
_WHERE[4], _WHERE[:, 4], _WHERE[2, 2], _WHERE[5, :5], _WHERE[0, 3] = (False,) * 5
_HOLES, _NAN = _Q.copy(), _K.copy()
_HOLES[4, 1], _NAN[4, 0] = np.nan, np.inf
_BAD = _Q.copy()
_BAD[1, 2] = np.nan
_MASK = np.arange(56).reshape(2, 4, 7) % 5 != 1
_MASK[:, np.arange(4), np.arange(4)] = True
_T = np.asarray(0.5)

CASES = [
    Case("edges", (_HOLES, _NAN), {"where": _WHERE, "temperature": 0.25, **_NONE}, compiled=True),
    Case("mean", (_A, _B), {"temperature": _T}, (0, 1, "temperature"), compiled=True, smooth=True),
    Case(
        "negatives", (_A, _B),
        {"negatives": _N, "symmetric": True, "weight": np.asarray([1.0, 0.0, 0.5, 2.0]),
         "temperature": np.asarray([0.5, 1.0, 2.0, 0.25])},
        (0, 1, "negatives", "temperature"), smooth=True,
    ),
    Case(
        "own_negatives", (_A, _B), {"negatives": _OWN, "where": _MASK, **_NONE, "temperature": 0.5},
        (0, 1, "negatives"), smooth=True,
    ),
    Case("bad", (_BAD, _K), {"normalize": False, "temperature": 4.0, **_NONE}),
    Case("one", (_Q[:1], _K[:1]), _NONE),
    Case("dropped", (_Q, _K), {"where": _WHERE[:, 4:5], "symmetric": True, "reduction": "sum"}),
    Case("large", (logits(400, 5), logits(400, 5, seed=1)), {"temperature": 0.25}, large=True),
]  # fmt: skip


def ORACLE(
    query, key, *, negatives=None, temperature=0.07, normalize=True, symmetric=False, where=None,
    weight=None, reduction="mean",
):  # fmt: skip
    q, k = unit(query, normalize), unit(key, normalize)
    place, b = np.arange(q.shape[-2]), q.shape[-2]
    z, back = products(q, k), products(k, q)
    part = apart(
        back, None if where is None else np.swapaxes(np.atleast_2d(where)[..., :b], -1, -2)
    )
    if negatives is not None:
        n = unit(negatives, normalize)
        own = n.ndim > q.ndim
        more = products(q[..., None, :], n)[..., 0, :] if own else products(q, n)
        z = np.concatenate([z, more], axis=-1)
    loss, live = surprise(z / column(temperature), apart(z, where), place)
    if symmetric:
        other, seen = surprise(back / column(temperature), part, place)
        loss, live = (loss + other) / 2, live | seen
    return reduced(loss, reduction, live=live, weight=weight)


def _is_cross_entropy(form, case):
    if set(case.options) - {"temperature"} or case.args[0].ndim == 2:
        return None
    q, k = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in case.args)
    z = q @ np.swapaxes(k, -1, -2) / case.options["temperature"]
    labels = np.broadcast_to(np.arange(z.shape[-1]), z.shape[:-1])
    return form(*case.args, **case.options), am.cross_entropy(z, labels)


def _lengths_do_not_matter(form, case):
    if not all(np.isfinite(x).all() for x in case.args) or "normalize" in case.options:
        return None
    return form(4 * case.args[0], case.args[1] / 8, **case.options), form(
        *case.args, **case.options
    )


IDENTITIES = (_is_cross_entropy, _lengths_do_not_matter)


def GOLDEN(load):
    z = load("classic-contrastive__siglip")
    for i in range(2):
        options = {
            "temperature": 1 / float(z[f"in_scale_{i}"]), "normalize": False, "symmetric": True,
        }  # fmt: skip
        yield Golden(
            Case(str(i), (z[f"in_image_{i}"], z[f"in_text_{i}"]), options), z[f"out_clip_{i}"]
        )
