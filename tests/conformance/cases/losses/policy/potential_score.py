"""`potential_score`: potential of a partial sample, from its scores so far."""

import numpy as np

from anymax.testing import Case, Golden

_RNG = np.random.default_rng(70)
_X, _H = _RNG.normal(size=5), _RNG.normal(size=(5, 3))
_BAD, _PAST = _X.copy(), _H.copy()
_BAD[0], _PAST[1, 2], _PAST[2, 0] = np.nan, np.nan, -np.inf
_BAD[3] = _PAST[3, 1] = 4.0  # ties
_MIXED = {"history": _PAST}

CASES = [
    Case("top_k", (_BAD,), {**_MIXED, "kind": "top_k", "k": 2}, wrt=(0, "history"), compiled=True,
         condition=64.0),
    Case("max", (_X,), {"history": _H, "kind": "max"}, wrt=(0, "history"), smooth=True,
         compiled=True),
    Case("sum", (_X,), {"history": _H, "kind": "sum"}, wrt=(0, "history"), condition=64.0),
    Case("diff", (_BAD,), {**_MIXED, "kind": "diff"}, wrt=(0, "history"), condition=64.0),
    Case("value", (_X,), {"history": _H}),
    Case("few", (_X,), {"history": _H, "kind": "top_k", "k": 9}, condition=64.0),
    Case("start", (_X,), {"kind": "diff"}),
    Case("no_history", (_X,), {"history": _H[:, :0], "kind": "sum"}),
]  # fmt: skip


def ORACLE(score, *, history=None, kind="value", k=None):
    if history is None or kind == "value" or not history.shape[-1]:
        return score + 0
    if kind == "diff":
        return score - history[..., -1]
    every = np.concatenate([history, score[..., None]], axis=-1)
    if kind == "sum":
        return np.sum(every, axis=-1)
    return np.sum(np.sort(every, axis=-1)[..., -(k if kind == "top_k" else 1) :], axis=-1)


def GOLDEN(load):
    """TTS-VAR: logarithms of its unnormalised weights, float32."""
    z = load("tts-var__potential")
    score, history = z["in_score"].astype(float), z["in_scores_record"][:, :5].astype(float)
    for kind in ("value", "diff", "sum", "max", "top_k"):
        key = "topk_2" if kind == "top_k" else kind
        options = {"kind": kind, **({"k": 2} if kind == "top_k" else {})}
        for index, past in ((0, None), (5, history)):
            case = Case(f"{kind}_{index}", (score,), {**options, "history": past})
            expected = np.log(z[f"out_{key}_lam1.0_idx{index}"].astype(float))
            yield Golden(case, expected, rtol=1e-6)
