"""`adaptive_log_softmax`: log-probabilities of an adaptive softmax."""

import numpy as np

import anymax as am
from anymax.testing import Case, Golden

_RNG = np.random.default_rng(38)


def _case(name, batch=(2, 3), features=4, shortlist=3, tails=((3, 2), (2, 4)), bias=False, **rest):
    """Tails are pairs of a width and a number of classes."""
    head = shortlist + len(tails)
    pairs = tuple(
        (_RNG.normal(size=(width, features)), _RNG.normal(size=(n, width))) for width, n in tails
    )
    args = (_RNG.normal(size=(*batch, features)), _RNG.normal(size=(head, features)), pairs)
    options = {"head_bias": _RNG.normal(size=head)} if bias else {}
    return Case(name, args, options, **rest)


_ALL = (0, 1, (2, 0, 0), (2, 0, 1), (2, 1, 0), (2, 1, 1))


def _edges():
    """A row of NaN, large logits, a masked class and a masked cluster that holds NaN."""
    case = _case("edges", batch=(4,), bias=True, wrt=(0, 1, "head_bias"), compiled=True,
                 condition=16.0)  # fmt: skip
    x, _, tails = case.args
    x[1, 0], x[2] = np.nan, 512.0
    tails[1][1][2] = np.nan
    case.options["head_bias"][[1, 4]] = -np.inf
    return case


CASES = [
    _case("smooth", smooth=True, compiled=True, condition=2.0),
    _case("bias", bias=True, wrt=(*_ALL, "head_bias"), smooth=True, condition=2.0),
    _edges(),
    _case("one_row", batch=(), condition=2.0),
    _case("no_tail", tails=(), smooth=True),
    _case("one_class_each", shortlist=1, tails=((1, 1),)),
    _case("no_row", batch=(0,)),
    _case("large", batch=(40,), shortlist=90, tails=((3, 80), (2, 70)), large=True, condition=2.0),
]


def _log_softmax(x):
    keep = x != -np.inf
    top = np.max(x, axis=-1, keepdims=True, where=keep, initial=-np.inf)
    z = np.where(keep, x - np.where(top == -np.inf, 0, top), 0)
    s = np.sum(np.where(keep, np.exp(z), 0), axis=-1, keepdims=True)
    return np.where(keep, z - np.log(np.where(s == 0, 1, s)), -np.inf)


def _product(x, w):
    return np.sum(x[..., None, :] * w, axis=-1)


def ORACLE(x, head_w, tails, *, head_bias=None):
    bias = np.zeros(head_w.shape[0]) if head_bias is None else head_bias
    head = _log_softmax(np.where(bias == -np.inf, -np.inf, _product(x, head_w) + bias))
    shortlist = head_w.shape[0] - len(tails)
    pieces = [head[..., :shortlist]]
    for i, (project, out) in enumerate(tails):
        share = head[..., shortlist + i, None]
        tail = _log_softmax(_product(_product(x, project), out))
        pieces.append(np.where(share == -np.inf, -np.inf, share + tail))
    return np.concatenate(pieces, axis=-1)


def DRAW(rng):
    batch = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    features, shortlist, clusters = (int(n) for n in rng.integers(1, 5, size=3))
    pairs = []
    for _ in range(clusters - 1):
        width, n = rng.integers(1, 5, size=2)
        pairs.append((rng.normal(size=(width, features)), rng.normal(size=(n, width))))
    head = rng.normal(size=(shortlist + len(pairs), features))
    return Case("drawn", (rng.normal(size=(*batch, features)), head, tuple(pairs)), condition=4.0)


def _sums_to_one(form, case):
    p = np.exp(form(*case.args, **case.options))
    if np.isnan(p).any():
        return None
    return np.sum(p, axis=-1), np.ones(p.shape[:-1])


def _softmax_without_tails(form, case):
    x, head, tails = case.args
    return None if tails else (form(x, head, ()), am.log_softmax(x @ head.T))


INTEGERS = (0, 1)
IDENTITIES = (_sums_to_one, _softmax_without_tails)


def GOLDEN(load):
    z = load("classic-adaptive-softmax__headbias")
    tails = tuple((z[f"in_tail{i}_proj"], z[f"in_tail{i}_out"]) for i in range(3))
    args = (z["in_x"], z["in_head_weight"], tails)
    yield Golden(Case("bias", args, {"head_bias": z["in_head_bias"]}), z["out_log_prob"])
