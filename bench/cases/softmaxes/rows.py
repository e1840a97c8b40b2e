"""softmax, log_softmax and logsumexp of rows: a few numbers, square, a vocabulary, many short."""

import math

import anymax as am
from anymax._bench.case import Case, normal

SHAPES = ((4, 8), (4096, 1024), (512, 32000), (16384, 64))
SMALL = 1 << 16  # fewer numbers than this are no matter of bandwidth


def by_scipy(name):
    def load():
        from scipy import special

        function = getattr(special, name)
        return lambda x: function(x, axis=-1)

    return load


def by_torch(name):
    def load():
        import torch

        function = getattr(torch, name)
        return lambda x: function(x, -1)

    return load


def by_jax(name):
    def load():
        import jax

        function = getattr(jax.nn, name)
        return lambda x: function(x, axis=-1)

    return load


def case(name, shape):
    numbers = math.prod(shape)
    written = 0 if name == "logsumexp" else numbers
    return Case(
        form=name,
        size="x".join(map(str, shape)),
        ours=getattr(am, name),
        theirs={
            "SciPy": by_scipy(name),
            "torch": by_torch(name),
            "torch.compile": by_torch(name),
            "jax.jit": by_jax(name),
        },
        arguments=lambda: (normal(*shape),),
        bytes=4.0 * (numbers + written) if numbers > SMALL else 0.0,
        memory=name == "softmax" and shape == (512, 32000),
    )


CASES = [case(name, shape) for name in ("softmax", "log_softmax", "logsumexp") for shape in SHAPES]
