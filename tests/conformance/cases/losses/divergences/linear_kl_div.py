"""`linear_kl_div`: KL divergence between the softmaxes of two linear layers."""

import numpy as np

import anymax as am
from anymax.testing import Case, Golden, logits

_S, _T = logits(6, 3, seed=3).reshape(2, 3, 3) / 4.0, logits(6, 2, seed=5).reshape(2, 3, 2) / 4.0
_VS, _VT = logits(5, 3, seed=4) / 4.0, logits(5, 2, seed=6) / 4.0
_WEIGHT = np.asarray([[1.0, 0.5, 0.0], [2.0, 0.25, 1.5]])
_ROWS = {"reduction": "none"}
_FOUR = (_S, _VS, _T, _VT)


def _edges():
    """NaN: in a student, in a teacher, in a state masked altogether, in a class that is masked;
    large logits."""
    s, t, v, where = (
        _S.reshape(6, 3).copy(),
        _T.reshape(6, 2).copy(),
        _VS.copy(),
        np.ones((6, 5), bool),
    )
    s[0, 1] = t[1, 0] = s[2, 2] = t[2, 1] = np.nan
    s[3], t[4] = [256, -128, 64], [-256, 128]
    v[3, 1] = np.nan
    where[:, 3] = where[2] = False
    return Case("edges", (s, v, t, _VT), {"where": where, **_ROWS}, compiled=True, condition=8.0)


CASES = [
    _edges(),
    Case("mean", _FOUR, smooth=True, compiled=True, condition=4.0),
    Case("chunks", _FOUR, {"chunk_size": 4, "temperature": np.asarray(2.0), "weight": _WEIGHT,
                           "where": np.arange(5) != 1}, wrt=(0, 1, 2, 3, "temperature"),
         smooth=True, condition=4.0),
    Case("sum", _FOUR, {"temperature": 0.5, "reduction": "sum",
                        "where": np.asarray([[[True], [False], [True]]])}, condition=4.0),
    Case("itself", (_S, _VS, _S, _VS), _ROWS, wrt=(), condition=4.0),
    Case("one_state", (_S[0, 0], _VS, _T[0, 0], _VT), condition=4.0),
    Case("no_row", (np.zeros((0, 3)), _VS, np.zeros((0, 2)), _VT)),
]  # fmt: skip


def ORACLE(
    student_hidden, student_w, teacher_hidden, teacher_w, *, temperature=1.0, chunk_size=None,
    where=None, weight=None, reduction="mean",
):  # fmt: skip
    def log_softmax(h, w):
        x = np.sum(h[..., None, :] * w, axis=-1) / temperature
        x = np.where(~np.isfinite(h).all(-1)[..., None] | ~np.isfinite(w).all(-1), np.nan, x)
        keep = np.broadcast_to(True if where is None else where, x.shape)
        top = np.max(np.where(keep, x, -np.inf), axis=-1, keepdims=True)
        z = np.where(keep, x - np.where(top == -np.inf, 0, top), 0)
        s = np.sum(np.where(keep, np.exp(z), 0), axis=-1, keepdims=True)
        return np.where(keep, z - np.log(np.where(s == 0, 1, s)), 0), keep

    log_q, keep = log_softmax(student_hidden, student_w)
    log_p, _ = log_softmax(teacher_hidden, teacher_w)
    live = keep.any(-1)
    loss = np.sum(np.where(keep, np.exp(log_p) * (log_p - log_q), 0), axis=-1)
    each = np.where(live, 1 if weight is None else weight, 0)
    loss = np.where(each != 0, np.where(each != 0, loss, 0) * each, 0)
    if reduction == "none":
        return loss
    return np.sum(loss) / (each.sum() if reduction == "mean" and each.sum() else 1)


def _cross_entropy_less_entropy(form, case):
    s, v, t, u = case.args
    if set(case.options) - {"reduction"} or not np.isfinite(s).all():
        return None
    p = am.softmax(t @ u.T)
    return form(*case.args, **case.options), (
        am.cross_entropy(s @ v.T, p, **case.options) - am.cross_entropy(t @ u.T, p, **case.options)
    )


def _same_for_any_chunk(form, case):
    whole = {k: v for k, v in case.options.items() if k != "chunk_size"}
    return form(*case.args, **whole, chunk_size=1), form(*case.args, **whole)


def DRAW(rng):
    n, v, d, e = (int(m) for m in rng.integers(1, 7, size=4))
    four = (
        rng.normal(size=(n, d)),
        rng.normal(size=(v, d)),
        rng.normal(size=(n, e)),
        rng.normal(size=(v, e)),
    )
    return Case("drawn", four, {"chunk_size": int(rng.integers(1, 7))}, condition=8.0)


INTEGERS = ()
SILENT = True  # a row of NaN takes no part in the products: its gradient is 0
IDENTITIES = (_cross_entropy_less_entropy, _same_for_any_chunk)


def GOLDEN(load):
    """The paper's code; its gradients are those of the mean."""
    for n in range(2):
        z = load(f"pv-tuning__linear_kl_div_{n}")
        names = ("student_hidden", "student_weight", "teacher_hidden", "teacher_weight")
        args = tuple(z[f"in_{name}"] for name in names)
        options = {"chunk_size": int(z["in_chunk"]), **_ROWS}
        loss = z["out_loss"]
        grads = {i: z[f"out_d_{names[i]}"] for i in (0, 1)}
        yield Golden(
            Case(f"{n}", args, options), loss, np.full(loss.shape, 1 / loss.size), grads, rtol=1e-11
        )
