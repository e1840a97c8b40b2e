"""`linear_cross_entropy`: cross entropy of a linear layer."""

import numpy as np

import anymax as am
from anymax.testing import Case, Golden, logits

_INF, _NAN = np.inf, np.nan
_H = logits(6, 3, seed=3).reshape(2, 3, 3) / 2.0
_W = logits(5, 3, seed=4) / 2.0
_B = np.asarray([0.5, -0.25, 1.0, 0.0, -1.5])
_Y = np.asarray([[0, 4, 2], [3, -100, 1]])
_KEEP = np.arange(30).reshape(2, 3, 5) % 7 != 3
_WEIGHT = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_ROWS = {"reduction": "none", "return_lse": True}
_ALL = (0, 1, "bias")


def _edges():
    """A row an edge: plain, ignored, NaN, NaN masked, all masked, huge; a class of NaN that is
    masked but for the last row, a class of bias -inf."""
    h = np.asarray([[0.5, -1, 2], [1, 1, 1], [0.25, _NAN, 0], [_INF, 1, 0], [0, 1, _NAN],
                    [512, -256, 128], [1, 0.5, -1], [0.5, 0.5, 0.25]])  # fmt: skip
    w, where = _W.copy(), np.ones((8, 5), bool)
    w[3, 1] = _NAN
    where[:7, 3] = where[3] = where[4] = False
    bias = _B.copy()
    bias[1] = -_INF
    y = np.asarray([0, -100, 2, 3, 0, 4, 2, 2])
    return Case("edges", (h, w, y), {"bias": bias, "where": where, **_ROWS}, wrt=_ALL,
                compiled=True, condition=4.0)  # fmt: skip


CASES = [
    _edges(),
    Case("mean", (_H, _W, _Y), {"bias": _B}, wrt=_ALL, smooth=True, compiled=True, condition=2.0),
    Case("chunks", (_H, _W, _Y),
         {"chunk_size": 2, "softcap": 8.0, "label_smoothing": 0.25, "lse_square_scale": 0.125,
          "where": _KEEP, "reduction": "sum"}, smooth=True, condition=2.0),
    Case("weighted", (_H, _W, _Y), {"weight": _WEIGHT, "lse_square_scale": 0.125, "chunk_size": 4},
         wrt=(0, 1, "weight"), smooth=True, condition=2.0),
    Case("shifted", (_H, _W, _Y), {"shift": 1, "where": np.asarray([[[True], [True], [False]]]),
                                   **_ROWS}, condition=2.0),
    Case("hopeless", (_H, _W, _Y), {"where": np.arange(5) != 4, **_ROWS}, wrt=()),
    Case("one_state", (_H[0, 0], _W, np.asarray(2)), _ROWS, condition=2.0),
    Case("no_row", (np.zeros((0, 3)), _W, np.zeros(0, int))),
    Case("large", (logits(300, 16, seed=5) / 4.0, logits(700, 16, seed=6) / 4.0,
                   np.arange(300) * 7 % 700), {"chunk_size": 128}, large=True, condition=4.0),
]  # fmt: skip


def ORACLE(
    hidden, w, target, *, bias=None, where=None, weight=None, ignore_index=-100,
    label_smoothing=0.0, lse_square_scale=0.0, softcap=None, shift=0, chunk_size=None,
    reduction="mean", return_lse=False,
):  # fmt: skip
    x = np.sum(hidden[..., None, :] * w, axis=-1)
    if bias is not None:
        x = np.where(bias == -np.inf, -np.inf, x + np.where(bias == -np.inf, 0, bias))
    part = np.broadcast_to(True if where is None else where, x.shape)
    bad = ~np.isfinite(hidden).all(-1)[..., None] | ~np.isfinite(w).all(-1)
    x = np.where(bad & (x != -np.inf), np.nan, x)
    if shift:
        x, part, target = x[..., :-shift, :], part[..., :-shift, :], target[..., shift:]
    w = np.ones(x.shape[-1]) if weight is None else weight
    y = x if softcap is None else np.where(x == -np.inf, x, softcap * np.tanh(x / softcap))
    keep = part & (y != -np.inf)
    lse = _logsumexp(y, keep)
    hot = target[..., None] == np.arange(x.shape[-1])
    live = (lse != -np.inf) & (target != -100)
    t = w * ((1 - label_smoothing) * hot + part * label_smoothing / np.maximum(
        part.sum(-1, keepdims=True), 1))  # fmt: skip
    cost = np.sum(np.where(keep, t * (np.where(live, lse, 0)[..., None] - np.where(keep, y, 0)), 0),
                  axis=-1)  # fmt: skip
    cost = np.where(np.any((t > 0) & ~keep, axis=-1), cost + np.inf, cost)
    square = lse_square_scale * np.where(live, lse, 0) ** 2
    cost, square = np.where(live, cost, 0), np.where(live, square, 0)
    if reduction == "mean":
        count = np.sum(np.where(live, np.sum(hot * w, axis=-1), 0))
        cost = np.sum(cost) / count if count else np.sum(cost)
        square = np.sum(square) / max(live.sum(), 1)
    elif reduction == "sum":
        cost, square = np.sum(cost), np.sum(square)
    return (cost + square, lse) if return_lse else cost + square


def _logsumexp(y, keep):
    top = np.max(np.where(keep, y, -np.inf), axis=-1, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    s = np.sum(np.where(keep, np.exp(np.where(keep, y - top, 0)), 0), axis=-1)
    return np.where(s == 0, -np.inf, np.log(np.where(s == 0, 1, s)) + top[..., 0])


def DRAW(rng):
    n, v, d = (int(n) for n in rng.integers(1, 7, size=3))
    h, w = rng.normal(size=(n, d)), rng.normal(size=(v, d))
    options = {"bias": rng.normal(size=v), "chunk_size": int(rng.integers(1, 7))}
    return Case("drawn", (h, w, rng.integers(0, v, size=n)), options, condition=4.0)


def _cross_entropy_of_the_logits(form, case):
    """What cross_entropy gives for the logits, value by value."""
    h, w, y = case.args
    if not (np.isfinite(h).all() and np.isfinite(w).all()) or "shift" in case.options:
        return None
    options = {k: v for k, v in case.options.items() if k not in ("bias", "chunk_size")}
    x = h @ w.T + case.options.get("bias", 0.0)
    return form(*case.args, **case.options), am.cross_entropy(x, y, **options)


def _same_for_any_chunk(form, case):
    whole = {k: v for k, v in case.options.items() if k != "chunk_size"}
    return form(*case.args, **whole, chunk_size=1), form(*case.args, **whole)


INTEGERS = ()
SILENT = True  # a row of NaN takes no part in the products: its gradient is 0
IDENTITIES = (_cross_entropy_of_the_logits, _same_for_any_chunk)


def GOLDEN(load):
    """torch's composition; with the PaLM term too."""
    z = load("classic-fused-linear-ce__linear_cross_entropy")
    for n in range(3):
        args = (z[f"in_hidden_{n}"], z[f"in_weight_{n}"], z[f"in_target_{n}"])
        options = {
            "bias": z[f"in_bias_{n}"],
            "softcap": float(z[f"in_softcap_{n}"]) or None,
            "label_smoothing": float(z[f"in_label_smoothing_{n}"]),
        }
        names = {0: "hidden", 1: "weight", "bias": "bias"}
        both = z[f"out_loss_{n}"], z[f"out_lse_{n}"]
        yield Golden(Case(f"{n}_lse", args, {**options, "return_lse": True}), both)
        yield Golden(
            Case(f"{n}", args, options, wrt=_ALL),
            z[f"out_loss_{n}"],
            np.ones(()),
            {slot: z[f"out_grad_{name}_{n}"] for slot, name in names.items()},
        )
        yield Golden(
            Case(f"{n}_square", args, {**options, "lse_square_scale": 1e-4}, wrt=(0, 1)),
            z[f"out_loss_with_z1e-4_{n}"],
            np.ones(()),
            {slot: z[f"out_gradz_{names[slot]}_{n}"] for slot in (0, 1)},
        )
