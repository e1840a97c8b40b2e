"""What gradients are compared with: torch's autograd, on inputs from one seed."""

from __future__ import annotations

import math

import array_api_compat as compat
import numpy as np
import torch

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape)


def positive(*shape):
    return RNG.uniform(0.3, 2.0, size=shape)


def unit(*shape):
    return RNG.uniform(-0.9, 0.9, size=shape)


def spd(n):
    a = normal(2, n, n)
    return a @ np.swapaxes(a, -1, -2) + n * np.eye(n)


def scalar_of(function):
    """Make a scalar out of `function`: a fixed weight on each element of its result."""

    def scalar(*arrays):
        xp = compat.array_namespace(*arrays)
        out = function(xp, *arrays)
        cosines = [math.cos(i + 1) for i in range(math.prod(out.shape))]
        weights = xp.asarray(cosines, dtype=out.dtype)
        return xp.sum(out * xp.reshape(weights, tuple(out.shape)))

    return scalar


def by_torch(function, arrays):
    tensors = [torch.from_numpy(np.array(a)).requires_grad_() for a in arrays]
    out = scalar_of(function)(*tensors)
    if not out.requires_grad:
        return [np.zeros(np.shape(a)) for a in arrays]
    grads = torch.autograd.grad(out, tensors, allow_unused=True, materialize_grads=True)
    return [g.numpy() for g in grads]
