"""The facts of a call: what dispatch and kernels may know before they choose."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anymax._array import Array, dtype_name, library, namespace


@dataclass(frozen=True, slots=True)
class Facts:
    """What a kernel may know about a call before it says whether it can take it."""

    library: str
    device: str
    dtype: str
    operands: tuple[Array | None, ...]
    wants: tuple[bool, ...]
    obstacle: str | None
    options: dict[str, Any]

    @property
    def shapes(self) -> tuple[tuple | None, ...]:
        return tuple(None if x is None else tuple(x.shape) for x in self.operands)

    @property
    def dtypes(self) -> tuple[str | None, ...]:
        return tuple(None if x is None else dtype_name(x) for x in self.operands)

    @property
    def needs_grad(self) -> bool:
        return any(self.wants)


def namespace_of(operands: Sequence[Array | None]) -> Any:
    """The namespace that the operands share."""
    return namespace("primitive", **{f"operand {i}": x for i, x in enumerate(operands)})


def gather(operands: Sequence[Array | None], options: dict[str, Any]) -> Facts:
    """The facts of a call, read off its operands."""
    lib, followed = library(operands[0]), None
    if lib == "tape" or any(x is not None and library(x) == "tape" for x in operands[1:]):
        from anymax import _grad

        followed = tuple(_grad.needs_grad(x) for x in operands)
        lib, operands = "tape", [_grad.value(x) for x in operands]
    device, obstacle, wants = _situation(lib, operands)
    return Facts(
        library=lib,
        device=device,
        dtype=dtype_name(operands[0]),
        operands=tuple(operands),
        wants=wants if followed is None else followed,
        obstacle=obstacle,
        options=options,
    )


def _situation(lib: str, operands: Sequence) -> tuple[str, str | None, tuple[bool, ...]]:
    nothing = (False,) * len(operands)
    if lib == "torch":
        return _torch_situation(operands)
    if lib == "numpy" or (lib == "tape" and isinstance(operands[0], np.ndarray)):
        arrays = [x for x in operands if isinstance(x, np.ndarray)]
        obstacle = None
        if not all(x.dtype.isnative for x in arrays):
            obstacle = "the bytes of an array are not in native order"
        elif any(type(x) not in (np.ndarray, np.memmap) for x in arrays):
            obstacle = "an ndarray subclass (masked, with units, ...)"
        return "cpu", obstacle, nothing
    if lib in ("cupy", "tape") and library(operands[0]) == "cupy":
        return "cuda", None, nothing
    if lib == "tape":
        return "cpu", f"array library is {library(operands[0])}", nothing
    return "cpu", f"array library is {lib}", nothing


def _torch_situation(operands: Sequence) -> tuple[str, str | None, tuple[bool, ...]]:
    torch = sys.modules["torch"]
    given = [x for x in operands if x is not None]
    grad = torch.is_grad_enabled()
    wants = tuple(x is not None and grad and x.requires_grad for x in operands)
    obstacle = None
    if torch._C._functorch.peek_interpreter_stack() is not None:
        obstacle = "the call is inside a torch.func transform"
    elif torch._C._len_torch_dispatch_stack():
        obstacle = "a torch dispatch mode is on (fake tensors, make_fx, ...)"
    elif torch.autograd.forward_ad._current_level >= 0:
        obstacle = "forward-mode differentiation is on"
    elif any(type(x) not in (torch.Tensor, torch.nn.Parameter) for x in given):
        obstacle = "a tensor subclass (fake, distributed, ...)"
    elif any(x.layout != torch.strided or x.is_neg() for x in given):
        obstacle = "a tensor is sparse or lazily negated"
    elif any(x.device != given[0].device for x in given[1:]):
        obstacle = "tensors are on different devices"
    elif torch.jit.is_tracing() or torch._C._is_tracing():
        obstacle = "the call is being traced"
    return given[0].device.type, obstacle, wants
