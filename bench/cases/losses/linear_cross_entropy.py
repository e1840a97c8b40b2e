"""linear_cross_entropy, against the logits in memory and torch's own, plain or in chunks."""

import numpy as np

import anymax as am
from anymax._bench.case import Case, normal

SHAPES = ((64, 32, 1000), (1024, 512, 32000))


def by_torch():
    import torch

    return lambda h, w, y: torch.nn.functional.cross_entropy(h @ w.T, y)


def by_torch_linear():
    import torch

    return torch.nn.functional.linear_cross_entropy


def by_torch_chunks():
    import torch

    options = torch.nn.LinearCrossEntropyOptions()
    return lambda h, w, y: torch.nn.functional.linear_cross_entropy(h, w, y, options=options)


def by_jax():
    import jax
    import jax.numpy as jnp

    def loss(h, w, y):
        logits = h @ w.T
        picked = jnp.take_along_axis(logits, y[:, None], axis=-1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - picked)

    return loss


RIVALS = {
    "torch": by_torch,
    "torch linear": by_torch_linear,
    "torch chunks": by_torch_chunks,
    "jax.jit": by_jax,
}


def case(shape, gradients):
    n, features, classes = shape
    large = n * classes > 1 << 20
    return Case(
        form="linear_cross_entropy" + (" forward+backward" if gradients else " forward"),
        size=f"{n}x{features}x{classes}",
        ours=am.linear_cross_entropy,
        theirs=RIVALS,
        arguments=lambda: (
            normal(n, features), normal(classes, features, seed=1) / features**0.5,
            np.arange(n) * 7919 % classes,
        ),
        gradients=gradients,
        flops=2.0 * n * features * classes * (1 + gradients) if large else 0.0,
        memory=large and gradients > 0,
    )  # fmt: skip


CASES = [case(shape, gradients) for shape in SHAPES for gradients in (0, 2)]
