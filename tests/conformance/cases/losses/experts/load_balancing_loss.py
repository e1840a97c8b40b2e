"""`load_balancing_loss`: shares of tokens times shares of probability."""

import numpy as np

import anymax as am
from anymax.testing import Case, Golden, logits

_P = am.softmax(logits(10, 4, seed=1) / 4.0).reshape(2, 5, 4)
_ONE = np.arange(10).reshape(2, 5) % 4
_TWO = np.stack([_ONE, (_ONE * 3 + 1) % 4], axis=-1)
_TWO[1, 3] = -1
_TOKENS = np.arange(10).reshape(2, 5, 1) % 3 != 1
_ALONE = np.stack([np.ones((5, 1), bool), np.zeros((5, 1), bool)])
_COUNTS = np.asarray([7, 3, 0, 10])

CASES = [
    Case("one", (_P, _ONE), compiled=True, smooth=True),
    Case("two", (_P, _TWO), {"k": 2, "coeff": 1.0}, smooth=True),
    Case("masked", (np.where(_TOKENS, _P, np.nan), _TWO), {"k": 2, "where": _TOKENS},
         compiled=True),
    Case("masked_experts", (_P, _ONE), {"where": np.arange(4) != 2}),
    Case("empty_sequence", (_P, _ONE), {"where": _ALONE}),
    Case("nothing", (_P[0], _ONE[0]), {"where": np.zeros((5, 1), bool)}),
    Case("no_token", (np.zeros((0, 3)), np.zeros((0,), int))),
]  # fmt: skip


def ORACLE(probs, assignment, *, k=1, counts=None, coeff=1e-2, where=None):
    tokens, experts = probs.shape[-2:]
    size = int(np.prod(probs.shape[:-2]))
    keep = np.broadcast_to(True if where is None else where, probs.shape)
    keep = keep.reshape(size, tokens, experts)
    p = np.where(keep, probs.reshape(keep.shape), 0)
    picks = assignment.reshape(len(p), tokens, k)
    total, groups = np.longdouble(0.0), 0
    for g in range(len(p)):
        n = np.sum(keep[g].any(axis=-1))
        if n == 0:
            continue
        groups += 1
        for e in range(experts):
            count = np.sum((picks[g] == e).any(axis=-1) & keep[g, :, e])
            total += coeff * experts * count / (n * k) * np.sum(p[g, :, e]) / n
    return total / max(groups, 1)


def DRAW(rng):
    t, e = rng.integers(1, 6, size=2)
    return Case("drawn", (rng.uniform(size=(t, e)), rng.integers(0, e, size=t)))


def _counts_are_assignments_counted(form, case):
    if case.name != "one":
        return None
    p, y = case.args[0][0], case.args[1][0]
    return form(p, None, counts=np.bincount(y, minlength=4)), form(p, y)


def _masked_tokens_may_be_left_out(form, case):
    if case.name != "masked":
        return None
    p, y = (x[0] for x in case.args)
    keep = case.options["where"][0, :, 0]
    return form(p, y, k=2, where=keep[:, None]), form(p[keep], y[keep], k=2)


IDENTITIES = (_counts_are_assignments_counted, _masked_tokens_may_be_left_out)


def GOLDEN(load):
    """Megatron's gradient is that of the logits; tests/test_losses_experts.py has it."""
    z = load("classic-moe-aux__load_balance_zloss")
    for n in range(3):
        x, k = z[f"in_logits_{n}"], int(z[f"in_topk_{n}"])
        picks = np.argsort(-x, axis=-1, kind="stable")[:, :k]
        options = {"k": k, "coeff": float(z[f"in_aux_coeff_{n}"])}
        yield Golden(Case(str(n), (am.softmax(x), picks), options), z[f"out_aux_{n}"])
