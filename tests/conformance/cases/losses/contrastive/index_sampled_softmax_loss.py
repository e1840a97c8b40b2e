"""`index_sampled_softmax_loss`: cross entropy with an estimated normaliser."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.pairs import lse
from anymax.testing import Case, logits

_TOP, _REST = logits(6, 4, seed=1), logits(6, 3, seed=2)
_OWN = _TOP[:, 1].copy()
_HOLES, _NAN, _LOST = _TOP.copy(), _REST.copy(), _OWN.copy()
_HOLES[1, 1] = _LOST[1] = -np.inf  # costs +inf
_HOLES[2], _NAN[2], _LOST[2] = (-np.inf,) * 3  # nothing
_HOLES[3], _NAN[4], _LOST[3] = (np.nan,) * 3  # row 3 is masked, row 4 NaN
_KEEP = np.arange(6) != 3
_NONE = {"reduction": "none"}

CASES = [
    Case("edges", (_LOST, _HOLES, _NAN), {"num_classes": 12, "where": _KEEP, **_NONE},
         compiled=True),
    Case("mean", (_OWN, _TOP, _REST), {"num_classes": 100, "weight": np.arange(6) / 4.0},
         compiled=True, smooth=True),
    Case("all_found", (_OWN, _TOP, _REST[:, :0]), {"num_classes": 4, "reduction": "sum"}),
    Case("one_row", (np.asarray(_OWN[0]), _TOP[0], _REST[0]), {"num_classes": 5}),
]  # fmt: skip


def ORACLE(
    target_logit, top_logits, sample_logits, *, num_classes, axis=-1, where=None, weight=None,
    reduction="mean",
):  # fmt: skip
    top, rest = np.moveaxis(top_logits, axis, -1), np.moveaxis(sample_logits, axis, -1)
    loss, live = np.zeros(target_logit.shape, np.longdouble), np.zeros(target_logit.shape, bool)
    k, m = top.shape[-1], rest.shape[-1]
    for row in np.ndindex(loss.shape):
        tail = rest[row] + np.log(np.longdouble(num_classes - k) / m) if num_classes > k else []
        z = np.concatenate([top[row], tail])
        z = z[z != -np.inf]
        live[row] = z.size > 0 and (where is None or np.broadcast_to(where, loss.shape)[row])
        if live[row]:
            own = target_logit[row]
            loss[row] = np.inf if own == -np.inf else lse(z) - own
    return reduced(loss, reduction, live=live, weight=weight)


def DRAW(rng):
    n, k, m = rng.integers(1, 4), rng.integers(1, 5), rng.integers(1, 5)
    top, rest = rng.normal(size=(n, k)), rng.normal(size=(n, m))
    return Case("drawn", (top[:, 0], top, rest), {"num_classes": int(k + rng.integers(0, 50))})


def _is_cross_entropy_with_all_found(form, case):
    own, top, rest = case.args
    if case.options["num_classes"] != top.shape[-1]:
        return None
    labels = np.ones(own.shape, int)
    return form(own, top, rest, **case.options), am.cross_entropy(top, labels, reduction="sum")


IDENTITIES = (_is_cross_entropy_with_all_found,)
INTEGERS = (0, 1, 2)
