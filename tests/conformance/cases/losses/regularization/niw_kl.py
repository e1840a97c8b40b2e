"""`niw_kl`: divergence between normal-inverse-Wishart distributions."""

import numpy as np

from anymax._conformance.niw import digamma_sum, log_gamma_sum, moments
from anymax.testing import Case

_M, _V, _, _ = moments(np.random.default_rng(3), d=4)
_MU, _SIGMA, _, _ = moments(np.random.default_rng(4), d=4)
_COUNTS = {"l0": 3.0, "n0": 7.5, "lambda0": 0.5, "nu0": 5.0}

CASES = [
    Case("plain", (_M, _V, _MU, _SIGMA), _COUNTS, compiled=True, smooth=True, condition=64.0),
    Case("one", (_M[:1], _V[:1], _MU[:1], _SIGMA[:1]), _COUNTS, smooth=True, condition=64.0),
    Case("bad", (np.where(_M > 0, np.nan, _M), _V, _MU, _SIGMA), _COUNTS, compiled=True),
]
INTEGERS = ()


def ORACLE(m0, v0, mu0, sigma0, *, l0, n0, lambda0, nu0):
    d = len(m0)
    ratio = np.longdouble(lambda0) / l0
    square = np.sum((m0 - mu0) ** 2 / v0)
    location = (d * ratio - d - d * np.log(ratio) + lambda0 * n0 * square) / 2
    logs = nu0 * (np.sum(np.log(v0)) - np.sum(np.log(sigma0))) / 2
    trace = n0 * (np.sum(sigma0 / v0) - d) / 2
    gammas = log_gamma_sum(nu0 / 2, d) - log_gamma_sum(n0 / 2, d)
    return location + logs + trace + gammas + (n0 - nu0) * digamma_sum(n0 / 2, d) / 2


def DRAW(rng):
    d = int(rng.integers(1, 5))
    (m, v, _, _), (mu, sigma, _, _) = moments(rng, d=d), moments(rng, d=d)
    return Case("drawn", (m, v, mu, sigma), {**_COUNTS, "nu0": 4.5}, condition=1e3)


def _nothing_between_equals(form, case):
    m, v, *_ = case.args
    if np.isnan(m).any():
        return None
    return form(m, v, m, v, l0=2.0, n0=5.0, lambda0=2.0, nu0=5.0), 0.0


IDENTITIES = (_nothing_between_equals,)
