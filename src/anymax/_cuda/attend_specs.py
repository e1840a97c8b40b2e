"""The attention kernels: which template instances exist, their tile sizes and shared memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .attend_plan import PARAMS, axes_params
from .source import FOLDER
from .spec import KernelSpec, parse_signature, register

CTYPES = {"float32": "float", "float64": "double", "float16": "f16", "bfloat16": "bf16"}
ROWS_THREADS = 256
TILE_THREADS = 128


@dataclass(frozen=True)
class Tiled:
    """A kernel over tiles: a block owns `rows` queries (or keys), the others stream by."""

    spec: KernelSpec
    rows: int


def _wide(dtype: str) -> str:
    return "double" if dtype == "float64" else "float"


def _spec(
    file: str, instance: str, name: str, signature: str, threads: int, shared: int = 0
) -> KernelSpec:
    params = parse_signature(signature)
    return register(KernelSpec(name, FOLDER / file, instance, params, threads, shared))


def _inputs(element: str) -> str:
    return (
        f"const {element}* q_data, const {element}* k_data, const {element}* v_data, "
        "const unsigned char* mask, const void* bias, const void* sink, const void* slopes, "
        "const void* q_lengths, const void* k_lengths, "
        "const unsigned* q_marks, const unsigned* k_marks"
    )


def _forward_signature(dtype: str) -> str:
    element, wide = CTYPES[dtype], _wide(dtype)
    return f"{_inputs(element)}, {element}* out, {wide}* lse, {PARAMS}"


def _saved(element: str, wide: str) -> str:
    return (
        f"const {element}* dout, const {wide}* lse_rows, const {wide}* delta, "
        "const unsigned* dead_marks"
    )


def _queries_signature(dtype: str) -> str:
    element, wide = CTYPES[dtype], _wide(dtype)
    return (
        f"{_inputs(element)}, {_saved(element, wide)}, {element}* dq, {wide}* dq_wide, "
        f"void* dbias, {wide}* dslopes, long long padded, long long dbias_kind, "
        f"{axes_params('dout')}, {PARAMS}"
    )


def _keys_signature(dtype: str) -> str:
    element, wide = CTYPES[dtype], _wide(dtype)
    return (
        f"{_inputs(element)}, {_saved(element, wide)}, {element}* dk, {element}* dv, "
        f"{wide}* dk_wide, {wide}* dv_wide, long long padded, {axes_params('dout')}, {PARAMS}"
    )


# ------------------------------------------------------------------------------- tensor cores
# Head dimension: (16-row pieces per warp, rows of a streamed tile). The largest that fit into the
# registers of every architecture without spilling.
FORWARD_TILES = {32: (2, 32), 64: (2, 32), 96: (1, 64), 128: (1, 64)}
QUERIES_TILES = {32: (2, 32), 64: (1, 64), 96: (1, 64), 128: (1, 32)}
KEYS_TILES = {32: (1, 64), 64: (1, 64), 96: (1, 32), 128: (1, 32)}
HALVES = ("float16", "bfloat16")


def _tiled(
    file: str, kernel: str, signature: Callable[[str], str], tiles: dict[int, tuple[int, int]],
    resident: int, stats: int = 0,
) -> dict[tuple[str, int], Tiled]:  # fmt: skip
    """Instances for half types: `resident` tiles of the block's rows, two stages of two others."""
    found = {}
    for dtype in HALVES:
        for depth, (pieces, stream) in tiles.items():
            rows = 16 * pieces * (TILE_THREADS // 32)
            shared = 2 * depth * (resident * rows + 4 * stream) + stats * stream
            instance = f"{kernel}<{CTYPES[dtype]}, {depth}, {pieces}, {stream}>"
            name = f"{kernel}/{dtype}/{depth}"
            spec = _spec(file, instance, name, signature(dtype), TILE_THREADS, shared)
            found[dtype, depth] = Tiled(spec, rows)
    return found


FORWARD = _tiled("attend_forward.cu", "attend_forward", _forward_signature, FORWARD_TILES, 1)
QUERIES = _tiled("attend_backward.cu", "attend_queries", _queries_signature, QUERIES_TILES, 2)
KEYS = _tiled("attend_backward.cu", "attend_keys", _keys_signature, KEYS_TILES, 2, stats=16)

# ------------------------------------------------------------------------------- CUDA cores
# (arithmetic type, head dimension): 16-row pieces of the resident and of the streamed tile, forward
# and backward; what 99 KiB of shared memory, the least of all architectures, can hold.
PLAIN_TILES = {
    ("float32", 64): ((4, 4), (4, 4)), ("float64", 64): ((2, 2), (2, 2)),
    ("float32", 128): ((4, 2), (4, 2)), ("float64", 128): ((2, 2), (2, 1)),
    ("float32", 256): ((2, 2), (2, 1)), ("float64", 256): ((1, 1), (1, 1)),
}  # fmt: skip


def _plain(
    kernel: str, signature: Callable[[str], str], which: int, resident: int
) -> dict[tuple[str, int], Tiled]:
    """Instances for float32 and float64, and for half types whose heads are too large for tiles."""
    found = {}
    for dtype in CTYPES:
        wide = "float64" if dtype == "float64" else "float32"
        for depth in (256,) if dtype in HALVES else (64, 128, 256):
            r, c = PLAIN_TILES[wide, depth][which]
            size = 8 if wide == "float64" else 4
            step, rows, stream = depth + 16 // size, 16 * r, 16 * c
            shared = size * ((resident * rows + stream) * step + rows * (stream + 16 // size))
            instance = f"{kernel}<{CTYPES[dtype]}, {depth}, {r}, {c}>"
            spec = _spec(
                "attend_plain.cu", instance, f"{kernel}/{dtype}/{depth}", signature(dtype),
                ROWS_THREADS, shared,
            )  # fmt: skip
            found[dtype, depth] = Tiled(spec, rows)
    return found


FORWARD |= _plain("plain_forward", _forward_signature, 0, 1)
QUERIES |= _plain("plain_queries", _queries_signature, 1, 2)
KEYS |= _plain("plain_keys", _keys_signature, 1, 2)

# ------------------------------------------------------------------------------- rows
MARKS = {
    dtype: _spec(
        "attend_rows.cu", f"attend_marks<{c}>", f"attend_marks/{dtype}",
        f"const {c}* q_data, const {c}* k_data, const {c}* v_data, unsigned* q_marks, "
        f"unsigned* k_marks, long long batch, {PARAMS}",
        ROWS_THREADS,
    )
    for dtype, c in CTYPES.items()
}  # fmt: skip

STATS = {
    dtype: _spec(
        "attend_rows.cu", f"attend_stats<{c}>", f"attend_stats/{dtype}",
        f"const {c}* out, const {_wide(dtype)}* lse, const {c}* dout, const {_wide(dtype)}* dlse, "
        f"const void* sink, {_wide(dtype)}* lse_rows, {_wide(dtype)}* delta, unsigned* dead_marks, "
        f"{_wide(dtype)}* dsink, long long batch, long long padded, "
        f"long long base_2, {axes_params('dout')}, {axes_params('dlse')}, {PARAMS}",
        ROWS_THREADS,
    )
    for dtype, c in CTYPES.items()
}  # fmt: skip

_SUM_SIZES = ", ".join(f"long long {n}{axis}" for n in "nsmt" for axis in range(3))
SUM = {
    (wide, by_block): _spec(
        "attend_rows.cu", f"attend_sum<{CTYPES[wide]}, {str(by_block).lower()}>",
        f"attend_sum/{wide}/{'block' if by_block else 'thread'}",
        f"const {CTYPES[wide]}* x, void* out, long long kind, {_SUM_SIZES}", ROWS_THREADS,
    )
    for wide in ("float32", "float64")
    for by_block in (False, True)
}  # fmt: skip
