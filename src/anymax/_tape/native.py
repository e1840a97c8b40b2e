"""torch tensors and JAX arrays: their own autodiff, behind the same two functions as the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from anymax._tape.tree import flatten, map_leaves

__all__ = ["jax_value_and_grads", "jax_vjp", "torch_value_and_grads", "torch_vjp"]

# Inside a torch differentiation a second one keeps its graph, so that the outer one sees through
# it.
_inside = ContextVar("anymax_torch_inside", default=False)


def _torch_run(run: Callable[..., Any], leaves: Sequence[Any]) -> tuple[Any, list[Any], bool]:
    import torch

    nested = _inside.get()
    token = _inside.set(True)
    try:
        with torch.enable_grad():
            inputs = [
                x.view_as(x) if nested and x.requires_grad else x.detach().requires_grad_()
                for x in leaves
            ]
            return run(*inputs), inputs, nested
    finally:
        _inside.reset(token)


def _torch_detach(x: Any) -> Any:
    return x.detach() if hasattr(x, "detach") else x


def torch_value_and_grads(
    run: Callable[..., tuple[Any, Any]], leaves: Sequence[Any]
) -> tuple[Any, Any, list[Any]]:
    """`engine.value_and_grads` by torch.autograd, or by torch.func under its transformations."""
    if _under_functorch():
        return _functorch_value_and_grads(run, leaves)
    (out, aux), inputs, nested = _torch_run(run, leaves)
    grads = _torch_grads([out], None, inputs, nested, keep=nested)
    if nested:
        return out, aux, grads
    return out.detach(), map_leaves(_torch_detach, aux), grads


def torch_vjp(
    run: Callable[..., Any], leaves: Sequence[Any]
) -> tuple[Any, Callable[[Any], list[Any]]]:
    """`engine.vjp` by torch.autograd, or by torch.func under its transformations."""
    if _under_functorch():
        import torch

        out, transposed = torch.func.vjp(run, *leaves)[:2]
        return out, lambda cotangent: list(transposed(cotangent))
    out, inputs, nested = _torch_run(run, leaves)
    outs, _ = flatten(out)

    def pull(cotangent: Any) -> list[Any]:
        given, _ = flatten(cotangent)
        return _torch_grads(outs, given, inputs, nested, keep=True)

    return out if nested else map_leaves(_torch_detach, out), pull


def _torch_grads(
    outs: Sequence[Any],
    cotangents: Sequence[Any] | None,
    inputs: Sequence[Any],
    nested: bool,
    *,
    keep: bool,
) -> list[Any]:
    import torch

    given = [None] * len(outs) if cotangents is None else cotangents
    pairs = [(o, g) for o, g in zip(outs, given, strict=True) if o.requires_grad]
    if not pairs:
        return [torch.zeros_like(x) for x in inputs]
    grads = torch.autograd.grad(
        [o for o, _ in pairs],
        inputs,
        [g for _, g in pairs],
        retain_graph=keep or nested,
        create_graph=nested,
        allow_unused=True,
        materialize_grads=True,
    )
    return list(grads)


def _under_functorch() -> bool:
    import torch

    return torch._C._functorch.peek_interpreter_stack() is not None


def _functorch_value_and_grads(
    run: Callable[..., tuple[Any, Any]], leaves: Sequence[Any]
) -> tuple[Any, Any, list[Any]]:
    import torch

    rebuild: list[Callable[[Sequence[Any]], Any]] = []

    def split(*new: Any) -> tuple[Any, tuple[Any, ...]]:
        # torch.func takes nothing but tensors as auxiliary output; the rest goes around it.
        out, aux = run(*new)
        parts, join = flatten(aux)
        is_tensor = [isinstance(part, torch.Tensor) for part in parts]

        def whole(tensors: Sequence[Any]) -> Any:
            source = iter(tensors)
            return join([next(source) if t else p for t, p in zip(is_tensor, parts, strict=True)])

        rebuild.append(whole)
        return out, tuple(part for part, t in zip(parts, is_tensor, strict=True) if t)

    numbers = tuple(range(len(leaves)))
    differentiated = torch.func.grad_and_value(split, argnums=numbers, has_aux=True)
    grads, (out, tensors) = differentiated(*leaves)
    return out, rebuild[-1](tensors), list(grads)


def jax_value_and_grads(
    run: Callable[..., tuple[Any, Any]], leaves: Sequence[Any]
) -> tuple[Any, Any, list[Any]]:
    """`engine.value_and_grads` by jax.value_and_grad."""
    import jax

    numbers = tuple(range(len(leaves)))
    (out, aux), grads = jax.value_and_grad(run, argnums=numbers, has_aux=True)(*leaves)
    return out, aux, list(grads)


def jax_vjp(
    run: Callable[..., Any], leaves: Sequence[Any]
) -> tuple[Any, Callable[[Any], list[Any]]]:
    """`engine.vjp` by jax.vjp."""
    import jax

    out, pull = jax.vjp(run, *leaves)
    return out, lambda cotangent: list(pull(cotangent))
