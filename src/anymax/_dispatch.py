"""Primitives choose a kernel by the facts of a call, or run their reference.

A kernel answers one question, `why_not(facts)`: None when it can take the call, else one sentence.
The same sentence is the error of a forced backend, a line of `explain`, the reason of a skipped
test and a cell of the support table in the documentation.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anymax import _backends
from anymax._array import HALVES, Array, dtype_name, library_of_type, torch_compiling, widen
from anymax._facts import Facts, gather, namespace_of

__all__ = ["PRIMITIVES", "Facts", "Kernel", "Primitive"]

WhyNot = Callable[[Facts], "str | None"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A faster body of a primitive for one backend; its module is imported on first use."""

    backend: str
    module: str
    forward: str
    backward: str
    why_not: WhyNot
    fused: str | None = None
    lane: str | None = None

    def function(self, name: str) -> Callable:
        return _function(self.module, name)

    def reason(self, facts: Facts) -> str | None:
        return _backends.why_not(self.backend, facts) or self.why_not(facts)


@functools.cache
def _function(module: str, name: str) -> Callable:
    return getattr(importlib.import_module(module), name)


_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)

PRIMITIVES: dict[str, Primitive] = {}


@dataclass(eq=False)
class Primitive:
    """A hot computation: its reference in array-API code, its derivatives, its kernels.

    Parameters
    ----------
    reference : callable
        ``reference(xp, *operands, **options)`` gives an array or a tuple of arrays.
    vjp : callable
        ``vjp(xp, operands, outputs, cotangents, needs, **options)`` gives a gradient per operand.
    jvp : callable
        ``jvp(xp, operands, outputs, tangents, **options)`` gives a tangent per output.
    storage : tuple of bool
        Per output: whether it is stored in the dtype of the operands (True) or, for half types,
        kept in the float32 that sums accumulate in (False).
    closed : bool
        Whether torch is given the closed-form gradient without a kernel, too: following the
        reference would store what the primitive is there not to store.
    kernels : sequence of Kernel
        In the order of preference.
    """

    name: str
    reference: Callable
    vjp: Callable
    jvp: Callable
    storage: tuple[bool, ...]
    kernels: Sequence[Kernel] = ()
    closed: bool = False
    _lanes: dict[type, Callable | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        PRIMITIVES[self.name] = self

    def __call__(self, *operands: Array | None, hint: float | None = None, **options: Any) -> Any:
        """Run on the best backend.

        `hint` is the cotangent that the caller expects for the first output, if it is one constant:
        a kernel may then prepare the gradient in the same pass.  It never changes a result.
        """
        if torch_compiling():
            return self.plain(operands, options)
        facts = gather(operands, options)
        kernel, reasons = self.choose(facts)
        log = _backends.log()
        if log is not None:
            backend = kernel.backend if kernel else "reference"
            log.append(_backends.Event(self.name, backend, reasons, facts))
        if facts.library == "tape":
            return self._record(kernel, operands, options, hint)
        closed = self.closed and facts.library == "torch" and facts.obstacle is None
        if facts.needs_grad and (kernel is not None or closed):
            bridge = importlib.import_module("anymax._bridge.torch")
            return bridge.apply(self, kernel, operands, options, hint)
        if kernel is None:
            return self.plain(operands, options)
        return self.run(kernel, operands, options)

    def lane(self, x: Array) -> Array | None:
        """The whole call along the last axis of a plain array, or None: no facts, no options.

        A lane is open for a type of array once a kernel that has one has run on it.
        """
        if not self._lanes or torch_compiling():
            return None
        lane = self._lanes.get(type(x))
        return lane(x) if lane is not None and _backends.automatic() else None

    def choose(self, facts: Facts) -> tuple[Kernel | None, dict[str, str | None]]:
        """The kernel that takes the call (None: the reference), and each backend's answer."""
        wanted = _backends.wanted()
        reasons: dict[str, str | None] = {}
        chosen = None
        if wanted == "reference":
            return None, {k.backend: "the reference was asked for" for k in self.kernels}
        for kernel in self.kernels:
            reason = kernel.reason(facts)
            reasons[kernel.backend] = reason
            if reason is None and chosen is None and wanted in ("auto", kernel.backend):
                chosen = kernel
        if chosen is None and wanted != "auto":
            reason = reasons.get(wanted) or "there is no such kernel yet"
            raise ValueError(
                f"{self.name}: backend {wanted!r} cannot run this call: {reason}. "
                "Use backend 'auto' to fall back."
            )
        return chosen, reasons

    # -- bodies --------------------------------------------------------------------------------

    def plain(self, operands: Sequence[Array | None], options: dict[str, Any]) -> Any:
        """The reference, with half types widened before and rounded once after."""
        xp = namespace_of(operands)
        first: Array = operands[0]
        dtype, half = first.dtype, dtype_name(first) in HALVES
        if half:
            operands = [widen(xp, x) for x in operands]
        with _backends.quiet(operands[0]):
            out = self.reference(xp, *operands, **options)
        if not half:
            return out
        if not isinstance(out, tuple):
            return xp.astype(out, dtype) if self.storage[0] else out
        return tuple(xp.astype(y, dtype) if s else y for y, s in zip(out, self.storage))

    def run(self, kernel: Kernel, operands: Sequence[Array | None], options: dict) -> Any:
        """The kernel's forward; its lane is open from the first time on."""
        cls = type(operands[0])
        if kernel.lane is not None and cls not in self._lanes:
            self._lanes[cls] = _lane(kernel.function(kernel.lane), cls)
        return kernel.function(kernel.forward)(*operands, **options)

    def gradient(
        self,
        kernel: Kernel | None,
        operands: Sequence[Array | None],
        outputs: tuple[Array, ...],
        cotangents: tuple[Array | None, ...],
        needs: tuple[bool, ...],
        options: dict[str, Any],
    ) -> tuple[Array | None, ...]:
        """Gradients of the operands that need one, by the kernel or by the closed form."""
        if kernel is not None:
            backward = kernel.function(kernel.backward)
            return backward(tuple(operands), outputs, cotangents, needs, **options)
        xp = namespace_of(operands)
        dtypes = [None if x is None else x.dtype for x in operands]
        operands = [widen(xp, x) for x in operands]
        outputs = tuple(widen(xp, x) for x in outputs)
        cotangents = tuple(widen(xp, x) for x in cotangents)
        with _backends.quiet(operands[0]):
            grads = self.vjp(xp, tuple(operands), outputs, cotangents, needs, **options)
        return tuple(
            g if g is None or g.dtype == d else xp.astype(g, d) for g, d in zip(grads, dtypes)
        )

    def prepare(
        self, kernel: Kernel | None, operands: Sequence, options: dict, hint: float | None, needs
    ) -> tuple[Any, Callable]:
        """The outputs, and a pullback: gradients made on the way if the hint came true."""
        ready: list = []
        fused = kernel is not None and kernel.fused and hint is not None and any(needs)
        if fused:
            out, grads = self._fused(kernel, operands, options, hint, needs)
            ready.append(grads)
        elif kernel is not None:
            out = self.run(kernel, operands, options)
        else:
            out = self.plain(operands, options)

        def pullback(
            operands: tuple, outputs: tuple, cotangents: tuple, by: Kernel | None
        ) -> tuple:
            held = ready.pop() if ready and by is not None else None  # the caller may write into it
            factor = _factor(cotangents, hint, operands) if fused and by is not None else None
            if factor is not None:
                if held is None:  # a second time: by the same steps, for the same bits
                    held = self._fused(by, operands, options, hint, needs)[1]
                return _scaled(held, factor)
            return self.gradient(by, operands, outputs, cotangents, needs, options)

        return out, pullback

    def _fused(self, kernel, operands, options: dict, hint, needs) -> tuple[Any, tuple]:
        """The outputs, and the gradients for a first cotangent that is `hint` everywhere."""
        out, grads = kernel.function(kernel.fused)(tuple(operands), hint, needs, **options)
        if not isinstance(grads, tuple):  # of the first operand alone
            grads = (grads, *(None,) * (len(operands) - 1))
        return out, grads

    def _record(self, kernel: Kernel | None, operands: Sequence, options: dict, hint) -> Any:
        """One node on the tape, with the primitive's own gradient."""
        from anymax import _grad

        values = tuple(_grad.value(x) for x in operands)
        needs = tuple(_grad.needs_grad(x) for x in operands)
        out, back = self.prepare(kernel, values, options, hint, needs)
        outputs = out if isinstance(out, tuple) else (out,)
        recorded = _grad.record(
            tuple(operands), outputs, lambda cotangents: back(values, outputs, cotangents, kernel)
        )
        return recorded if isinstance(out, tuple) else recorded[0]


def _lane(call: Callable, cls: type) -> Callable | None:
    """`call`, which checks nothing, behind the few checks that a plain array of a type needs."""
    if cls is np.ndarray:

        def lane(x: Array) -> Array | None:
            if x.dtype is not _FLOAT32 and x.dtype is not _FLOAT64:
                return None
            return call(x) if x.flags.c_contiguous and x.size and x.ndim else None

        return lane
    if library_of_type(cls) == "torch":
        return importlib.import_module("anymax._bridge.torch").lane(call, cls)
    return None


def _factor(cotangents: tuple, hint: float | None, operands: Sequence) -> float | None:
    """How many times the hint the cotangent is, if it is one constant, else None.

    A loss that is divided, or scaled, before it is differentiated still has its gradient ready.
    Half types would lose digits, and small numbers altogether: they get what was asked for or None.
    """
    g, *rest = cotangents
    if g is None or hint is None or any(c is not None for c in rest) or 0 in g.shape:
        return None
    if bool((g == hint).all()):
        return 1.0
    first = float(g[(0,) * g.ndim])
    half = any(x is not None and dtype_name(x) in HALVES for x in operands)
    return None if half or not bool((g == first).all()) else first / hint


def _scaled(grads: tuple, factor: float) -> tuple:
    if factor != 1.0:
        for x in grads:
            if x is not None:
                x *= factor
    return grads
