"""The checker is itself checked: each classic mistake is caught, and each correct twin passes."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from anymax._cuda.spec import KernelSpec, parse_signature
from kernels import shim
from kernels.shim import KernelError, ShimLauncher

pytestmark = pytest.mark.skipif(shim.why_not() is not None, reason=str(shim.why_not()))

KERNELS = Path(shim.__file__).parent / "kernels"


def run(
    instance, signature, args, *, grid=(1,), block=64, smem=0, inout=(), file="bugs.cu", **options
):
    params = parse_signature(signature, inout)
    spec = KernelSpec(instance, KERNELS / file, instance, params, block)
    ShimLauncher(**options).launch(spec, grid, (block,), smem, args)


def outputs(n=64):
    return np.full(n, np.nan, np.float32)


def ones(n):
    return np.ones(n, np.float32)


# What the report has to say, and the line of the mistake where the report can name it.
CAUGHT = {
    "divergent barrier": (
        "__syncthreads\\(\\) reached by only part of the block",
        ("divergent_barrier", "float* y", [outputs()], {}),
    ),
    "exited lane in a shuffle": (
        "deadlock .* at a warp primitive|lane that has exited",
        ("exit_before_shuffle", "float* y, int n", [outputs(), 40], {}),
    ),
    "uninitialised shared memory": (
        "read of uninitialised static __shared__",
        ("uninitialised_shared", "float* y", [outputs()], {}),
    ),
    "index past a static shared array": (
        "array index out of bounds at bugs.cu",
        ("static_shared_bounds", "float* y", [outputs()], {}),
    ),
    "write past dynamic shared memory": (
        "invalid write of 4 bytes, 1 bytes outside dynamic __shared__",
        ("dynamic_shared_bounds", "float* y", [outputs()], {"smem": 256}),
    ),
    "read past an argument": (
        "invalid read of 4 bytes, 1 bytes outside x",
        ("global_read_bounds", "const float* x, float* y", [ones(100), outputs()], {}),
    ),
    "write past an argument": (
        "invalid write of 4 bytes, 1 bytes outside y",
        ("global_write_bounds", "float* y", [outputs()], {}),
    ),
    "two blocks write one element": (
        "race: write after write on y",
        ("two_blocks_one_element", "float* y", [outputs()], {"grid": (2,)}),
    ),
    "accumulation that is not atomic": (
        "race: .* on total",
        ("plain_accumulate", "float* total", [ones(1)], {"inout": ("total",)}),
    ),
    "misaligned vector load": (
        "misaligned or null access at bugs.cu",
        ("misaligned_vector", "const float* x, float* y", [ones(256), outputs(32)], {"block": 32}),
    ),
    "write to a read-only argument": (
        "write to read-only argument x",
        ("write_read_only", "const float* x, float* y", [ones(64), outputs()], {}),
    ),
    "missing __syncwarp": (
        "race|uninitialised",
        ("warp_reverse<false>", "float* y", [outputs(32)], {"block": 32}),
    ),
    "missing barrier": (
        "race|uninitialised",
        ("block_reverse<false>", "float* y", [outputs()], {}),
    ),
    "missing barrier of a double buffer": (
        "race: .* on static __shared__",
        (
            "double_buffer<false>", "const float* x, float* y, int tiles",
            [ones(256), outputs(), 4], {},
        ),
    ),
    "cp.async waited for too laxly": (
        "read of uninitialised static __shared__|race",
        (
            "copy_ahead<2>", "const float* x, float* y, int tiles", [ones(512), outputs(32), 4],
            {"block": 32, "file": "wrappers.cu"},
        ),
    ),
    "cp.async never waited for": (
        "cp.async copies it never waited for",
        (
            "copy_and_forget", "const float* x, float* y", [ones(128), outputs(32)],
            {"block": 32, "file": "wrappers.cu"},
        ),
    ),
    "shift past the width": (
        "shift out of range at bugs.cu",
        ("shift_too_far", "int* y, int k", [np.zeros(32, np.int32), 5], {"block": 32}),
    ),
    "locals beyond the stack": (
        "stack of more than 131072 bytes",
        ("large_locals", "float* y, int n", [outputs(), 40000], {}),
    ),
    "output left out": (
        "coverage of y: 4 bytes never written",
        ("output_left_out", "float* y, int n", [outputs(), 63], {}),
    ),
    "output written twice": (
        "coverage of y: .* 256 more than once",
        ("output_written_twice", "float* y", [outputs()], {}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", CAUGHT)
def test_mistake_is_caught(mistake):
    message, (instance, signature, args, options) = CAUGHT[mistake]
    with pytest.raises(KernelError, match=message):
        run(instance, signature, args, **options)


CORRECT = {
    "atomic accumulation": (
        "atomic_accumulate", "float* total", [ones(1)], {"inout": ("total",), "grid": (4,)}
    ),
    "__syncwarp": ("warp_reverse<true>", "float* y", [outputs(32)], {"block": 32}),
    "barrier": ("block_reverse<true>", "float* y", [outputs()], {}),
    "double buffer": (
        "double_buffer<true>", "const float* x, float* y, int tiles", [ones(256), outputs(), 4], {}
    ),
    "cp.async": (
        "copy_ahead<1>", "const float* x, float* y, int tiles", [ones(512), outputs(32), 4],
        {"block": 32, "file": "wrappers.cu"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRECT)
@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_correct_twin_passes(name, order):
    instance, signature, args, options = CORRECT[name]
    run(instance, signature, args, order=order, **options)


def test_plain_execution_misses_the_double_buffer():
    """Why check mode exists: without it this race is right in every order."""
    for order in ("ascending", "descending", "shuffled"):
        y = outputs()
        run(
            "double_buffer<false>", "const float* x, float* y, int tiles", [ones(256), y, 4],
            check=False, order=order,
        )  # fmt: skip
        np.testing.assert_array_equal(y, 256.0)


def test_stray_write_is_noticed_without_checking():
    with pytest.raises(KernelError, match="4 bytes overwritten, 0 bytes after y"):
        run("global_write_bounds", "float* y", [outputs()], check=False)


def test_report_names_line_and_thread():
    with pytest.raises(KernelError) as caught:
        run("global_write_bounds", "float* y", [outputs()])
    lines = (KERNELS / "bugs.cu").read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if "global_write_bounds" in text)
    assert f"at bugs.cu:{line} [block (0,0,0) thread (63,0,0) warp 1 lane 31" in str(caught.value)


def test_launches_leave_nothing_behind():
    """Stacks that stay mapped would make a long test run out of mappings."""

    def mappings():
        return Path("/proc/self/maps").read_text().count("\n")

    launcher = ShimLauncher(check=False)
    params = parse_signature("float* y")
    spec = KernelSpec("block_reverse", KERNELS / "bugs.cu", "block_reverse<true>", params, 64)
    launcher.launch(spec, (8,), (64,), 0, [outputs()])
    before = mappings()
    for _ in range(50):
        launcher.launch(spec, (8,), (64,), 0, [outputs()])
    assert mappings() < before + 50


def test_wrong_parameter_list_is_refused():
    with pytest.raises(KernelError, match="its spec declares"):
        run("shift_too_far", "int* y, double k", [np.zeros(32, np.int32), 5.0], block=32)


def test_launch_outside_of_device_limits():
    with pytest.raises(KernelError, match="device limits"):
        run("block_reverse<true>", "float* y", [outputs()], block=2048)


# --------------------------------------------------------------------- the emulated instructions
HALVES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("through_ldmatrix", ["true", "false"])
def test_matrix_product_is_exact_on_integers(half, through_ldmatrix):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-8, 9, shape).astype(HALVES[half]) for shape in ((16, 16), (16, 8)))
    c = np.full((16, 8), np.nan, np.float32)
    run(
        f"matrix_product<{half}, {through_ldmatrix}>",
        f"const {half}* a, const {half}* b, float* c", [a, b, c], block=32, file="wrappers.cu",
    )  # fmt: skip
    np.testing.assert_array_equal(c, a.astype(np.float64) @ b.astype(np.float64))


@pytest.mark.parametrize("half", HALVES)
def test_conversions_round_as_numpy_does(half):
    """All 16-bit patterns, the points half way between neighbours, and what lies beyond."""
    halves = np.arange(65536, dtype=np.uint16).view(HALVES[half])
    exact = halves[np.isfinite(halves.astype(np.float32))].astype(np.float32)
    steps = np.nextafter(exact, np.float32(np.inf))
    between = (exact[1:].astype(np.float64) + exact[:-1]) / 2
    special = np.array([np.inf, -np.inf, np.nan, 65519.9, 65520.0, 1e38, 3e-8, 1e-45], np.float32)
    x = np.concatenate([exact, steps, between, special]).astype(np.float32)
    narrowed, widened = np.empty(len(x), HALVES[half]), np.empty(len(x), np.float32)
    run(
        f"round_trip<{half}>", f"const float* x, {half}* narrowed, float* widened, int n",
        [x, narrowed, widened, len(x)], grid=(-(-len(x) // 256),), block=256, file="wrappers.cu",
        check=False,
    )  # fmt: skip
    with np.errstate(over="ignore"):
        expected = x.astype(HALVES[half])
    is_number = ~np.isnan(x)
    np.testing.assert_array_equal(
        narrowed.view(np.uint16)[is_number], expected.view(np.uint16)[is_number]
    )
    np.testing.assert_array_equal(widened, expected.astype(np.float32))
