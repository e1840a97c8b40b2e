"""The CUDA kernels of weights s(x) / sum s(x), run on the CPU with every memory access checked."""

from __future__ import annotations

import numpy as np
import pytest

from anymax._cuda import row_weights
from kernels.row_cases import logits, masks
from kernels.shim import ShimLauncher, why_not
from kernels.weight_cases import KINDS, check, logits_for

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

CHECKED, FAST = ShimLauncher(), ShimLauncher(check=False)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_edges(kind, dtype):
    """Ragged rows that are plain, large, tied, empty, and hold -inf, +inf and NaN."""
    x = logits_for(kind, logits(33, dtype))
    for where in (masks(33)["random"], masks(33)["rows"]) if dtype == "float32" else (None,):
        check(kind, x, where, None, (1,), dtype, launcher=CHECKED)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sinks(dtype):
    x = logits(31, dtype)
    sink = np.linspace(-3, 3, 10, dtype="float32")[:, None]
    sink[1], sink[2], sink[3], sink[9] = -np.inf, np.inf, 1, 40
    check("exp", x, masks(31)["random"], sink, (1,), dtype, launcher=CHECKED)
    y = row_weights.weights(x, None, sink, axis=(1,), kind="exp", value=(), launcher=CHECKED)
    assert not y[2].any()  # the sink takes it all
    shared = np.full((1, 1), 0.5, "float32")
    finite = np.where(np.isfinite(x.astype("float32")), x, 0).astype(x.dtype)
    check("exp", finite, None, shared, (1,), dtype, launcher=CHECKED)


@pytest.mark.parametrize("axes", [(0,), (0, 2), (1, 2)])
def test_axes_and_strides(axes):
    base = np.random.default_rng(1).standard_normal((4, 5, 36)).astype("float32")
    rows = tuple(1 if a in axes else n for a, n in enumerate((4, 5, 18)))
    sink = np.random.default_rng(2).standard_normal(rows).astype("float32")
    check("exp", base[:, :, ::2], None, sink, axes, "float32", launcher=CHECKED)
    check("stable", base[::-1, :, ::-2], None, None, axes, "float32", launcher=CHECKED)


def test_no_rows_and_no_cells():
    for shape, axes in (((0, 4), (1,)), ((3, 0), (1,)), ((), ()), ((3, 1), (1,))):
        x = np.ones(shape, "float32")
        y = row_weights.weights(x, None, None, axis=axes, kind="exp", value=(), launcher=CHECKED)
        np.testing.assert_array_equal(y, np.ones(shape))


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_a_row(kind):
    rng = np.random.default_rng(6)
    x = logits_for(kind, 2 * rng.standard_normal((9, 5003)).astype("float32"))
    check(kind, x, rng.random(x.shape) < 0.9, None, (1,), "float32", launcher=FAST)


@pytest.mark.parametrize("order", [2, 4])
def test_other_taylor_orders(order, monkeypatch):
    monkeypatch.setitem(KINDS, "taylor", (order,))
    check("taylor", logits(33, "float32"), None, None, (1,), "float32", launcher=FAST)
