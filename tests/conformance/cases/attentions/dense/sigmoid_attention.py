"""`sigmoid_attention`: every key weighed on its own."""

import numpy as np

import anymax as am
from anymax._conformance.attention import (
    attended,
    attention_case,
    attention_edges,
    attention_options,
)
from anymax.testing import Case, Golden

_RNG = np.random.default_rng(35)

CASES = [
    attention_case(_RNG, "plain", smooth=True, compiled=True),
    attention_edges(_RNG, offset=0.5),
    attention_options(_RNG, offset=0.25, length_power=0.5),
    attention_case(_RNG, "by_keys", count="keys", length_power=1.0, offset=0.0, causal=True),
    attention_case(_RNG, "offset_array", offset=np.asarray(-1.5), wrt=(0, 1, 2, "offset"),
                   causal=True, smooth=True),
    attention_case(_RNG, "biased", bias=_RNG.normal(size=(2, 4, 5)), offset=np.asarray(0.5),
                   wrt=(0, "bias", "offset")),
    attention_case(_RNG, "bare", offset=-0.5, compiled=False),
    attention_case(_RNG, "huge_scores", spread=60.0, condition=4e3),
    attention_case(_RNG, "no_keys", keys=0),
    attention_case(_RNG, "decode", queries=1, keys=70, features=16, values=16, causal=True),
    attention_case(_RNG, "tiles", queries=65, keys=81, features=19, values=11, causal=True,
                   window=(40, 0), softcap=5.0, large=True),
]  # fmt: skip


def ORACLE(q, k, v, *, offset=None, length_power=0.0, count="visible", **options):
    offset = -np.log(np.longdouble(max(k.shape[-2], 1))) if offset is None else offset

    def weights(s):
        n = len(s) if count == "visible" else k.shape[-2]
        return np.where(s > -9000, 1 / (1 + np.exp(-(s + offset))), 0) / n**length_power

    return attended(q, k, v, weights, **options)


def _low_offsets_give_softmax(form, case):
    """Divided by their sums, weights far below 1 are those of the softmax."""
    q, k, v = case.args
    if set(case.options) - {"causal", "bias", "mask"} or not k.shape[-2] or case.condition > 1:
        return None
    if not all(np.isfinite(a).all() for a in case.args):
        return None
    y = form(q, k, v, offset=-40.0, **case.options)
    z = form(q, k, np.ones_like(v), offset=-40.0, **case.options)
    return y / z, am.dot_product_attention(q, k, v, **case.options)


def _parts_add(form, case):
    if set(case.options) - {"offset"} or case.options.get("offset") is None or case.large:
        return None
    q, k, v = case.args
    y = form(q, k, v, **case.options)
    return y, sum(form(q, k[..., p, :], v[..., p, :], **case.options) for p in (
        slice(0, 2), slice(2, None)
    ))  # fmt: skip


IDENTITIES = (_low_offsets_give_softmax, _parts_add)
INTEGERS = (0, 1, 2)
SILENT = True


def GOLDEN(load):
    """The authors' float64 reference, (B, T, H, D), with its gradients."""
    for n in (0, 1, 3):
        z = load(f"sigmoid-attention__fwd_bwd_case{n}")
        window = tuple(None if w < 0 else int(w) for w in z["in_window"])
        options = {
            "causal": bool(z["in_causal"]), "window": window, "offset": float(z["in_sigmoid_bias"])
        }  # fmt: skip
        yield Golden(
            Case(f"apple_{n}", tuple(_heads_first(z[f"in_{a}"]) for a in "qkv"), options,
                 wrt=(0, 1, 2)),
            _heads_first(z["out_o"]), _heads_first(z["in_do"]),
            {i: _heads_first(z[f"out_d{a}"]) for i, a in enumerate("qkv")}, rtol=1e-11,
        )  # fmt: skip


def _heads_first(x):
    return np.moveaxis(x, -2, -3)
