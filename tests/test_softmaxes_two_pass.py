"""(mantissa, exponent) pairs: a sum without a maximum, and what the official kernels get wrong."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import anymax as am
from anymax.softmaxes import add_ext, exp_ext, mul_ext, two_pass_softmax


def exact(x):
    x = np.asarray(x, np.longdouble)
    e = np.exp(x - x.max())
    return e / e.sum()


def test_a_logit_of_minus_infinity_is_masked():
    """The official kernels turn the whole row into NaN."""
    x = np.asarray([-np.inf, 0.0, 1.0], np.float32)
    np.testing.assert_allclose(two_pass_softmax(x), [0.0, 0.26894143, 0.7310586], rtol=1e-6)
    assert (two_pass_softmax(np.full((2, 3), -np.inf, np.float32)) == 0).all()


@pytest.mark.parametrize("size", [3e6, 1e8, 1e30])
def test_logits_beyond_three_million_keep_their_digits(size):
    """At 1e8 the official kernels give 3.02e-4 where 3.35e-4 is right."""
    size = np.float32(size)
    x = np.asarray([size, size - np.float32(8.0), np.nextafter(size, 0, dtype=np.float32)])
    np.testing.assert_allclose(two_pass_softmax(x), exact(x).astype(np.float32), rtol=1e-6)
    np.testing.assert_allclose(two_pass_softmax(-x), exact(-x).astype(np.float32), rtol=1e-6)


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e6), (np.float64, 1e3)])
def test_mantissa_keeps_the_precision_of_the_dtype(dtype, size):
    x = np.linspace(-size, size, 1001).astype(dtype)
    m, n = exp_ext(x)
    ln2 = np.log(np.longdouble(2))
    np.testing.assert_allclose(m, np.exp(x - n * ln2), rtol=4 * np.finfo(dtype).eps)
    assert (n == np.rint(n)).all()
    assert m.min() > 0.6
    assert m.max() < 1.6


@pytest.mark.parametrize("dtype", [np.float16, "bfloat16"])
def test_half_types_make_up_for_a_rounded_exponent(dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    x = np.asarray([700.0, -900.0, 2000.0]).astype(dtype)
    m, n = (a.astype(np.longdouble) for a in exp_ext(x))
    log = np.log(m) + n * np.log(np.longdouble(2))
    assert np.abs(log - x.astype(np.longdouble)).max() < 0.01


def test_sum_in_any_order_is_logsumexp():
    x = np.random.default_rng(0).normal(size=20) * 500.0
    terms = [exp_ext(np.asarray(v)) for v in x]
    for order in (range(20), reversed(range(20))):
        m, n = functools.reduce(add_ext, (terms[i] for i in order))
        total = np.log(np.longdouble(m)) + n * np.log(np.longdouble(2))
        assert abs(total - am.logsumexp(x)) < 1e-12 * abs(total)


def test_zero_is_neutral_and_product_adds_exponents():
    a = exp_ext(np.asarray([3.0, -np.inf]))
    zero = exp_ext(np.asarray(-np.inf))
    for got, wanted in zip(add_ext(a, zero), a):
        assert (got == wanted).all()
    m, n = mul_ext(exp_ext(np.asarray(700.0)), exp_ext(np.asarray(800.0)))
    assert abs(np.log(m) + n * np.log(2.0) - 1500.0) < 1e-10


def test_derivatives_flow_through_mantissas():
    def lse(x):
        xp = x.__array_namespace__()
        m, n = functools.reduce(add_ext, [exp_ext(x[i]) for i in range(3)])
        return xp.log(m) + n * np.log(2.0)

    x = np.asarray([0.5, 2.0, -1.0])
    _, (grad,) = am.value_and_grad(lse, argnums=(0,))(x)
    np.testing.assert_allclose(grad, am.softmax(x), rtol=1e-14)


def test_what_is_no_pair_is_refused():
    with pytest.raises(TypeError, match="add_ext: b is no pair"):
        add_ext((np.ones(2), np.ones(2)), (np.ones(2),))
