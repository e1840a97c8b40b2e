"""Sinkhorn normalisation in the log domain."""

import numpy as np

from anymax._conformance.oracles import logsumexp, taking_part
from anymax.testing import Case, Golden, logits

_RNG = np.random.default_rng(9)
_X = logits(8, 3, seed=4).reshape(2, 4, 3) / 4.0
_S = _RNG.normal(size=(4, 4))
_A, _B = np.asarray([0.25, 0.5, 0.125, 0.125]), np.asarray([0.5, 0.25, 0.25])
_EDGES = np.stack(
    [
        [[0.5, -np.inf, 1.0], [2.0, 0.0, -np.inf], [-1.0, 0.5, 0.25], [0.0, 1.0, -2.0]],
        [[-np.inf] * 3, [2.0, 0.0, -np.inf], [-1.0, 0.5, -np.inf], [0.0, 1.0, -np.inf]],
        [[np.nan, -np.inf, 1.0], [2.0, 0.0, -np.inf], [-1.0, 0.5, 0.25], [0.0, 1.0, -2.0]],
        [[np.inf, -np.inf, 1.0], [2.0, 0.0, -np.inf], [-1.0, 0.5, 0.25], [0.0, 1.0, -2.0]],
        [[400.0, -400.0, 1.0], [2.0, 0.0, 300.0], [-1.0, 0.5, 0.25], [0.0, 1.0, -2.0]],
    ]
)
_MASK = np.ones(_EDGES.shape, bool)
_MASK[2, 0, 0] = _MASK[3, 0] = _MASK[0, :, 2] = False

CASES = [
    Case("edges", (_EDGES,), {"num_iters": 2}, compiled=True, condition=1e3),
    Case("masked", (_EDGES,), {"num_iters": 2, "where": _MASK}, compiled=True, condition=1e3),
    Case("smooth", (_X,), {"num_iters": 3}, smooth=True, condition=16.0),
    Case("square", (_S,), {"temperature": 0.5, "num_iters": 5}, smooth=True, condition=64.0),
    Case(
        "sums", (_X,), {"a": _A, "b": _B, "num_iters": 3}, wrt=(0, "a", "b"), smooth=True,
        condition=16.0,
    ),
    Case("row_sums", (_X,), {"a": _A, "num_iters": 2}, wrt=(0, "a"), condition=16.0),
    Case("column_sums", (_X,), {"b": _B, "num_iters": 2}, wrt=(0, "b"), condition=16.0),
    Case("empty_row", (_X,), {"a": _A * [1, 0, 1, 1], "b": _B * [0, 1, 1], "num_iters": 2},
         condition=16.0),
    Case(
        "temperatures", (_X,), {"temperature": np.asarray([[[0.5]], [[3.0]]]), "num_iters": 3},
        wrt=(0, "temperature"), condition=64.0,
    ),
    Case("no_row", (np.zeros((0, 3)),), {"num_iters": 1}),
    Case("no_problem", (np.zeros((0, 2, 3)),), {"num_iters": 2}),
    Case("one", (np.asarray([[0.5]]),)),
]  # fmt: skip


def ORACLE(scores, *, a=None, b=None, where=None, temperature=1.0, num_iters=20, tol=None):
    keep = taking_part(scores, where)
    *lead, n, m = scores.shape
    if a is None:
        a = np.ones(n) * (1 if b is None else np.sum(b) / n)
    if b is None:
        b = np.ones(m) * np.sum(a, axis=-1, keepdims=True) / m
    a, b = np.broadcast_to(a, (*lead, n)), np.broadcast_to(b, (*lead, m))
    keep = keep & ~(a == 0)[..., :, None] & ~(b == 0)[..., None, :]
    z = np.where(keep, scores, 0) / temperature
    z = np.where(np.isfinite(z), z, np.nan)
    f = np.zeros((*lead, n), np.longdouble)
    for _ in range(num_iters):
        lse = logsumexp(np.where(keep, z + f[..., None], -np.inf), keep, -2)
        g = np.where(lse == -np.inf, 0, np.log(np.where(b > 0, b, 1)) - lse)
        lse = logsumexp(np.where(keep, z + g[..., None, :], -np.inf), keep, -1)
        f = np.where(lse == -np.inf, 0, np.log(np.where(a > 0, a, 1)) - lse)
    return np.where(keep, np.exp(np.where(keep, f[..., None] + z + g[..., None, :], 0)), 0)


def rows_sum(form, case):
    x, a = case.args[0], case.options.get("a")
    if not np.isfinite(x).all() or "where" in case.options or "b" in case.options:
        return None
    p = np.sum(np.asarray(form(x, **case.options)), axis=-1)
    return p, np.broadcast_to(1.0 if a is None else a, p.shape)


def constants_of_rows_and_columns_drop_out(form, case):
    x = case.args[0]
    if not np.isfinite(x).all() or x.size == 0:
        return None
    shift = np.arange(x.shape[-2])[:, None] / 4.0
    return form(x + shift, **{**case.options, "num_iters": 200}), form(
        x, **{**case.options, "num_iters": 200}
    )


IDENTITIES = (rows_sum, constants_of_rows_and_columns_drop_out)


def GOLDEN(load):
    """POT after exactly ten iterations; scores are minus the costs."""
    for name in ("square", "smallreg"):
        z = load(f"classic-sinkhorn__{name}")
        options = {"a": z["in_a"], "b": z["in_b"], "temperature": float(z["in_reg"])}
        case = Case(name, (-z["in_cost"],), {**options, "num_iters": 10})
        yield Golden(case, z["out_plan_10_iterations"], rtol=1e-10)
