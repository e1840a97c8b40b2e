"""Cases of weston_watkins_loss."""

import numpy as np

import anymax as am
from anymax._conformance.identities import shift_invariant
from anymax._conformance.margins import hinges, label_cases, of_labels

CASES = label_cases()
ORACLE = of_labels(lambda z, i, power, margin: np.sum(hinges(z, i, margin) ** power))


def _is_multi_margin_times_the_number_of_classes(form, case):
    x, y = case.args
    if set(case.options) - {"power", "margin"} or not np.isfinite(x).all() or not x.size:
        return None
    return form(x, y, **case.options), x.shape[-1] * am.multi_margin_loss(x, y, **case.options)


def _at_least_crammer_singer(form, case):
    x, y = case.args
    if case.options or not np.isfinite(x).all():
        return None
    excess = form(x, y, reduction="none") - am.crammer_singer_loss(x, y, reduction="none")
    return np.minimum(excess, 0.0), np.zeros(y.shape)


IDENTITIES = (
    shift_invariant,
    _is_multi_margin_times_the_number_of_classes,
    _at_least_crammer_singer,
)
