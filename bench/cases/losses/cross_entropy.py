"""cross_entropy of logits and labels, forward alone and with the gradient of the logits."""

import numpy as np

import anymax as am
from anymax._bench.case import Case, normal

SHAPES = ((4, 8), (4096, 1024), (512, 32000))


def by_torch():
    import torch

    return torch.nn.functional.cross_entropy


def by_jax():
    import jax
    import jax.numpy as jnp

    def loss(logits, labels):
        picked = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - picked)

    return loss


def case(shape, gradients):
    n, classes = shape
    large = n * classes > 1 << 16
    return Case(
        form="cross_entropy" + (" forward+backward" if gradients else " forward"),
        size=f"{n}x{classes}",
        ours=am.cross_entropy,
        theirs={"torch": by_torch, "torch.compile": by_torch, "jax.jit": by_jax},
        arguments=lambda: (normal(n, classes), np.arange(n) * 7919 % classes),
        gradients=gradients,
        bytes=4.0 * n * classes * (1 + gradients) if large else 0.0,
        memory=shape == (512, 32000) and gradients == 1,
    )


CASES = [case(shape, gradients) for shape in SHAPES for gradients in (0, 1)]
