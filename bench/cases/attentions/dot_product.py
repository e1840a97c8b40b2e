"""dot_product_attention of 8 heads of width 64 on 4-D arrays, causal or not, with and without
gradients.  torch gets the 4-D layout that its fast path wants; jax its own (B, L, H, D)."""

import functools

import numpy as np

import anymax as am
from anymax._bench.case import Case, normal

HEADS, WIDTH = 8, 64
LENGTHS = (1024, 2048)


def by_torch(causal):
    def load():
        import torch

        attend = torch.nn.functional.scaled_dot_product_attention
        return functools.partial(attend, is_causal=causal)

    return load


def by_jax(causal):
    def load():
        import jax

        return functools.partial(jax.nn.dot_product_attention, is_causal=causal)

    return load


def heads_third(x):
    return np.swapaxes(x, 1, 2)


def case(length, causal, gradients):
    shape = (1, HEADS, length, WIDTH)
    pairs = HEADS * length * length * (0.5 if causal else 1.0)
    return Case(
        form="attention" + (" causal" if causal else "")
        + (" forward+backward" if gradients else " forward"),
        size="x".join(map(str, shape)),
        ours=functools.partial(am.dot_product_attention, causal=causal),
        theirs={"torch": by_torch(causal), "jax.jit": by_jax(causal)},
        arguments=lambda: tuple(normal(*shape, seed=i) for i in range(3)),
        gradients=gradients,
        layouts={"jax.jit": heads_third},
        flops=4.0 * pairs * WIDTH * (3.5 if gradients else 1.0),
        memory=length == 2048,
    )  # fmt: skip


CASES = [
    case(length, causal, gradients)
    for length in LENGTHS
    for causal in (False, True)
    for gradients in (0, 3)
]
