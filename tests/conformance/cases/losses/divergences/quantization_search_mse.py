"""`quantization_search_mse`: mean squared error of outputs, row by row or group by group."""

import numpy as np

from anymax.testing import Case, logits

_W, _R = (logits(3, 6, seed=i) / 8.0 for i in (1, 2))
_X = logits(5, 6, seed=3) / 8.0
_BAD = np.asarray([[np.nan, 1.0], [0.5, 0.25]])

CASES = [
    Case("rows", (_W, _R, _X), compiled=True, smooth=True, condition=64.0),
    Case("groups", (_W, _R, _X), {"group_size": 2}, smooth=True, condition=64.0),
    Case("bad", (_BAD, np.ones((2, 2)), np.eye(2)), {"group_size": 1}, wrt=(0,), compiled=True),
    Case("nothing", (_W, _R, np.zeros((0, 6)))),
]
INTEGERS = (0, 1, 2)


def ORACLE(w, reference, x, *, group_size=None):
    width = w.shape[1]
    size = width if group_size is None else group_size
    errors = [
        np.sum((x[:, i : i + size] @ (w - reference)[:, i : i + size].T) ** 2, axis=0)
        for i in range(0, width, size)
    ]
    y = np.stack(errors, axis=-1) / max(x.shape[0], 1)
    return y[:, 0] if group_size is None else y


def DRAW(rng):
    o, i, n = rng.integers(1, 6, size=3)
    args = rng.normal(size=(o, i)), rng.normal(size=(o, i)), rng.normal(size=(n, i))
    return Case("drawn", args, condition=1e3)


def _mean_of_the_gram_form(form, case):
    from anymax.losses import activation_mse

    if "group_size" in case.options or not case.args[2].shape[0]:
        return None
    w, reference, x = case.args
    return form(w, reference, x), activation_mse(w, reference, x.T @ x / x.shape[0])


IDENTITIES = (_mean_of_the_gram_form,)
