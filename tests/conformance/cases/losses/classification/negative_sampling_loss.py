"""`negative_sampling_loss`: negative sampling of word2vec."""

import numpy as np

from anymax._conformance.sampled import by_columns, drawn, sampled_cases

CASES = sampled_cases(corrected=False)
DRAW = drawn


def _cost(t, s, number, lost):
    return np.sum(np.logaddexp(0, -t)) + np.sum(np.logaddexp(0, s))


def ORACLE(
    x, w, target, sampled, *, bias=None, remove_accidental_hits=False, where=None, weight=None,
    reduction="mean",
):  # fmt: skip
    return by_columns(
        _cost, x, w, target, sampled, bias=bias, hits=remove_accidental_hits, where=where,
        weight=weight, reduction=reduction,
    )  # fmt: skip


def _binary_cross_entropies(form, case):
    x, w, target, sampled = case.args
    if set(case.options) - {"reduction"} or target.ndim > 1:
        return None
    right, wrong = np.sum(x * w[target], axis=-1), x @ w[sampled].T
    loss = np.logaddexp(0, -right) + np.logaddexp(0, wrong).sum(axis=-1)
    return form(x, w, target, sampled, reduction="none"), loss


IDENTITIES = (_binary_cross_entropies,)
