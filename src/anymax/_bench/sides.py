"""The two sides of a contest as functions without arguments, each on its own copy of the arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import anymax as am
from anymax._bench.case import Case, as_it_is, normal
from anymax._bench.rivals import array, library_of, waiting

Run = Callable[[], Any]


def sides(case: Case, rival: str, device: str) -> tuple[Run, Run]:
    """Ours and theirs, ready to be timed against one another."""
    return side(case, rival, device, ours=True), side(case, rival, device, ours=False)


def side(case: Case, rival: str, device: str, *, ours: bool) -> Run:
    """One side: the arrays are made now, the function runs at each call."""
    library = library_of(rival, ours=ours, device=device)
    layout = as_it_is if ours else case.layouts.get(rival, as_it_is)
    function = case.ours if ours else case.theirs[rival]()
    if not ours:
        function = _compiled(rival, function)
    host = case.arguments()

    def given(x: np.ndarray) -> Any:
        return array(np.ascontiguousarray(layout(x)), library, device)

    arguments = [given(x) for x in host]
    if not case.gradients:
        return waiting(_forward(function, arguments, rival, ours), library, device)
    cotangent = given(normal(*host[0].shape, seed=9))  # of the shape of the first argument
    run = {"torch": _by_torch, "jax": _by_jax}.get(library, _by_anymax)
    return waiting(run(function, arguments, case.gradients, cotangent), library, device)


def _compiled(rival: str, function: Callable) -> Callable:
    if rival == "torch.compile":
        import torch

        torch._dynamo.reset()
        return torch.compile(function)
    return function


def _forward(function: Callable, arguments: Sequence, rival: str, ours: bool) -> Run:
    if rival == "jax.jit" and not ours:
        import jax

        function = jax.jit(function)
    if len(arguments) == 1:
        (x,) = arguments
        return lambda: function(x)
    return lambda: function(*arguments)


def _by_torch(function: Callable, arguments: Sequence, count: int, cotangent: Any) -> Run:
    import torch

    leaves = [x.requires_grad_() for x in arguments[:count]]

    def run() -> Any:
        value = function(*arguments)
        return torch.autograd.grad(value, leaves, cotangent if value.ndim else None)

    return run


def _by_jax(function: Callable, arguments: Sequence, count: int, cotangent: Any) -> Run:
    import jax

    leaves, rest = arguments[:count], arguments[count:]

    def pulled(cotangent: Any, leaves: Sequence, rest: Sequence) -> Any:
        value, pull = jax.vjp(lambda *new: function(*new, *rest), *leaves)
        return pull(cotangent if value.ndim else value.dtype.type(1))

    compiled = jax.jit(pulled)
    return lambda: compiled(cotangent, leaves, rest)


def _by_anymax(function: Callable, arguments: Sequence, count: int, cotangent: Any) -> Run:
    leaves, rest = arguments[:count], arguments[count:]
    if not function(*arguments).ndim:
        graded = am.value_and_grad(function, tuple(range(count)))
        return lambda: graded(*arguments)[1]
    return lambda: am.vjp(lambda *new: function(*new, *rest), *leaves)[1](cotangent)
