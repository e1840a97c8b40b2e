"""`minimum_bayes_risk`: action of the largest expected utility."""

import numpy as np

from anymax.testing import Case

_P = np.asarray([[0.25, 0.5, 0.25], [0.125, 0.125, 0.75]])
_U = np.asarray([[1.0, -2.0], [0.5, 4.0], [-8.0, 0.25]])
_BAD = np.asarray([[np.nan, 1.0, 2.0], [1.0, np.inf, 0.5]])
_KEEP = np.asarray([[False, True, True], [True, False, True]])

CASES = [
    Case("plain", (_P, np.stack([_U, -_U])), wrt=(0, 1), compiled=True),
    Case("shared", (_P, _U), wrt=(0, 1)),
    Case("masked", (_BAD, np.stack([_U, _U])), {"where": _KEEP}, compiled=True),
    Case("masked_utility", (_P, np.where(_KEEP[..., None], _U, np.nan)), {"where": _KEEP}),
    Case("nobody", (_P, np.stack([_U, _U])), {"where": np.asarray([[False], [True]])}),
    Case("one_state", (_P[0, :1], _U[:1])),
    Case("ties", (_P[0], np.ones((3, 4))), wrt=()),
]
INTEGERS = (1,)


def ORACLE(probs, utility, *, where=None):
    if where is not None:
        where = np.broadcast_to(where, probs.shape)
        probs, utility = np.where(where, probs, 0), np.where(where[..., None], utility, 0)
    expected = np.sum(probs[..., None] * utility, axis=-2)
    return np.argmax(expected, axis=-1), expected


def DRAW(rng):
    p = rng.dirichlet(np.ones(3), size=2)
    return Case("drawn", (p, rng.uniform(size=(2, 3, 4)) + 4.0 * np.arange(4)))


def _shifted_utility(form, case):
    """A constant added to a state's utilities changes no decision."""
    if case.name != "plain":
        return None
    p, u = case.args
    return form(p, u + np.asarray([[1.0], [2.0], [4.0]]))[0], form(p, u)[0]


IDENTITIES = (_shifted_utility,)
