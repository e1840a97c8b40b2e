"""`noprop_dt_loss`: discrete-time NoProp."""

import numpy as np

from anymax._conformance.oracles import log_weights, taking_part
from anymax.testing import Case, logits

_RNG = np.random.default_rng(23)
_X, _P, _U = logits(5, 4, seed=40), _RNG.normal(size=(5, 3)), _RNG.normal(size=(5, 3))
_Y = np.asarray([0, 3, 1, 2, 2])
_SNR = np.abs(_RNG.normal(size=5)) + 1.0
_PREV = _SNR * 0.5
_EDGES, _BAD = _X.copy(), _P.copy()
_EDGES[1, :2] = -np.inf
_EDGES[2] = -np.inf  # left out, whatever else its row holds
_BAD[2] = np.nan
_EDGES[3, 2] = -np.inf  # its own class
_EDGES[4] = [0.0, -np.inf, np.nan, 1.0]
_SAME = _PREV.copy()
_SAME[0] = _SNR[0]
_OPTIONS = {"alpha_bar_0": 0.25, "num_steps": 10}
_WRT = (0, 2, 3, 4, 5)

CASES = [
    Case(
        "edges", (_EDGES, _Y, _BAD, _U, _SNR, _SAME), {**_OPTIONS, "reduction": "none"}, wrt=_WRT,
        compiled=True,
    ),
    Case("mean", (_X, _Y, _P, _U, _SNR, _PREV), _OPTIONS, wrt=_WRT, smooth=True),
    Case(
        "soft", (_X, np.full((5, 4), 0.25), _P, _U, _SNR, _PREV),
        {**_OPTIONS, "alpha_bar_0": np.asarray(0.5), "eta": np.asarray(0.5)},
        wrt=(*_WRT, "alpha_bar_0", "eta"), smooth=True,
    ),
    Case("left_out", (_EDGES[:4], _Y[:4], _BAD[:4], _U[:4], _SNR[:4], _PREV[:4]), _OPTIONS, _WRT),
    Case("no_row", (np.zeros((0, 4)), np.zeros(0, int), *np.zeros((2, 0, 3)), *np.zeros((2, 0))),
         _OPTIONS),
]  # fmt: skip


def ORACLE(
    logits, target, prediction, embedding, snr, snr_prev, *, alpha_bar_0, num_steps, eta=0.1,
    reduction="mean",
):  # fmt: skip
    keep = taking_part(logits)
    live = keep.any(-1)
    hot = np.arange(logits.shape[-1]) == target[..., None] if target.ndim == 1 else target
    log_p = log_weights(logits, keep)
    terms = np.where(hot == 0, 0 * np.where(keep, log_p, 0), hot * -log_p)
    loss = np.sum(terms, axis=-1)
    d = embedding.shape[-1]
    loss += (
        alpha_bar_0 * np.sum(embedding**2, axis=-1) - d * (alpha_bar_0 + np.log1p(-alpha_bar_0))
    ) / 2
    square = np.sum((prediction - embedding) ** 2, axis=-1)
    loss += num_steps * eta * (snr - snr_prev) * square / 2
    loss = np.where(live, loss, 0)
    if reduction == "mean":
        return np.sum(loss) / max(np.sum(live), 1)
    return np.sum(loss) if reduction == "sum" else loss


def DRAW(rng):
    b, c, d = rng.integers(1, 5, size=3)
    x, y = rng.normal(size=(b, c)), rng.integers(0, c, size=b)
    u, snr = rng.normal(size=(2, b, d)), np.abs(rng.normal(size=b))
    return Case("random", (x, y, *u, snr + 1.0, snr), _OPTIONS)
