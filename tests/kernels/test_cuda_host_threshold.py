"""The CUDA kernels of maps with a threshold, run on the CPU with every memory access checked."""

from __future__ import annotations

import numpy as np
import pytest

from anymax._cuda import row_threshold
from kernels.row_cases import logits, masks
from kernels.shim import ShimLauncher, why_not
from kernels.threshold_cases import MAPS, check

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

CHECKED, FAST = ShimLauncher(), ShimLauncher(check=False)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", MAPS)
def test_edges(name, dtype):
    """Ragged rows that are plain, tied, empty, and hold -inf, +inf and NaN."""
    x = logits(33, dtype)
    where = masks(33)["random"] if dtype == "float32" else None
    check(name, x, where, None, (1,), dtype, launcher=CHECKED if dtype != "float64" else FAST)


@pytest.mark.parametrize("name", ["entmax", "budget", "soft_top_k"])
def test_a_parameter_a_row(name):
    x = logits(31, "float32")
    own = np.linspace(1.1, 2.6, 10, dtype="float32")[:, None]
    if name != "entmax":
        own[0], own[1], own[2] = 0, 31, -1  # nothing, everything, and less than nothing
    check(name, x, None, own, (1,), "float32", launcher=CHECKED)


@pytest.mark.parametrize("axes", [(0,), (0, 2), (1, 2)])
def test_axes_and_strides(axes):
    base = np.random.default_rng(1).standard_normal((4, 5, 36)).astype("float32")
    check("sparsemax", base[:, :, ::2], None, None, axes, "float32", launcher=CHECKED)
    check("soft_top_k", base[::-1, :, ::-2], None, None, axes, "float32", launcher=CHECKED)


def test_no_rows_and_no_cells():
    options = {"kind": "entmax", "value": 2.0, "scale": 1.0, "launcher": CHECKED}
    for shape, axes in (((0, 4), (1,)), ((3, 0), (1,)), ((), ()), ((3, 1), (1,))):
        y = row_threshold.forward(np.ones(shape, "float32"), None, None, axis=axes, **options)
        np.testing.assert_array_equal(y, np.ones(shape))


@pytest.mark.parametrize("cols", [1500, 13_000])
@pytest.mark.parametrize("name", ["entmax15", "sparsemax", "soft_top_k"])
def test_a_block_a_row(name, cols):
    """In shared memory, and too long for it."""
    rng = np.random.default_rng(6)
    x = 2 * rng.standard_normal((3, cols)).astype("float32")
    check(name, x, rng.random(x.shape) < 0.9, None, (1,), "float32", launcher=FAST)
