"""`activation_dense_to_sparse_gate`: softmax gate with a temperature, of activated scores."""

import numpy as np

from anymax._conformance.oracles import taking_part, weights
from anymax.testing import Case, logits, row_cases

_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_BIAS = np.asarray([0.5, -1.0, 0.25, 1.5])

CASES = [
    *row_cases(),
    Case("tanh", (_X,), {"activation": "tanh", "temperature": 0.25}, smooth=True),
    Case("gelu", (_X / 4.0,), {"activation": "gelu"}, smooth=True, condition=8.0),
    Case("relu", (_X,), {"activation": "relu", "bias": _BIAS}, wrt=(0, "bias")),
    Case("inside", (_X,), {"bias": _BIAS, "bias_inside": True}, wrt=(0, "bias"), smooth=True),
    Case("callable", (_X,), {"activation": lambda x: x * x / 8.0}),
    Case("axis", (_X,), {"bias": _BIAS[:2], "axis": 0}, wrt=(0, "bias")),
    Case(
        "temperatures", (_X,), {"bias": _BIAS, "temperature": np.asarray([[[0.5]], [[3.0]]])},
        wrt=(0, "bias", "temperature"), smooth=True, condition=16.0,
    ),
]  # fmt: skip

_FUNCTIONS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "gelu": lambda x: x / 2 * (1 + np.tanh(_ROOT * (x + np.longdouble(0.044715) * x**3))),
    "relu": lambda x: np.where(x > 0, x, 0 * x),
}
_ROOT = np.sqrt(np.longdouble(2) / np.longdouble(np.pi))


def ORACLE(
    scores, *, activation="sigmoid", bias=None, bias_inside=False, axis=-1, where=None,
    temperature=1.0,
):  # fmt: skip
    act = _FUNCTIONS.get(activation, activation)
    b = 0.0 if bias is None else bias
    if axis == 0 and bias is not None:
        b = bias[:, None, None]
    keep = taking_part(scores, where)
    x = np.where(keep, np.where(scores == np.inf, np.nan, scores), 0)
    y = act(x + b) if bias_inside else act(x) + b
    return weights(y / temperature, keep, axis)


def identity_is_the_plain_gate(form, case):
    from anymax import dense_to_sparse_gate

    options = {k: v for k, v in case.options.items() if k not in ("activation", "bias_inside")}
    x = case.args[0]
    if not np.isfinite(x).all():
        return None
    return form(x, activation=lambda x: x, **options), dense_to_sparse_gate(x, **options)


IDENTITIES = (identity_is_the_plain_gate,)
