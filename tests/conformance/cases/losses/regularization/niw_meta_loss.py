"""`niw_meta_loss`: negative evidence bound of episodes."""

import numpy as np

import anymax as am
from anymax._conformance.examples import reduced
from anymax._conformance.niw import expected_kl, moments
from anymax.testing import Case

_ARGS = moments(np.random.default_rng(3), 2, 3, d=4)
_LOSS = np.random.default_rng(6).uniform(0.5, 4.0, size=(2, 3))
_COUNTS = {"l0": 2.0, "n0": 5.5}
_BAD = np.where(_LOSS > 2, np.nan, _LOSS)

CASES = [
    Case("mean", (_LOSS, *_ARGS), _COUNTS, compiled=True, smooth=True, condition=16.0),
    Case("episodes", (_LOSS, *_ARGS), {**_COUNTS, "reduction": "none"}, smooth=True,
         condition=16.0),
    Case("bad", (_BAD, *_ARGS), {**_COUNTS, "reduction": "none"}, compiled=True, condition=16.0),
    Case("nothing", (_LOSS[:0], *(x[:0] for x in _ARGS[:2]), *_ARGS[2:]), _COUNTS),
]  # fmt: skip
INTEGERS = ()


def ORACLE(episode_loss, mean, var, m0, v0, *, l0, n0, reduction="mean"):
    d = mean.shape[-1]
    kl = expected_kl(mean, var, m0, v0, l0, n0) + (d + d * np.log(np.longdouble(2))) / 2
    return reduced(episode_loss + kl, reduction)


def DRAW(rng):
    args = rng.uniform(size=3), *moments(rng, 3, d=2)
    return Case("drawn", args, {"l0": 2.0, "n0": 2.5}, condition=1e3)


def _loss_and_divergence(form, case):
    if case.options.get("reduction") != "none":
        return None
    loss, *rest = case.args
    d = rest[0].shape[-1]
    kl = am.expected_gaussian_niw_kl(*rest, l0=case.options["l0"], n0=case.options["n0"])
    return form(*case.args, **case.options), loss + kl + (d + d * np.log(2.0)) / 2


IDENTITIES = (_loss_and_divergence,)
