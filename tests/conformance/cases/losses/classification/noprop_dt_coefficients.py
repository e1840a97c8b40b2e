"""`noprop_dt_coefficients`: how a step of NoProp mixes prediction, state and noise."""

import numpy as np

from anymax.testing import Case

_STEPS = np.asarray([0.125, 0.25, 0.5, 0.75, 0.875])
_EDGES = np.asarray([[0.0, 0.0, 0.25, 0.25, 1.0, 1.0], [0.5, 0.75, 0.75, 0.875, 0.9375, 1.0]])

CASES = [
    Case("edges", (_EDGES,), wrt=(), compiled=True),
    Case("smooth", (_STEPS,), smooth=True),
    Case("one", (_STEPS[:1],)),
]


def ORACLE(alpha_bar):
    lead, n = alpha_bar.shape[:-1], alpha_bar.shape[-1] - 1
    a, b, c = (np.zeros((*lead, n), np.longdouble) for _ in range(3))
    for place in np.ndindex((*lead, n)):
        row = alpha_bar[place[:-1]]
        s, t = row[place[-1]], row[place[-1] + 1]
        if s == t:
            b[place] = 1
            continue
        share = s / t
        a[place] = np.sqrt(t) * (1 - share) / (1 - s)
        b[place] = np.sqrt(share) * (1 - t) / (1 - s)
        c[place] = (1 - t) * (1 - share) / (1 - s)
    return a, b, c


def marginals_are_kept(form, case):
    s = case.args[0]
    a, b, c = form(s)
    before, after = s[..., :-1], s[..., 1:]
    mean = a + b * np.sqrt(before)
    return np.stack([mean, b * b * (1 - before) + c]), np.stack([np.sqrt(after), 1 - after])


def DRAW(rng):
    return Case("random", (np.sort(rng.uniform(size=5)),), condition=16.0)


IDENTITIES = (marginals_are_kept,)
