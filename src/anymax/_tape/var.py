"""`Var`: an array that remembers how it was made."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import array_api_compat as compat

__all__ = ["Node", "Tape", "Var"]

_serials = itertools.count()


class Tape:
    """One recording; only its identity matters."""

    __slots__ = ()


class Node:
    """One recorded step: where its inputs came from and how a cotangent goes back through it.

    Serial numbers grow with time, so descending serials are an order in which a recording may be
    run backwards, the same on every run.
    """

    __slots__ = ("parents", "pullback", "serial", "tape", "width")

    def __init__(
        self,
        tape: Tape,
        parents: tuple[tuple[Node, int], ...] = (),
        pullback: Callable[[tuple[Any, ...]], tuple[Any, ...]] | None = None,
        width: int = 1,
    ) -> None:
        self.tape = tape
        self.parents = parents
        self.pullback = pullback
        self.width = width
        self.serial = next(_serials)


def _operator(name: str, function: Callable[..., Any]) -> tuple[Any, Any]:
    def forward(self: Var, other: Any) -> Any:
        return self._namespace.call(name, function, (self, other))

    def reflected(self: Var, other: Any) -> Any:
        return self._namespace.call(name, function, (other, self))

    return forward, reflected


def _in_place(self: Var, other: Any) -> NoReturn:
    msg = "value_and_grad: in-place operators can't be recorded; write x = x + y instead of x += y"
    raise TypeError(msg)


class Var:
    """An array on a tape: array `data`, output `slot` of `node` (None: a constant).

    It behaves as the array API standard says an array does; its namespace records what is done to
    it.
    """

    __slots__ = ("_namespace", "data", "node", "slot")

    # NumPy's operators and functions must leave a Var to the recording namespace.
    __array_ufunc__ = None

    def __init__(self, data: Any, namespace: Any, node: Node | None = None, slot: int = 0) -> None:
        self.data = data
        self.node = node
        self.slot = slot
        self._namespace = namespace

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return self._namespace

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        return len(self.data.shape)

    @property
    def size(self) -> int | None:
        return compat.size(self.data)

    @property
    def device(self) -> Any:
        return compat.device(self.data)

    @property
    def mT(self) -> Var:
        return self._namespace.matrix_transpose(self)

    @property
    def T(self) -> Var:
        if self.ndim != 2:
            msg = f"T needs a matrix, got shape {self.shape}; use mT or permute_dims"
            raise ValueError(msg)
        return self._namespace.matrix_transpose(self)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Var:
        return self._namespace.call(
            "to_device", compat.to_device, (self, device), {"stream": stream}
        )

    def __getitem__(self, index: Any) -> Var:
        return self._namespace.call("__getitem__", operator.getitem, (self, index))

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        msg = (
            "value_and_grad: assigning to elements can't be recorded; build the array with "
            "xp.where, xp.concat or xp.stack"
        )
        raise TypeError(msg)

    def __getattr__(self, name: str) -> NoReturn:
        msg = (
            f"an array under value_and_grad has no attribute {name!r}; "
            "use the functions of its namespace"
        )
        raise AttributeError(msg)

    def __len__(self) -> int:
        if not self.ndim:
            msg = "len() of a 0-d array"
            raise TypeError(msg)
        return self.shape[0]

    def __iter__(self) -> Iterator[Var]:
        return (self[i, ...] for i in range(len(self)))

    # Piecewise constant readings may steer the code; the others would leave the tape unseen.
    def __bool__(self) -> bool:
        return bool(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __index__(self) -> int:
        return operator.index(self.data)

    def __float__(self) -> float:
        return float(self._constant("float"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy as np

        return np.asarray(self._constant("np.asarray"), dtype=dtype, copy=copy)

    def _constant(self, how: str) -> Any:
        if self.node is None:
            return self.data
        msg = (
            f"value_and_grad: {how} would drop the gradient of this array. Use the functions of "
            "its namespace (array_namespace(x)), or stop_gradient if it is meant to be a constant"
        )
        raise TypeError(msg)

    def __repr__(self) -> str:
        return f"Var({self.data!r}{'' if self.node else ', constant'})"

    __hash__ = object.__hash__

    def __neg__(self) -> Var:
        return self._namespace.call("negative", operator.neg, (self,))

    def __pos__(self) -> Var:
        return self._namespace.call("positive", operator.pos, (self,))

    def __abs__(self) -> Var:
        return self._namespace.call("abs", operator.abs, (self,))

    def __invert__(self) -> Var:
        return self._namespace.call("bitwise_invert", operator.invert, (self,))


_BINARY = {
    "add": ("add", operator.add),
    "sub": ("subtract", operator.sub),
    "mul": ("multiply", operator.mul),
    "truediv": ("divide", operator.truediv),
    "floordiv": ("floor_divide", operator.floordiv),
    "mod": ("remainder", operator.mod),
    "pow": ("pow", operator.pow),
    "matmul": ("matmul", operator.matmul),
    "and": ("bitwise_and", operator.and_),
    "or": ("bitwise_or", operator.or_),
    "xor": ("bitwise_xor", operator.xor),
    "lshift": ("bitwise_left_shift", operator.lshift),
    "rshift": ("bitwise_right_shift", operator.rshift),
}
for _short, (_name, _function) in _BINARY.items():
    _forward, _reflected = _operator(_name, _function)
    setattr(Var, f"__{_short}__", _forward)
    setattr(Var, f"__r{_short}__", _reflected)
    setattr(Var, f"__i{_short}__", _in_place)

for _short in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Var, f"__{_short}__", _operator(_short, getattr(operator, _short))[0])
