"""The CUDA cross entropy kernel, run on the CPU with every memory access checked."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from anymax._cuda import row_cross_entropy
from kernels import oracles
from kernels.oracles import wide
from kernels.row_cases import (
    COLS,
    DTYPES,
    OPTIONS,
    compare_cross_entropy,
    cross_entropy_case,
    masks,
)
from kernels.shim import ShimLauncher, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

CHECKED = ShimLauncher()


def check_cross_entropy(x, target, where, weight, row_scale, options, *, dtype, launcher=CHECKED):
    operands = (x, target, where, weight, row_scale)
    run = functools.partial(_launched, operands, options, launcher)
    g = np.random.default_rng(8).standard_normal((2, len(x))).astype(wide(dtype))
    g[0, 1] = 0
    compare_cross_entropy(run((g[0], g[1])), operands, g, options, dtype)


def _launched(operands, options, launcher, cotangents):
    loss, lse = row_cross_entropy.forward(*operands, launcher=launcher, **options)
    grads = row_cross_entropy.backward(
        operands, (loss, lse), cotangents, (True,) + (False,) * 4, launcher=launcher, **options
    )
    assert grads[1:] == (None,) * 4
    return loss, lse, grads[0]


@pytest.mark.parametrize("cols", COLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("probabilities", [False, True])
def test_cross_entropy(dtype, cols, probabilities):
    x, target, weight, row_scale = cross_entropy_case(cols, dtype, probabilities=probabilities)
    for i, options in enumerate(OPTIONS.values()):
        where = list(masks(cols).values())[i]
        check_cross_entropy(x, target, None, None, None, options, dtype=dtype)
        check_cross_entropy(x, target, where, weight, row_scale, options, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_in_one_launch(dtype):
    """Loss and gradient together are the loss, and the gradient for one constant cotangent."""
    x, target, weight, row_scale = cross_entropy_case(65, dtype, probabilities=False)
    operands = (x, target, masks(65)["columns"], weight, row_scale)
    for options in OPTIONS.values():
        (loss, lse), dx = row_cross_entropy.forward_backward(
            operands, 0.5, launcher=CHECKED, **options
        )
        g = np.full(len(x), 0.5, wide(dtype))
        expected = _launched(operands, options, CHECKED, (g, None))
        np.testing.assert_array_equal(loss, expected[0])
        np.testing.assert_array_equal(lse, expected[1])
        # The gradient alone starts from the saved lse: exp(y - lse) carries its rounding.
        rtol = 4 * oracles.EPS[dtype] + oracles.EPS[wide(dtype)] * 1e4
        np.testing.assert_allclose(
            dx.astype("float64"), expected[2].astype("float64"), rtol=rtol, atol=rtol / 10
        )


def test_cross_entropy_layouts():
    """Strided logits, int32 classes, broadcast cotangents and scales, batch axes."""
    rng = np.random.default_rng(9)
    base = rng.standard_normal((12, 3, 4)).astype("float32")
    x = base.transpose(1, 2, 0)
    target = rng.integers(0, 12, (3, 4)).astype("int32")
    row_scale = np.broadcast_to(np.float32(0.25), (3, 4))
    g = np.broadcast_to(np.float32(2.0), (3, 4))
    loss, _, dx = _launched((x, target, None, None, row_scale), {}, CHECKED, (g, None))
    expected = oracles.cross_entropy(
        x.reshape(12, 12), target.reshape(-1), None, None, row_scale.reshape(-1), "float64",
        smoothing=0.0, square=0.0, cap=None, cotangents=(g.reshape(-1), None),
    )  # fmt: skip
    np.testing.assert_allclose(loss.reshape(-1), expected[0], rtol=1e-6)
    np.testing.assert_allclose(dx.reshape(12, 12), expected[2], rtol=1e-5, atol=1e-7)


def test_cross_entropy_degenerate_shapes():
    """No rows, no classes, no batch axes."""
    for batch, classes in (((0,), 5), ((3,), 0), ((), 4), ((2, 0), 3)):
        x = np.zeros((*batch, classes), "float32")
        target = np.zeros(batch, "int64")
        loss, lse, dx = _launched(
            (x, target, None, None, None), {}, CHECKED, (np.ones(batch), None)
        )
        np.testing.assert_allclose(loss, np.full(batch, np.log(max(classes, 1))), rtol=1e-6)
        np.testing.assert_allclose(lse, np.full(batch, np.log(classes) if classes else -np.inf))
        assert dx.shape == x.shape


def test_class_out_of_range_is_nan_and_reads_nothing():
    x = np.zeros((2, 33), "float32")
    loss, _ = row_cross_entropy.forward(x, np.array([33, -1]), None, None, None, launcher=CHECKED)
    assert np.isnan(loss).all()


def test_cross_entropy_does_not_depend_on_the_order_of_threads():
    x = np.random.default_rng(6).standard_normal((37, 2051)).astype("float32")
    operands = (x, np.arange(37), x > -1, None, None)
    results = [
        row_cross_entropy.forward_backward(
            operands, 1.0, label_smoothing=0.1,
            launcher=ShimLauncher(check=False, order=order, seed=1),
        )
        for order in ("ascending", "descending", "shuffled")
    ]  # fmt: skip
    for (loss, lse), dx in results[1:]:
        assert loss.tobytes() == results[0][0][0].tobytes()
        assert lse.tobytes() == results[0][0][1].tobytes()
        assert dx.tobytes() == results[0][1].tobytes()


def test_cross_entropy_has_no_other_gradients():
    x, target, weight, _ = cross_entropy_case(31, "float32", probabilities=False)
    with pytest.raises(NotImplementedError, match="logits only"):
        row_cross_entropy.backward(
            (x, target, None, weight, None), (), (), (True, False, False, True, False)
        )
