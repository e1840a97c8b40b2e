"""`optimistic_hedge`: optimistic Hedge: softmax of summed losses and a guess of the next one."""

import numpy as np

from anymax._conformance.oracles import weights
from anymax.testing import Case

_RNG = np.random.default_rng(12)
_L, _M = _RNG.uniform(size=(2, 5, 3)), _RNG.uniform(size=(2, 5, 3))
_EDGES = np.stack([_L[0]] * 4)
_EDGES[0, 1, 0] = np.inf  # an expert ends,
_EDGES[0, 2:, 0] = np.nan  # and its later losses are not looked at
_EDGES[1, 2, 1] = np.nan
_EDGES[2, 1] = np.inf
_EDGES[3, 3, 2] = -np.inf
_PRIOR = np.asarray([0.0, -np.inf, 1.0])

CASES = [
    Case("edges", (_EDGES,), {"eta": 0.5}, compiled=True),
    Case("edges_hinted", (_EDGES,), {"eta": 0.5, "hints": np.where(_EDGES < 0.3, np.inf, _L[0])}),
    Case("smooth", (_L,), {"eta": 2.0}, smooth=True),
    Case("priors", (_L,), {"eta": 1.0, "log_prior": _M[:, 0]}, wrt=(0, "log_prior"),
         smooth=True),
    Case(
        "etas", (_L,), {"eta": np.asarray([1.0, 0.5, 2.0, 0.0, 0.25]), "hints": _M},
        wrt=(0, "eta", "hints"), smooth=True, compiled=True,
    ),
    Case("prior", (_L,), {"eta": 1.0, "log_prior": _PRIOR}, wrt=(0, "log_prior")),
    Case("one_round", (_L[0, :1],), {"eta": 1.0}),
    Case("no_round", (_L[0, :0],), {"eta": 1.0}),
    Case("one_expert", (_L[..., :1],), {"eta": 1.0}),
]  # fmt: skip


def ORACLE(losses, *, eta, hints=None, log_prior=None):
    *lead, rounds, n = losses.shape
    eta = np.broadcast_to(np.asarray(eta, np.longdouble), (rounds,))
    log_w = np.zeros((*lead, n), np.longdouble)
    log_w = log_w + (0 if log_prior is None else log_prior)
    plays = np.zeros(losses.shape, np.longdouble)
    for t in range(rounds):
        previous = losses[..., t - 1, :] if t else np.zeros((*lead, n))
        hint = previous if hints is None else hints[..., t, :]
        plays[..., t, :] = _play(log_w, eta[t], hint)
        log_w = _moved(log_w, eta[t], losses[..., t, :])
    return plays


def _moved(log_w, eta, loss):
    step = np.where((eta == 0) & np.isinf(loss), 0, eta * loss)
    return np.where((log_w == -np.inf) | (step == np.inf), -np.inf, log_w - step)


def _play(log_w, eta, hint):
    z = _moved(log_w, eta, hint)
    return weights(np.where(z == np.inf, np.nan, z), z != -np.inf)


def DRAW(rng):
    t, n = rng.integers(1, 5, size=2)
    return Case("drawn", (rng.normal(size=(2, t, n)),), {"eta": 0.5})


def a_constant_in_each_round_changes_nothing(form, case):
    x = case.args[0]
    if not np.isfinite(x).all() or "hints" in case.options:
        return None
    return form(x + np.arange(x.shape[-2])[:, None], **case.options), form(x, **case.options)


def without_hints_it_is_mirror_descent(form, case):
    from anymax import entropic_mirror_step

    x, eta = case.args[0], case.options["eta"]
    if not np.isfinite(x).all() or len(case.options) > 1:
        return None
    plays = np.asarray(form(x, eta=eta, hints=np.zeros_like(x)))
    if x.shape[-2] < 2:
        return None
    log_w = np.zeros(plays[..., 0, :].shape)
    for t in range(x.shape[-2] - 1):
        log_w = entropic_mirror_step(log_w, x[..., t, :], eta=eta)
    return np.exp(log_w), plays[..., -1, :]


IDENTITIES = (a_constant_in_each_round_changes_nothing, without_hints_it_is_mirror_descent)
