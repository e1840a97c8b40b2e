"""`voronoi_loss`: distance between the experts of two mixtures."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(13)


def _params(rng, e, d):
    shapes = (e,), (e, d), (e, d), (e,)
    return (*(rng.normal(size=s) for s in shapes), rng.uniform(0.5, 2.0, size=e))


_FIT, _TRUE = _params(_RNG, 6, 2), _params(_RNG, 3, 2)
_ALL = tuple((i, j) for i in range(2) for j in range(5))
_TEMPERATURE = (np.asarray(1.5), np.asarray(2.0))

CASES = [
    Case("exact", (_FIT, _TRUE), {"k": 2}, wrt=_ALL, compiled=True, smooth=True, condition=8.0),
    Case("over", (_FIT, _TRUE), {"kind": "over"}, wrt=_ALL, smooth=True, condition=64.0),
    Case("order", (_FIT, _TRUE), {"kind": "dense_to_sparse", "order": 2.5,
         "temperature": _TEMPERATURE}, wrt=(*_ALL, ("temperature", 0)), smooth=True,
         condition=16.0),
    Case("activation", (_FIT, _TRUE), {"kind": "activation", "temperature": _TEMPERATURE,
         "rbar": 8.0, "a_power": 3.0}, wrt=_ALL, smooth=True, condition=64.0),
    Case("equal", (_TRUE, _TRUE), wrt=(), compiled=True),
]  # fmt: skip
INTEGERS = ()


def ORACLE(
    params, true_params, *, kind="exact", k=None, order=1, rbar=7, temperature=1.0, a_power=None
):  # fmt: skip
    t, t_true = temperature if isinstance(temperature, tuple) else (temperature, temperature)
    weights, true_weights = np.exp(params[0] / t), np.exp(true_params[0] / t_true)
    size, n = len(weights), len(true_weights)

    def change(i, j):
        pairs = zip(params[1:], true_params[1:])
        b1, a, b, v = (np.sqrt(np.sum((x[i] - y[j]) ** 2)) for x, y in pairs)
        return np.asarray([b1, abs(t - t_true), a, b, v], np.longdouble)

    near = [
        min(range(n), key=lambda j: (np.sum(change(i, j)[[0, 2, 3, 4]] ** 2), j))
        for i in range(size)
    ]
    terms = []
    for j in range(n):
        cell = [i for i in range(size) if near[i] == j]
        total = abs(sum(weights[i] for i in cell) - true_weights[j])
        powers = np.full(5, order, np.longdouble)
        if kind in ("over", "activation"):
            r = {0: 1, 1: 1, 2: 4, 3: 6}.get(len(cell), rbar)
            two = (r, r, r / 2) if kind == "over" else (2, 2, 2)
            powers = np.asarray([*two, r, r / 2] if len(cell) > 1 else [1] * 5, np.longdouble)
            if len(cell) > 1 and a_power is not None:
                powers[2] = a_power
        terms.append(total + sum(weights[i] * np.sum(change(i, j) ** powers) for i in cell))
    return np.sum(np.sort(np.asarray(terms))[::-1][: n if k is None else k])


def DRAW(rng):
    d = rng.integers(1, 4)
    args = _params(rng, rng.integers(1, 6), d), _params(rng, rng.integers(1, 4), d)
    return Case("drawn", args, condition=32.0)


def _order_of_experts_does_not_matter(form, case):
    turned = (tuple(x[::-1].copy() for x in params) for params in case.args)
    return form(*turned, **case.options), form(*case.args, **case.options)


def _all_cells_are_the_sum(form, case):
    if case.name != "exact":
        return None
    return form(*case.args, k=3), form(*case.args)


IDENTITIES = (_order_of_experts_does_not_matter, _all_cells_are_the_sum)
