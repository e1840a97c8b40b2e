"""`soft_q_loss`: squared distance of the values of actions taken from their targets."""

import numpy as np

from anymax.testing import Case, logits

_Q = logits(5, 5, seed=49)  # so that targets meet it without an action, too
_Y = np.asarray([0.5, -1.0, 2.0, 0.25, 1.0])
_A = np.asarray([0, 2, 1, -1, 2])
_KEEP = np.asarray([True, True, False, True, True])
_BAD = _Q.copy()
_BAD[0, 1] = _BAD[2] = _BAD[3] = np.nan  # not taken, masked, no action
_TARGET = _Y.copy()
_TARGET[2] = np.inf
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 1.0, 0.0])

CASES = [
    Case("edges", (_BAD, _TARGET), {"action": _A, "where": _KEEP, "reduction": "none"}, wrt=(0,),
         compiled=True),
    Case("taken", (_Q[:, 0], _Y), wrt=(0,), smooth=True, compiled=True),
    Case("weighted", (_Q, _Y), {"action": _A, "weight": _WEIGHT}, wrt=(0, "weight"), smooth=True,
         condition=16.0),
    Case("nothing", (_BAD, _Y), {"action": np.full(5, -1)}, wrt=(0,)),
]  # fmt: skip
INTEGERS = (0, 1)


def ORACLE(q, target, *, action=None, where=None, weight=None, reduction="mean"):
    keep = np.broadcast_to(True if where is None else where, target.shape)
    if action is not None:
        keep = keep & (action >= 0)
        q = np.take_along_axis(q, np.maximum(action, 0)[..., None], -1)[..., 0]
    count = np.where(keep, 1.0 if weight is None else weight, 0.0)
    loss = np.where(count != 0, (q - target) ** 2 / 2 * count, 0)
    if reduction == "mean":
        return np.sum(loss) / np.sum(count) if np.sum(count) else np.zeros(())
    return np.sum(loss) if reduction == "sum" else loss


def DRAW(rng):
    n = rng.integers(1, 6)
    return Case("random", (rng.normal(size=n), rng.normal(size=n)), condition=1e4)
