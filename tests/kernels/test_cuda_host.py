"""The CUDA softmax kernels, run on the CPU with every memory access checked.

What is tested here is the same source and the same launch code that a device runs; speed and the
device's own rounding are not.
"""

from __future__ import annotations

import numpy as np
import pytest

from anymax._cuda import row_softmax
from kernels import oracles
from kernels.oracles import TRUTH, assert_close, wide
from kernels.row_cases import COLS, DTYPES, KINDS, functions, logits, masks, plain_gradient, terms
from kernels.shim import ShimLauncher, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

CHECKED = ShimLauncher()


def check_rows(kind, x, where, axes, scale, launcher, *, dtype):
    """Compare value and gradient with the oracle; nothing may write to x or the mask."""
    before = x.copy(), None if where is None else where.copy()
    forward, backward = functions(kind)
    y = forward(x, where, axis=axes, scale=scale, launcher=launcher)
    assert y.dtype == x.dtype
    truth, plain = (oracles.forward(kind, x, where, axes, scale, d) for d in (TRUTH, wide(dtype)))
    assert_close(y, truth, plain, dtype)

    g = np.random.default_rng(2).standard_normal(y.shape).astype(x.dtype)
    dx, none = backward(
        (x, where), (y,), (g,), (True, False), axis=axes, scale=scale, launcher=launcher
    )
    assert none is None
    truth = oracles.backward(kind, x, where, g, axes, scale, TRUTH)
    plain = plain_gradient(kind, x, where, y, g, axes, scale, dtype)
    assert_close(dx, truth, plain, dtype, size=terms(kind, x, where, g, axes, scale))
    np.testing.assert_array_equal(x.astype("float64"), before[0].astype("float64"))
    if where is not None:
        np.testing.assert_array_equal(where, before[1])


@pytest.mark.parametrize("cols", COLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_edges(kind, dtype, cols):
    for name, where in masks(cols).items():
        for scale in (1.0, -0.75) if name in ("none", "random") else (2.5,):
            check_rows(kind, logits(cols, dtype), where, (1,), scale, CHECKED, dtype=dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_layouts(kind):
    """Strides, offsets and axes; the first element of a row is rarely 16-byte aligned."""
    base = np.random.default_rng(3).standard_normal((6, 5, 36)).astype("float32")
    frozen = base.copy()
    frozen.flags.writeable = False
    views = {
        "transposed": (base.transpose(2, 0, 1), (2,)),
        "stepped": (base[:, ::2, ::3], (2,)),
        "negative strides": (base[::-1, :, ::-1], (2,)),
        "offset by one element": (base.reshape(-1)[1:1021].reshape(4, 5, 51), (2,)),
        "rows further apart than long": (base[:, :, 3:30], (2,)),
        "broadcast rows": (np.broadcast_to(base[0, 0], (3, 2, 36)), (2,)),
        "broadcast columns": (np.broadcast_to(base[:, :, :1], (6, 5, 7)), (2,)),
        "first axis": (base, (0,)),
        "two axes": (base, (0, 2)),
        "all axes": (base, (0, 1, 2)),
        "read-only": (frozen, (1, 2)),
    }
    for x, axes in views.values():
        check_rows(kind, x, None, axes, 1.0, CHECKED, dtype="float32")


@pytest.mark.parametrize("kind", KINDS)
def test_masks_broadcast_through_strides(kind):
    x = np.random.default_rng(4).standard_normal((2, 3, 4, 5, 9)).astype("float32")
    rng = np.random.default_rng(5)
    for shape in ((9,), (5, 1), (4, 1, 9), (2, 1, 1, 1, 9), (2, 1, 4, 1, 9), (2, 1, 4, 5, 1), ()):
        check_rows(
            kind, x, np.asarray(rng.random(shape) < 0.7), (4,), 1.0, CHECKED, dtype="float32"
        )
    turned = np.asfortranarray(rng.random((2, 3, 4, 5, 9)) < 0.7)
    check_rows(kind, x, turned, (1, 3), 1.0, CHECKED, dtype="float32")


@pytest.mark.parametrize("kind", KINDS)
def test_degenerate_shapes(kind):
    forward, backward = functions(kind)
    for shape, axes in (((), ()), ((3,), (0,)), ((0, 4), (1,)), ((3, 0), (1,)), ((3, 0, 2), (0,))):
        x = np.ones(shape, "float32")
        y = forward(x, None, axis=axes, scale=1.0, launcher=CHECKED)
        expected = oracles.forward(kind, x, None, axes, 1.0, "float64")
        np.testing.assert_allclose(y, expected, rtol=1e-6)
        dx, _ = backward(
            (x, None),
            (y,),
            (np.ones_like(y),),
            (True, False),
            axis=axes,
            scale=1.0,
            launcher=CHECKED,
        )
        assert dx.shape == shape


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_torch_tensors(kind, dtype):
    torch = pytest.importorskip("torch")
    x = torch.randn(3, 4, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.to(getattr(torch, dtype)).transpose(1, 2)
    where = torch.rand(50, 1, generator=torch.Generator().manual_seed(1)) < 0.6
    forward, backward = functions(kind)
    y = forward(x, where, axis=(2,), scale=1.0, launcher=CHECKED)
    assert y.dtype == x.dtype
    as_numpy = x.to(torch.float64).numpy()
    expected = oracles.forward(kind, as_numpy, where.numpy(), (2,), 1.0, "float64")
    np.testing.assert_allclose(y.to(torch.float64).numpy(), expected, rtol=2e-2, atol=1e-6)
    g = torch.ones_like(y)
    dx, _ = backward((x, where), (y,), (g,), (True, False), axis=(2,), scale=1.0, launcher=CHECKED)
    assert dx.dtype == x.dtype
    assert dx.shape == x.shape


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_result_does_not_depend_on_the_order_of_threads(dtype):
    """Fast mode, larger rows, three orders, several blocks at a time: the same bits each time."""
    x = np.random.default_rng(6).standard_normal((37, 5003)).astype(dtype)
    results = [
        row_softmax.softmax(
            x, None, axis=(1,), scale=1.0,
            launcher=ShimLauncher(check=False, order=order, seed=seed),
        )
        for order, seed in (("ascending", 0), ("descending", 0), ("shuffled", 1), ("shuffled", 2))
    ]  # fmt: skip
    truth, plain = (oracles.forward("softmax", x, None, (1,), 1.0, d) for d in (TRUTH, "float32"))
    assert_close(results[0], truth, plain, dtype)
    for other in results[1:]:
        assert other.tobytes() == results[0].tobytes()
