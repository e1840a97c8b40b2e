"""`dense_to_sparse_gate`: softmax gate with a temperature."""

from dataclasses import replace

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_BIAS = np.asarray([0.5, -1.0, 0.25, 1.5])


def _biased(case):
    n = case.args[0].shape[-1]
    return replace(case, options={**case.options, "bias": np.arange(n) % 3 / 4.0 - 0.25})


CASES = [
    *row_cases(),
    replace(_biased(row_cases()[0]), name="edges_biased", wrt=(0, "bias")),
    Case("biased", (_X,), {"bias": _BIAS}, wrt=(0, "bias"), smooth=True),
    Case("masked_bias", (_X,), {"bias": np.where(_BIAS == 0.25, -np.inf, _BIAS)}),
    Case("biases", (_X,), {"bias": _X[::-1] / 2.0, "axis": 1}, wrt=(0, "bias")),
    Case("bias_along_axis", (_X,), {"bias": _BIAS[:2], "axis": 0}, wrt=(0, "bias")),
    Case(
        "temperatures", (_X,), {"bias": _BIAS, "temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, "bias", "temperature"), smooth=True, condition=16.0,
    ),
]  # fmt: skip


def ORACLE(scores, *, bias=None, axis=-1, where=None, temperature=1.0):
    x = scores
    if bias is not None:
        along = bias.ndim == 1 and isinstance(axis, int)
        b = (
            np.moveaxis(np.broadcast_to(bias, (*(1,) * (x.ndim - 1), bias.size)), -1, axis)
            if (along)
            else bias
        )
        x = np.where((x == -np.inf) | (b == -np.inf), -np.inf, x + b)
    return weights(x / temperature, taking_part(x, where), axis)


def scale_drops_out(form, case):
    """Scores, bias and temperature times a constant: the same gate."""
    x, options = case.args[0], dict(case.options)
    if not np.isfinite(x).all() or not x.size:
        return None
    options["temperature"] = 4.0 * np.asarray(options.get("temperature", 1.0))
    if options["temperature"].ndim == 0:
        options["temperature"] = float(options["temperature"])
    if "bias" in options:
        options["bias"] = 4.0 * options["bias"]
    return form(4.0 * x, **options), form(x, **case.options)


IDENTITIES = (scale_drops_out,)
