"""What the attention kernels need to know about a call, in two record arrays.

Kernels take every size, stride, address and option from one `PLAN` record and one `HEAD` record per
query head of each batch entry: one compiled version serves all layouts and options. Addresses are
plain integers, strides are in bytes; the caller keeps the arrays alive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .attend_lanes import BYTES
from .attend_memory import Arena, address
from .tile import VECTORS

__all__ = ["BLOCK", "HEAD", "LINE", "PLAN", "Call", "ceil_to", "offsets", "reduce_to"]

BLOCK = 512  # keys per pass: the scores of one strip stay in L1, and online rescaling is rare
LINE = BLOCK + 16  # row stride of scores: keeps columns off one cache set

_INTS = (
    "length", "keys", "dim", "dim_v",  # L, S, D, Dv
    "wide", "wide_v", "wide_keys",  # D and Dv padded to registers, S to micro-kernel tiles
    "heads", "group", "batch",  # Hq, Hq / Hk, batch entries
    "causal", "left", "right", "alibi",  # left, right: -1 is unbounded
    "kind", "order", "unit",  # weight function, power of a ReLU, whether weights sum to one
    "q_row", "q_col", "k_row", "k_col", "v_row", "v_col",
    "mask_row", "mask_col", "bias_row", "bias_col",
    "kt", "k_flags", "k_bad", "v", "v_flags", "v_bad",  # packed keys, flags and numbers of bad ones
    "out", "lse",
    # backward: packed v^T and rows of k; per query head rows and strips of q and of dout; per row
    # its logsumexp in base 2, delta and whether it is dead
    "vt", "k_rows", "q_rows", "q_strips", "do_rows", "do_strips", "norm", "delta", "dead",
    "dout", "dlse",  # cotangents
    "chunks", "per_chunk",  # chunks of keys, blocks of keys in each
    "dq", "dk", "dv", "dbias", "dslopes", "dsink",  # 0: unwanted
    "dbias_row", "dbias_col", "dbias_chunk",
    "dq_parts",
)  # fmt: skip
PLAN = np.dtype(
    [(name, np.int64) for name in _INTS]
    + [(name, np.float64) for name in ("scale", "softcap", "power", "lift")],
    align=True,
)
HEAD = np.dtype(
    [(name, np.int64) for name in ("q", "mask", "bias", "dbias", "k", "v", "rows", "cols", "shift")]
    + [(name, np.float64) for name in ("sink", "slope")],
    align=True,
)


def ceil_to(count: int, step: int) -> int:
    """The first multiple of `step` that is not below `count`."""
    return -(-count // step) * step


def reduce_to(full: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Sum over the axes along which an operand of this shape was broadcast."""
    if full.shape == shape:
        return full
    extra = full.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and full.shape[extra + i] != 1
    )
    return full.sum(axis=axes, keepdims=True).reshape(shape) if axes else full.reshape(shape)


def offsets(array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Byte offset of every entry of the axes before the last two, broadcast to `shape`, flat."""
    steps = np.broadcast_to(array, shape + array.shape[-2:]).strides[: len(shape)]
    total = np.zeros((), np.int64)
    for count, step in zip(shape, steps, strict=True):
        total = total[..., None] + np.arange(count, dtype=np.int64) * step
    return total.reshape(-1)


def _slices(
    array: np.ndarray[Any, Any], batch: tuple[int, ...], group: int
) -> np.ndarray[Any, Any]:
    """Which slice of k or v (counted over its own batch and head axes) each query head reads."""
    own = array.shape[:-2]
    index = np.arange(math.prod(own), dtype=np.int64).reshape(own)
    return np.repeat(np.broadcast_to(index, (*batch, own[-1])), group, axis=-1).reshape(-1)


@dataclass
class Call:
    """One call of attend, ready for kernels. Arrays are in the computing type."""

    q: np.ndarray[Any, Any]
    k: np.ndarray[Any, Any]
    v: np.ndarray[Any, Any]
    mask: np.ndarray[Any, Any] | None
    bias: np.ndarray[Any, Any] | None
    sink: np.ndarray[Any, Any] | None
    slopes: np.ndarray[Any, Any] | None
    q_lengths: np.ndarray[Any, Any] | None
    k_lengths: np.ndarray[Any, Any] | None
    scale: float
    causal: Any
    window: tuple[int | None, int | None] | None
    softcap: float | None
    kind: int = 0  # of weights, by attend_weights; softmax
    shift: float = 0.0  # added to every score
    power: int = 1
    normalize: bool = False
    kept: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.arena = Arena()
        self.batch = np.broadcast_shapes(*(x.shape[:-3] for x in (self.q, self.k, self.v)))
        self.rows = (*self.batch, self.q.shape[-3])  # batch and query heads
        self.plan = np.zeros(1, PLAN)
        self.heads = np.zeros(math.prod(self.rows), HEAD)
        self._sizes()
        self._options()
        self._heads()

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.q.dtype

    def _sizes(self) -> None:
        p = self.plan[0]
        lanes = BYTES // self.dtype.itemsize
        p["length"], p["dim"] = self.q.shape[-2:]
        p["keys"], p["dim_v"] = self.v.shape[-2:]
        p["wide"], p["wide_v"] = ceil_to(int(p["dim"]), lanes), ceil_to(int(p["dim_v"]), lanes)
        p["wide_keys"] = ceil_to(int(p["keys"]), VECTORS * lanes)
        p["heads"], p["batch"] = self.q.shape[-3], math.prod(self.batch)
        p["group"] = self.q.shape[-3] // max(self.k.shape[-3], 1)
        for name in ("q", "k", "v", "mask", "bias"):
            array = getattr(self, name)
            if array is not None:
                shape = array.shape[:-2] + (self.q.shape[-2], self.v.shape[-2])
                wide = np.broadcast_to(array, shape) if name in ("mask", "bias") else array
                p[name + "_row"], p[name + "_col"] = wide.strides[-2:]

    def _options(self) -> None:
        p = self.plan[0]
        left, right = self.window if self.window is not None else (None, None)
        p["causal"] = bool(self.causal)
        p["left"], p["right"] = (-1 if side is None else side for side in (left, right))
        p["alibi"] = self.slopes is not None
        p["scale"], p["softcap"] = self.scale, self.softcap or 0.0
        p["power"] = math.log2(math.e)
        p["kind"], p["lift"], p["order"] = self.kind, self.shift, self.power
        p["unit"] = self.normalize

    def _heads(self) -> None:
        h, p = self.heads, self.plan[0]
        h["q"] = address(self.q) + offsets(self.q, self.rows)
        for name in ("mask", "bias"):
            array = getattr(self, name)
            if array is not None and array.size:
                h[name] = address(array) + offsets(array, self.rows)
        for name in ("k", "v"):
            h[name] = _slices(getattr(self, name), self.batch, int(p["group"]))
        grid = h.reshape(self.rows)
        grid["rows"], grid["cols"] = int(p["length"]), int(p["keys"])
        if self.q_lengths is not None:
            grid["rows"] = self.q_lengths[..., None]
        if self.k_lengths is not None:
            grid["cols"] = self.k_lengths[..., None]
        if self.causal != "upper_left":
            grid["shift"] = grid["cols"] - grid["rows"]
        for name, most in (("rows", p["length"]), ("cols", p["keys"])):
            grid[name] = np.minimum(grid[name], most)
        grid["sink"] = -math.inf if self.sink is None else self.sink
        grid["slope"] = 0.0 if self.slopes is None else self.slopes

    def room(self, count: int, dtype: Any, name: str) -> np.ndarray[Any, Any]:
        """Memory that lives as long as the call, with its address noted in the plan."""
        array = self.arena.take(count, dtype)
        self.plan[0][name] = address(array)
        return array

    @property
    def bias_is_matrix(self) -> bool:
        """Whether the bias has a number of its own for every query and key."""
        return self.bias is not None and self.bias.shape[-2] > 1 and self.bias.shape[-1] > 1
