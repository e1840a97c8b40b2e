"""Attention whose weights depend on their own score alone: the loops of softmax, other weights."""

from __future__ import annotations

from typing import Any

from .attend import differentiate, evaluate
from .attend_thin import THIN
from .attend_weights import KINDS

__all__ = ["backward", "forward"]


def forward(
    *operands: Any, kind: str, shift: float, power: int, normalize: bool, **options: Any
) -> tuple[Any, Any]:
    """Output and sums of weights; see the primitive attend_map."""
    return evaluate(
        _with_sink(operands), {**options, **_weights(kind, shift, power, normalize)},
        thin=operands[0].shape[-2] <= THIN,
    )  # fmt: skip


def backward(
    operands: tuple[Any, ...], outputs: tuple[Any, ...], cotangents: tuple[Any, ...], needs: Any,
    *, kind: str, shift: float, power: int, normalize: bool, **options: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """One gradient per operand, None where not needed; weights are recomputed."""
    found = differentiate(
        _with_sink(operands), outputs, cotangents, (*needs[:5], False, *needs[5:]),
        {**options, **_weights(kind, shift, power, normalize)},
    )  # fmt: skip
    return (*found[:5], *found[6:])


def _with_sink(operands: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*operands[:5], None, *operands[5:])


def _weights(kind: str, shift: float, power: int, normalize: bool) -> dict[str, Any]:
    return {
        "kind": KINDS[kind], "shift": float(shift), "power": int(power), "normalize": normalize,
    }  # fmt: skip
