"""`noprop_ct_loss`: continuous-time NoProp."""

import numpy as np

from anymax._conformance.oracles import log_weights, taking_part
from anymax.testing import Case, logits

_RNG = np.random.default_rng(24)
_X, _P, _U = logits(4, 4, seed=41), _RNG.normal(size=(4, 3)), _RNG.normal(size=(4, 3))
_Y = np.asarray([0, 3, 1, 2])
_RATE = np.abs(_RNG.normal(size=4)) + 0.5
_EDGES, _BAD = _X.copy(), _P.copy()
_EDGES[2] = -np.inf
_BAD[2] = np.nan
_WRT = (0, 2, 3, 4)

CASES = [
    Case(
        "edges", (_EDGES, _Y, _BAD, _U, _RATE), {"alpha_bar_0": 0.25, "reduction": "none"},
        wrt=_WRT, compiled=True,
    ),
    Case("mean", (_X, _Y, _P, _U, _RATE), {"alpha_bar_0": 0.0}, wrt=_WRT, smooth=True),
    Case(
        "arrays", (_X, _Y, _P, _U, _RATE),
        {"alpha_bar_0": np.asarray(0.5), "eta": np.asarray(0.5), "reduction": "sum"},
        wrt=(*_WRT, "alpha_bar_0", "eta"), smooth=True,
    ),
]  # fmt: skip


def ORACLE(
    logits, target, prediction, embedding, snr_rate, *, alpha_bar_0, eta=1.0, reduction="mean"
):
    keep = taking_part(logits)
    live = keep.any(-1)
    loss = -np.take_along_axis(log_weights(logits, keep), target[..., None], -1)[..., 0]
    d = embedding.shape[-1]
    loss += (
        alpha_bar_0 * np.sum(embedding**2, axis=-1) - d * (alpha_bar_0 + np.log1p(-alpha_bar_0))
    ) / 2
    loss += eta * snr_rate * np.sum((prediction - embedding) ** 2, axis=-1) / 2
    loss = np.where(live, loss, 0)
    if reduction == "mean":
        return np.sum(loss) / max(np.sum(live), 1)
    return np.sum(loss) if reduction == "sum" else loss


def limit_of_discrete_time(form, case):
    """One of T steps counts T-fold, and its difference of ratios is rate / T."""
    from anymax import noprop_dt_loss

    x, y, p, u, rate = case.args
    if not np.isfinite(x).all():
        return None
    options = {"eta": 1.0, **case.options, "num_steps": 8}
    return form(*case.args, **case.options), noprop_dt_loss(
        x, y, p, u, rate / 8, 0 * rate, **options
    )


def DRAW(rng):
    b, c, d = rng.integers(1, 5, size=3)
    x, y = rng.normal(size=(b, c)), rng.integers(0, c, size=b)
    return Case(
        "random", (x, y, *rng.normal(size=(2, b, d)), rng.normal(size=b)), {"alpha_bar_0": 0.5}
    )


IDENTITIES = (limit_of_discrete_time,)
