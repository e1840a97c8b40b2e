"""`relu_attention`: weights that are powers of positive scores."""

import numpy as np

import anymax as am
from anymax._conformance.attention import (
    attended,
    attention_case,
    attention_edges,
    attention_options,
)

_RNG = np.random.default_rng(33)

CASES = [
    attention_case(_RNG, "plain", smooth=True, compiled=True),
    attention_edges(_RNG),
    attention_options(_RNG, power=2, count="visible"),
    attention_case(_RNG, "normalized", normalize=True, power=2, keys=9),
    attention_case(_RNG, "inside", power=2, inside=True, length_power=0.5),
    attention_case(_RNG, "bare", length_power=0.0, count="visible", scale=np.asarray(0.5),
                   wrt=(0, 1, 2, "scale")),
    attention_case(_RNG, "no_keys", keys=0),
    attention_case(_RNG, "decode", queries=1, keys=70, features=16, values=16, causal=True),
    attention_case(_RNG, "tiles", queries=65, keys=81, features=19, values=11, causal=True,
                   power=2, large=True),
]  # fmt: skip


def ORACLE(
    q, k, v, *, power=1, length_power=1.0, count="keys", normalize=False, inside=False, **options
):
    def weights(s):
        n = np.longdouble(len(s) if count == "visible" else k.shape[-2]) ** length_power
        w = np.maximum(s / n if inside else s, 0) ** power
        if normalize:
            return w / (np.sum(w) or 1)
        return w if inside else w / n

    return attended(q, k, v, weights, **options)


def _is_homogeneous(form, case):
    """Queries twice as long weigh 2^p times as much."""
    if set(case.options) - {"power", "inside", "length_power", "causal"} or case.large:
        return None
    q, k, v = case.args
    times = 2.0 ** case.options.get("power", 1)
    return form(2.0 * q, k, v, **case.options), times * form(q, k, v, **case.options)


def _normalised_weights_average(form, case):
    """Values of one give one, or zero where no score is above zero."""
    if not case.options.get("normalize"):
        return None
    q, k, v = case.args
    y = form(q, k, np.ones_like(v), **case.options)
    dead = am.relu_attention(q, k, np.ones_like(v)) == 0
    return y, np.where(dead, 0.0, 1.0)


IDENTITIES = (_is_homogeneous, _normalised_weights_average)
INTEGERS = (0, 1, 2)
SILENT = True
