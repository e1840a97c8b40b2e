"""`vocab_parallel_cross_entropy`: cross entropy of logits whose classes lie in several arrays."""

import numpy as np

import anymax as am
from anymax._conformance.rows import edge_logits
from anymax.testing import Case, Golden, logits

_EDGES, _WHERE = edge_logits()
_LABELS = np.asarray([2, 0, 4, 0, 3, 2, 5, 1, -100])
_X = logits(6, 5, seed=8).reshape(2, 3, 5)
_Y = np.asarray([[0, 4, 2], [3, -100, 1]])
_ROWS = {"reduction": "none"}


def _split(x, *ends):
    return tuple(np.split(x, ends, axis=-1))


CASES = [
    Case("edges", (_split(_EDGES, 2, 2), _LABELS), {"where": _WHERE, **_ROWS}, compiled=True),
    Case("smoothed_edges", (_split(_EDGES, 2), _LABELS),
         {"where": _WHERE, "label_smoothing": 0.25, **_ROWS}),
    Case("mean", (_split(_X, 1, 4), _Y), smooth=True, compiled=True),
    Case("others", (_split(_X, 2), _Y), {"label_smoothing": 0.25, "smoothing": "others"},
         smooth=True),
    Case("sum", (_split(_X, 3), _Y), {"label_smoothing": 0.25, "reduction": "sum",
                                      "where": np.asarray([[[True], [False], [True]]])},
         smooth=True),
    Case("masked_target", ((_X,), _Y), {"where": np.arange(5) != 3, **_ROWS}, wrt=()),
    Case("one_class", ((logits(4, 1),), np.zeros(4, int)),
         {"label_smoothing": 0.25, "smoothing": "others"}, smooth=True),
    Case("no_row", (_split(np.zeros((0, 4)), 2), np.zeros(0, int))),
]  # fmt: skip


def ORACLE(
    logit_shards, target, *, where=None, ignore_index=-100, label_smoothing=0.0,
    smoothing="uniform", reduction="mean",
):  # fmt: skip
    x = np.concatenate(logit_shards, axis=-1)
    part = np.broadcast_to(True if where is None else where, x.shape)
    keep = part & (x != -np.inf)
    top = np.max(np.where(keep, x, -np.inf), axis=-1, keepdims=True, initial=-np.inf)
    top = np.where(top == -np.inf, 0, np.where(top == np.inf, np.nan, top))
    z = np.where(keep, np.where(keep, x, 0) - top, 0)
    s = np.sum(np.where(keep, np.exp(z), 0), axis=-1)
    live = (target != ignore_index) & (s != 0)
    hot = np.maximum(target, 0)[..., None] == np.arange(x.shape[-1])
    count = part.sum(-1, keepdims=True)
    rest = part & ~hot if smoothing == "others" else part
    share = np.where(rest, label_smoothing / np.maximum(rest.sum(-1, keepdims=True), 1), 0)
    left = label_smoothing * (count > 1) if smoothing == "others" else label_smoothing
    t = (1 - left) * hot + share
    log_p = np.where(keep, z - np.log(np.where(s == 0, 1, s))[..., None], 0)
    loss = -np.sum(t * log_p, axis=-1)
    loss = np.where(np.any((t > 0) & ~keep, axis=-1), loss + np.inf, loss)
    loss = np.where(live, loss, 0)
    if reduction == "none":
        return loss
    return np.sum(loss) / (max(live.sum(), 1) if reduction == "mean" else 1)


def DRAW(rng):
    n, *sizes = (int(m) for m in rng.integers(1, 6, size=int(rng.integers(2, 5))))
    shards = tuple(rng.normal(size=(n, size)) for size in sizes)
    options = {"label_smoothing": 0.25, "smoothing": str(rng.choice(["uniform", "others"]))}
    return Case("drawn", (shards, rng.integers(0, sum(sizes), size=n)), options)


def _joined(form, case):
    """The cross entropy of the joined logits, however they are split."""
    shards, y = case.args
    if case.options.get("smoothing") == "others":
        return None
    joint = np.concatenate(shards, axis=-1)
    return form(shards, y, **case.options), am.cross_entropy(joint, y, **case.options)


def _split_elsewhere(form, case):
    shards, y = case.args
    joint = np.concatenate(shards, axis=-1)
    return form(shards, y, **case.options), form(_split(joint, 1), y, **case.options)


INTEGERS = ()
IDENTITIES = (_joined, _split_elsewhere)


def GOLDEN(load):
    """Megatron-LM on two ranks, in float32."""
    z = load("classic-vocab-parallel-ce__vocab_parallel")
    for n in range(2):
        shards = tuple(np.split(z[f"in_logits_{n}"].astype(float), 2, axis=-1))
        grads = np.split(z[f"out_grad_{n}"], 2, axis=-1)
        yield Golden(
            Case(f"{n}", (shards, z[f"in_target_{n}"]), _ROWS),
            z[f"out_loss_{n}"],
            z[f"in_cotangent_{n}"],
            {(0, 0): grads[0], (0, 1): grads[1]},
            rtol=2e-6,
        )
