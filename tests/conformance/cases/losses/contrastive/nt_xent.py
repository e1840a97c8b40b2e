"""`nt_xent`: finding each view's twin among all views."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.pairs import apart, column, products, surprise, unit
from anymax.testing import Case, logits

_A, _B = logits(3, 4, seed=1), logits(3, 4, seed=2)
_S, _T = logits(6, 3, seed=3).reshape(2, 3, 3), logits(6, 3, seed=4).reshape(2, 3, 3)
_NONE = {"reduction": "none"}

# View 1 of the second batch (4) holds NaN and is masked, view 0 has its twin masked.
_WHERE = np.ones((6, 6), bool)
_WHERE[4], _WHERE[:, 4], _WHERE[0, 3], _WHERE[5, 0] = (False,) * 4
_HOLES = _B.copy()
_HOLES[1, 2] = np.nan
_BAD = _A.copy()
_BAD[2, 0] = np.inf

CASES = [
    Case("edges", (_A, _HOLES), {"where": _WHERE, **_NONE}, compiled=True),
    Case(
        "mean", (_S, _T), {"temperature": np.asarray(0.25)}, (0, 1, "temperature"),
        compiled=True, smooth=True,
    ),
    Case(
        "weighted", (_A, _B),
        {"weight": np.asarray([1.0, 0.0, 0.5, 2.0, 1.0, 0.25]), "temperature": np.asarray(
            [0.5, 1.0, 2.0, 0.25, 0.5, 1.0])}, (0, 1, "temperature", "weight"), smooth=True,
    ),
    Case("bad", (_BAD, _B), _NONE),
    Case("one", (_A[:1], _B[:1]), _NONE),
    Case("dropped", (_A, _B), {"where": _WHERE[:, 4:5], "normalize": False, "temperature": 8.0}),
    Case("large", (logits(250, 5), logits(250, 5, seed=1)), large=True),
]  # fmt: skip


def ORACLE(z_a, z_b, *, temperature=0.5, normalize=True, where=None, weight=None, reduction="mean"):
    v = np.concatenate([unit(z_a, normalize), unit(z_b, normalize)], axis=-2)
    n = v.shape[-2]
    z = products(v, v) / column(temperature)
    twin = (np.arange(n) + n // 2) % n
    loss, live = surprise(z, apart(z, where, diagonal=False), twin)
    return reduced(loss, reduction, live=live, weight=weight)


def _is_supervised_with_pairs(form, case):
    if "where" in case.options or case.args[0].shape[-2] < 2 or not np.isfinite(case.args[0]).all():
        return None
    both = np.concatenate(case.args, axis=-2)
    examples = np.concatenate([np.arange(case.args[0].shape[-2])] * 2)
    examples = np.broadcast_to(examples, both.shape[:-1])
    options = {"temperature": 0.5, **case.options}
    return form(*case.args, **case.options), am.supervised_contrastive_loss(
        both, examples, **options
    )


def _views_commute(form, case):
    if "where" in case.options or "weight" in case.options or "reduction" in case.options:
        return None
    return form(*case.args[::-1], **case.options), form(*case.args, **case.options)


IDENTITIES = (_is_supervised_with_pairs, _views_commute)
