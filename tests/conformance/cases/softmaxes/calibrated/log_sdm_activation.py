"""`log_sdm_activation`: logarithm of the similarity-distance-magnitude activation."""

import numpy as np

from anymax._conformance.oracles import log_weights, taking_part
from anymax.testing import Case, Golden, logits, row_cases

_RNG = np.random.default_rng(23)
_X = logits(6, 4, seed=3).reshape(2, 3, 4)
_Q, _D = np.rint(9 * _RNG.uniform(size=(2, 3, 1))), _RNG.uniform(size=(2, 3, 1))
_EDGES, _MASKED = row_cases()[:2]
_ONE_Q, _ONE_D = np.asarray([[1.5]]), np.asarray([[0.75]])

CASES = [
    Case("edges", (*_EDGES.args, _ONE_Q, _ONE_D), {"axis": -1}, (0,), compiled=True, condition=2e3),
    Case("edges_masked", (*_MASKED.args, _ONE_Q, _ONE_D), {**_MASKED.options, "axis": -1}, (0,),
         compiled=True, condition=2e3),
    Case("batch", (_X, _Q, _D), smooth=True, condition=16.0),
    Case("natural", (_X, _Q, _D), {"base": "e"}, smooth=True, condition=16.0),
    Case("masked", (_X, _Q, _D), {"where": _X < 1}, smooth=True, condition=16.0),
    Case("floor", (_X, _Q, _D), {"eps": 1e-4}, smooth=True, condition=16.0),
    Case("masked_rows", (_X, np.where(_Q > 4, np.nan, _Q), _D), {"where": _Q <= 4},
         condition=16.0),
    Case("no_class", (np.zeros((3, 0)), _Q[0], _D[0])),
    Case("scalar", (np.asarray(0.75), np.asarray(1.0), np.asarray(0.5))),
]  # fmt: skip
INTEGERS = (0, 1, 2)


def ORACLE(x, q, d, *, base="2+q", eps=0.0, axis=-1, where=None):
    keep = taking_part(x, where)
    x = np.where(keep, np.where(x == np.inf, np.nan, x), 0)
    log_base = np.where(keep, np.log(2 + q), 1)
    z = np.where(keep, d, 0) * log_base * x
    y = log_weights(z, keep, axis)
    if eps:
        e = np.where(
            keep, np.exp(z - np.max(z, axis=axis, keepdims=True, where=keep, initial=-np.inf)), 0
        )
        y = np.log(e + eps) - np.log(np.sum(e, axis=axis, keepdims=True) + eps)
    return np.where(keep, y if base == "e" else y / log_base, -np.inf)


def DRAW(rng):
    n, c = rng.integers(1, 6, size=2)
    args = rng.normal(size=(n, c)), 9 * rng.uniform(size=(n, 1)), rng.uniform(size=(n, 1))
    return Case("drawn", args, condition=8.0)


def logarithm_of_the_activation(form, case):
    from anymax import sdm_activation

    if case.options.get("base") != "e":
        return None
    options = {k: v for k, v in case.options.items() if k not in ("base", "eps")}
    return np.exp(form(*case.args, **case.options)), sdm_activation(*case.args, **options)


IDENTITIES = (logarithm_of_the_activation,)


def GOLDEN(load):
    """The official logarithms, with their floor."""
    for name in ("small", "edge"):
        z = load(f"sdm__sdm_activation_{name}")
        args = z["in_logits"], z["in_q"][:, None], z["in_d"][:, None]
        eps = {"eps": float(z["in_eps"])}
        n, c = z["in_logits"].shape
        hit = z["in_labels"][:, None] == np.arange(c)
        case = Case(name, args, eps, wrt=(0,))  # the official loss is the mean of -log p
        grads = {0: z["out_grad_logits"]}
        yield Golden(case, z["out_log_sdm_base_2pq"], hit / -n, grads, rtol=1e-11)
        natural = Case(f"{name}_natural", args, {**eps, "base": "e"})
        yield Golden(natural, z["out_log_sdm_natural"], rtol=1e-11)
