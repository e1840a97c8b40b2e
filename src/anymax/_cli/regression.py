"""Softmax regression, written once for every array library."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

import anymax as am
from anymax._cli import arrays

STEPS = 60
RATE, MOMENTUM = 0.5, 0.9

Params = tuple[Any, Any]


@dataclass(frozen=True)
class Digits:
    """8 x 8 images as rows of 64 numbers in [0, 1], and what digit each shows."""

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True)
class Run:
    """What training with one library gave."""

    library: str
    gradient: str
    backends: tuple[str, ...]
    loss: float
    accuracy: float
    seconds: float


def load() -> Digits:
    """The digits that ship inside scikit-learn; every fourth is for the test."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    test = np.arange(len(labels)) % 4 == 0
    return Digits(images[~test], labels[~test], images[test], labels[test])


def loss(params: Params, images: Any, labels: Any) -> Any:
    """Mean cross entropy of a linear classifier: the same line for every library."""
    weights, offsets = params
    xp = array_namespace(weights)
    return am.cross_entropy(xp.matmul(images, weights) + offsets, labels)


def train(library: str, digits: Digits, steps: int = STEPS) -> Run:
    """Full-batch gradient descent with momentum from zero, so that nothing is left to chance."""
    start = time.perf_counter()
    images, labels = arrays.put(library, digits.images), arrays.put(library, digits.labels)
    params = tuple(arrays.put(library, np.zeros(s, np.float32)) for s in ((64, 10), (10,)))
    velocity = params
    gradient, step = _differentiated(library)
    with am.trace() as log:
        step(params, images, labels)
    for _ in range(steps):
        _, slopes = step(params, images, labels)
        velocity = tuple(MOMENTUM * v - RATE * g for v, g in zip(velocity, slopes))
        params, velocity = _settled(
            library, tuple(p + v for p, v in zip(params, velocity)), velocity
        )
    final = float(step(params, images, labels)[0])
    scores = arrays.fetch(arrays.put(library, digits.test_images) @ params[0] + params[1])
    accuracy = float(np.mean(np.argmax(scores, axis=-1) == digits.test_labels))
    backends = tuple(dict.fromkeys(event.backend for event in log))
    return Run(library, gradient, backends, final, accuracy, time.perf_counter() - start)


def _differentiated(library: str) -> tuple[str, Callable]:
    """How a library takes the gradient: its own autodiff, or the tape for those without any."""
    if library == "torch":
        return "autograd", _torch_step
    if library == "jax":
        import jax

        return "jax.grad", jax.jit(jax.value_and_grad(loss))
    return "tape", am.value_and_grad(loss)


def _torch_step(params: Params, images: Any, labels: Any) -> tuple[Any, tuple]:
    import torch

    leaves = [p.detach().requires_grad_() for p in params]
    value = loss((leaves[0], leaves[1]), images, labels)
    return value.detach(), torch.autograd.grad(value, leaves)


def _settled(library: str, params: tuple, velocity: tuple) -> tuple[tuple, tuple]:
    """dask computes now, or its graph would grow with every step."""
    if library != "dask":
        return params, velocity
    import dask

    return dask.persist(params, velocity, scheduler="synchronous")
