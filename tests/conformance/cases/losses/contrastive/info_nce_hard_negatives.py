"""`info_nce_hard_negatives`: positives and hard negatives of a batch in one list."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.pairs import apart, column, products, surprise, unit
from anymax.testing import Case, Golden, logits

_Q, _K = logits(4, 3, seed=1), logits(8, 3, seed=2)
_NONE = {"reduction": "none"}
_WHERE = np.ones((4, 8), bool)
_WHERE[:, 5], _WHERE[2, 4], _WHERE[0, 1:] = False, False, False
_HOLES = _K.copy()
_HOLES[5, 1] = np.nan
_BAD = _Q.copy()
_BAD[1, 2] = np.inf

CASES = [
    Case(
        "edges", (_Q, _HOLES), {"num_negatives": 1, "where": _WHERE, "temperature": 0.25, **_NONE},
        compiled=True,
    ),
    Case(
        "mean", (_Q, _K[:5]), {"positive": np.asarray([4, 0, -1, 2]), "temperature": np.asarray(
            0.5)}, (0, 1, "temperature"), compiled=True, smooth=True,
    ),
    Case(
        "weighted", (_Q, _K), {"num_negatives": 1, "weight": np.asarray([1.0, 0, 0.5, 2]),
        "temperature": np.asarray([0.5, 1, 2, 0.25])}, (0, 1, "temperature"), smooth=True,
    ),
    Case("bad", (_BAD, _K[:4]), {"normalize": False, "temperature": 2.0, **_NONE}),
    Case("none_left", (_Q, _K), {"positive": np.full(4, -1)}),
    Case("large", (logits(200, 5), logits(800, 5)), {"num_negatives": 3, "temperature": 0.5},
         large=True),
]  # fmt: skip


def ORACLE(
    query, key, *, num_negatives=0, positive=None, temperature=0.02, normalize=True, where=None,
    weight=None, reduction="mean",
):  # fmt: skip
    z = products(unit(query, normalize), unit(key, normalize)) / column(temperature)
    own = np.arange(z.shape[0]) * (1 + num_negatives) if positive is None else positive
    live = apart(z, where) & (own != -1)[:, None]
    loss, seen = surprise(z, live, own)
    return reduced(loss, reduction, live=seen, weight=weight)


def DRAW(rng):
    n, h, d = rng.integers(1, 5), int(rng.integers(0, 3)), rng.integers(1, 5)
    arrays = rng.normal(size=(n, d)), rng.normal(size=(n * (1 + h), d))
    return Case("drawn", arrays, {"num_negatives": h, "temperature": 0.5})


def _is_info_nce_without_them(form, case):
    if case.options.get("num_negatives", 0) or "positive" in case.options:
        return None
    return form(*case.args, **case.options), am.info_nce(*case.args, **case.options)


def _order_of_negatives_does_not_matter(form, case):
    if case.options.get("num_negatives") != 1 or "where" in case.options:
        return None
    q, k = case.args
    own = np.arange(q.shape[0]) * 2
    options = {o: v for o, v in case.options.items() if o != "num_negatives"}
    shuffled = np.concatenate([k[own], k[own + 1][::-1]])
    places = np.arange(q.shape[0])
    return form(q, shuffled, positive=places, **options), form(q, k, **case.options)


IDENTITIES = (_is_info_nce_without_them, _order_of_negatives_does_not_matter)


def GOLDEN(load):
    z = load("gen2embed__info_nce_hard")
    for i in range(2):
        q, k = z[f"in_query_{i}"], z[f"in_target_{i}"]
        options = {
            "num_negatives": k.shape[0] // q.shape[0] - 1, "normalize": False,
            "temperature": float(z[f"in_temperature_{i}"]),
        }  # fmt: skip
        gradients = {0: z[f"out_grad_query_{i}"], 1: z[f"out_grad_target_{i}"]}
        case = Case(str(i), (q, k), options)
        yield Golden(case, z[f"out_loss_{i}"], np.ones(()), gradients, rtol=1e-11)
