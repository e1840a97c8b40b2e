"""Kernels under torch autograd: one ``autograd.Function`` for every primitive.

Its backward runs the kernel's backward, or the closed form in plain torch code when a graph of the
gradient is wanted, so that second and higher orders need no kernel.  Forward mode and torch.func
never come here: dispatch gives them the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from anymax._array import torch_watched
from anymax._dispatch import Kernel, Primitive


class _Call(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, primitive: Primitive, kernel: Kernel | None, options: dict, hint, *operands
    ):
        needs = tuple(ctx.needs_input_grad[4:])
        out, ctx.pullback = primitive.prepare(kernel, operands, options, hint, needs)
        outputs = out if isinstance(out, tuple) else (out,)
        ctx.kernel, ctx.count = kernel, len(outputs)
        ctx.save_for_backward(*operands, *outputs)
        ctx.set_materialize_grads(False)
        return out

    @staticmethod
    def backward(ctx: Any, *cotangents: Any):
        saved = ctx.saved_tensors
        operands, outputs = saved[: -ctx.count], saved[-ctx.count :]
        kernel = None if torch.is_grad_enabled() or _odd(cotangents) else ctx.kernel
        grads = ctx.pullback(operands, outputs, cotangents, kernel)
        return (None, None, None, None, *grads)


def _odd(cotangents: Sequence) -> bool:
    """Whether a cotangent is no plain array, as under ``is_grads_batched``."""
    batched = torch._C._functorch.is_legacy_batchedtensor
    return torch_watched() or any(g is not None and batched(g) for g in cotangents)


def lane(call: Callable, cls: type) -> Callable | None:
    """`call`, which takes a plain NumPy array, for plain tensors that no transform looks at."""
    if cls is not torch.Tensor:
        return None
    forward = torch.autograd.forward_ad
    dtypes = (torch.float32, torch.float64)

    def run(x: torch.Tensor) -> torch.Tensor | None:
        if x.requires_grad or x.dtype not in dtypes or not x.is_cpu or not x.is_contiguous():
            return None
        if torch_watched() or forward._current_level >= 0 or torch._C._is_tracing():
            return None
        if x.layout is not torch.strided or x.is_neg() or not x.dim() or not x.numel():
            return None
        return torch.from_numpy(call(x.numpy()))

    return run


def apply(
    primitive: Primitive,
    kernel: Kernel | None,
    operands: Sequence,
    options: dict,
    hint: float | None,
) -> Any:
    """Run `kernel`, or the reference without following it, so that autograd gets the closed-form
    gradient."""
    return _Call.apply(primitive, kernel, options, hint, *operands)
