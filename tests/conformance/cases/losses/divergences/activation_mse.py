"""`activation_mse`: squared error of the outputs of a layer."""

import numpy as np

from anymax.testing import Case, Golden, logits

_W, _R = (logits(6, 4, seed=i).reshape(2, 3, 4) / 8.0 for i in (1, 2))
_X = logits(5, 4, seed=3) / 8.0
_GRAM = _X.T @ _X
_BAD = np.asarray([[np.nan, 1.0], [0.5, 0.25]])

CASES = [
    Case("batch", (_W, _R, _GRAM), compiled=True, smooth=True, condition=16.0),
    Case("one_reference", (_W, _R[0], np.eye(4)), smooth=True, condition=8.0),
    Case("bad", (_BAD, np.ones((2, 2)), np.eye(2)), compiled=True),
    Case("no_input", (np.zeros((3, 0)), np.zeros((3, 0)), np.zeros((0, 0)))),
]
INTEGERS = (0, 1, 2)


def ORACLE(w, reference, gram):
    d = w - reference
    return np.sum((d @ gram) * d, axis=-1)


def DRAW(rng):
    o, i, n = rng.integers(1, 6, size=3)
    x = rng.normal(size=(n, i))
    args = rng.normal(size=(o, i)), rng.normal(size=(o, i)), x.T @ x
    return Case("drawn", args, condition=1e3)


def _plain_error_for_the_identity(form, case):
    if case.name != "one_reference":
        return None
    w, reference, _ = case.args
    return form(*case.args), np.sum((w - reference) ** 2, axis=-1)


IDENTITIES = (_plain_error_for_the_identity,)


def GOLDEN(load):
    """The official code expands the square, which costs digits."""
    z = load("pv-tuning__activation_mse")
    case = Case("official", (z["in_weight"], z["in_reference_weight"], z["in_xtx"]))
    yield Golden(case, z["out_error"], rtol=1e-10)
