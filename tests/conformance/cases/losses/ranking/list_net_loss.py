"""Cases of list_net_loss."""

import numpy as np

from anymax._conformance.examples import log_softmax, reduced
from anymax._conformance.identities import shift_invariant
from anymax._conformance.lists import drawn_list, list_cases, padded
from anymax.testing import Case, Golden

CASES = list_cases((0, 1))
CASES += [
    CASES[1].with_("raw", softmax_target=False, compiled=False),
    CASES[2].with_("capped", eps=2.0**-6),
]
DRAW = drawn_list


def ORACLE(
    s, r, *, softmax_target=True, eps=0.0, axis=-1, where=None, weight=None, reduction="mean"
):
    s, r = np.moveaxis(s, axis, -1), np.moveaxis(r, axis, -1).astype(np.longdouble)
    allowed = np.broadcast_to(where is None or where, s.shape) != 0
    keep = allowed & (s != -np.inf)
    loss, live = np.zeros(s.shape[:-1], np.longdouble), keep.any(axis=-1)
    for row in np.ndindex(s.shape[:-1]):
        z, t, seen = s[row][allowed[row]], r[row][allowed[row]], keep[row][allowed[row]]
        if not live[row]:
            continue
        if not (np.isfinite(z[seen]).all() and np.isfinite(t).all()):
            loss[row] = np.nan
            continue
        t = np.exp(log_softmax(t)) if softmax_target else t
        logp = np.full(z.shape, -np.inf, np.longdouble)
        logp[seen] = log_softmax(z[seen])
        logp = np.log(np.exp(logp) + eps) if eps else logp
        loss[row] = -np.sum(np.where(t == 0, 0.0, t * np.where(t == 0, 0.0, logp)))
    return reduced(loss, reduction, live=live, weight=weight)


IDENTITIES = (shift_invariant,)


def GOLDEN(load):
    """allRank's listNet and optax.losses.ranking_softmax_loss."""
    z = load("classic-ranking__ranking")
    for n in range(2):
        args, options = padded(load, n)
        yield Golden(
            Case(f"allrank_{n}", args, {**options, "eps": 1e-10}, wrt=(0,)),
            z[f"out_listnet_{n}"],
            np.asarray(1.0),
            {0: z[f"out_grad_listnet_{n}"]},
        )
        raw = {**options, "softmax_target": False, "reduction": "none"}
        yield Golden(Case(f"optax_{n}", args, raw), z[f"out_optax_ranking_softmax_{n}"])
