"""`adaptive_log_prob`: log-probability of one class of an adaptive softmax."""

import numpy as np

import anymax as am
from anymax.testing import Case, Golden

_RNG = np.random.default_rng(39)
_ALL = (0, 2, (3, 0, 0), (3, 0, 1), (3, 1, 0), (3, 1, 1))


def _case(name, batch=(2, 3), features=4, shortlist=3, tails=((3, 2), (2, 4)), bias=False, **rest):
    head = shortlist + len(tails)
    pairs = tuple(
        (_RNG.normal(size=(width, features)), _RNG.normal(size=(n, width))) for width, n in tails
    )
    classes = shortlist + sum(n for _, n in tails)
    x, target = _RNG.normal(size=(*batch, features)), _RNG.integers(0, classes, size=batch)
    options = {"head_bias": _RNG.normal(size=head)} if bias else {}
    return Case(name, (x, target, _RNG.normal(size=(head, features)), pairs), options, **rest)


def _edges():
    """A row of NaN, large logits, a masked class and a masked cluster as targets."""
    case = _case("edges", batch=(6,), bias=True, wrt=(0, 2, "head_bias"), compiled=True,
                 condition=16.0)  # fmt: skip
    x, target, _, _ = case.args
    x[1, 0], x[2] = np.nan, 512.0
    target[:] = 0, 4, 3, 1, 8, 4
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
    _case("large", batch=(90,), shortlist=90, tails=((3, 80), (2, 70)), large=True, condition=2.0),
]


def _log_softmax(x):
    keep = x != -np.inf
    top = np.max(x, axis=-1, keepdims=True, where=keep, initial=-np.inf)
    z = np.where(keep, x - np.where(top == -np.inf, 0, top), 0)
    s = np.sum(np.where(keep, np.exp(z), 0), axis=-1, keepdims=True)
    return np.where(keep, z - np.log(np.where(s == 0, 1, s)), -np.inf)


def ORACLE(x, target, head_w, tails, *, head_bias=None):
    """Row by row."""
    bias = np.zeros(head_w.shape[0]) if head_bias is None else head_bias
    shortlist = head_w.shape[0] - len(tails)
    out = np.zeros(target.shape, x.dtype)
    for row in np.ndindex(target.shape):
        y = target[row]
        products = np.sum(x[row] * head_w, axis=-1) + bias
        head = _log_softmax(np.where(bias == -np.inf, -np.inf, products))
        if y < shortlist:
            out[row] = head[y]
            continue
        y = y - shortlist
        for i, (project, classes) in enumerate(tails):
            if 0 <= y < classes.shape[0]:
                z = np.sum(np.sum(x[row] * project, axis=-1) * classes, axis=-1)
                share = head[shortlist + i]
                out[row] = share if share == -np.inf else share + _log_softmax(z)[y]
            y = y - classes.shape[0]
    return out


def DRAW(rng):
    batch = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    features, shortlist, clusters = (int(n) for n in rng.integers(1, 5, size=3))
    pairs = []
    for _ in range(clusters - 1):
        width, n = rng.integers(1, 5, size=2)
        pairs.append((rng.normal(size=(width, features)), rng.normal(size=(n, width))))
    head = rng.normal(size=(shortlist + len(pairs), features))
    classes = shortlist + sum(out.shape[0] for _, out in pairs)
    x, target = rng.normal(size=(*batch, features)), rng.integers(0, classes, size=batch)
    return Case("drawn", (x, target, head, tuple(pairs)), condition=4.0)


def _gathers_the_log_softmax(form, case):
    x, target, head, tails = case.args
    whole = am.adaptive_log_softmax(x, head, tails, **case.options)
    expected = np.take_along_axis(whole, target[..., None], axis=-1)[..., 0]
    return form(*case.args, **case.options), expected


INTEGERS = (0, 2)
IDENTITIES = (_gathers_the_log_softmax,)


def GOLDEN(load):
    z = load("classic-adaptive-softmax__headbias")
    tails = tuple((z[f"in_tail{i}_proj"], z[f"in_tail{i}_out"]) for i in range(3))
    args = (z["in_x"], z["in_target"], z["in_head_weight"], tails)
    yield Golden(Case("bias", args, {"head_bias": z["in_head_bias"]}), z["out_output"])
