"""logsumexp against SciPy's, and against many digits where SciPy itself rounds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import anymax as am

special = pytest.importorskip("scipy.special")
mpmath = pytest.importorskip("mpmath")

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4, 5)) * 10
FACTORS = RNG.normal(size=(3, 4, 5))


def scipy(x, **options):
    with np.errstate(all="ignore"):
        return special.logsumexp(x, **options)


def close(got, wanted, rtol=1e-13):
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=1e-15)


# -- what SciPy has ----------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, -1, (0, 2), (2, 1), None, ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes(axis, keepdims):
    wanted = X if axis == () else scipy(X, axis=axis, keepdims=keepdims)
    close(am.logsumexp(X, axis=axis, keepdims=keepdims), wanted)


@pytest.mark.parametrize("axis", [0, -1, (0, 2), None])
@pytest.mark.parametrize("keepdims", [False, True])
def test_factors_and_sign(axis, keepdims):
    got = am.logsumexp(X, weight=FACTORS, axis=axis, keepdims=keepdims, return_sign=True)
    wanted = scipy(X, b=FACTORS, axis=axis, keepdims=keepdims, return_sign=True)
    for g, w in zip(got, wanted, strict=True):
        close(g, w, 1e-12)


def test_a_negative_sum_is_nan_without_its_sign():
    assert np.isnan(am.logsumexp(np.zeros(2), weight=np.asarray([1.0, -2.0])))
    value, sign = am.logsumexp(np.zeros(2), weight=np.asarray([1.0, -2.0]), return_sign=True)
    assert (value, sign) == (0.0, -1.0)


def test_terms_that_cancel():
    value, sign = am.logsumexp(np.ones(2), weight=np.asarray([1.0, -1.0]), return_sign=True)
    assert (value, sign) == (-np.inf, 0.0)


@pytest.mark.parametrize("shape", [(5,), (4, 1), (3, 1, 5), ()])
def test_factors_broadcast(shape):
    factors = np.abs(RNG.normal(size=shape))
    close(am.logsumexp(X, weight=factors), scipy(X, b=factors, axis=-1), 1e-12)


def test_exponents_broadcast_to_the_factors():
    close(am.logsumexp(X[0, 0], weight=np.abs(FACTORS)), scipy(X[0, 0], b=np.abs(FACTORS), axis=-1))


def test_a_factor_of_zero_drops_its_term():
    x = np.asarray([1.0, np.inf, np.nan, 2.0])
    factors = np.asarray([1.0, 0.0, 0.0, 1.0])
    close(am.logsumexp(x, weight=factors), np.log(np.exp(1) + np.exp(2)))


def test_a_number_as_factor():
    close(am.logsumexp(X, weight=2), scipy(X, b=2, axis=-1))


@pytest.mark.parametrize("axis", [0, (0, 1), None])
def test_complex(axis):
    z = X + 1j * RNG.normal(size=X.shape) * 5
    close(am.logsumexp(z, axis=axis), scipy(z, axis=axis), 1e-12)
    got = am.logsumexp(z, axis=axis, weight=FACTORS, return_sign=True)
    wanted = scipy(z, axis=axis, b=FACTORS, return_sign=True)
    for g, w in zip(got, wanted, strict=True):
        close(g, w, 1e-11)


def test_complex_branch_is_the_principal_one():
    z = np.asarray([0.0 + 3j, 0.5 + 3.1j, 0.1 + 2.9j])
    value = am.logsumexp(z)
    assert -np.pi < value.imag <= np.pi
    np.testing.assert_allclose(np.exp(value), np.exp(z).sum(), rtol=1e-14)


# -- infinities and nothing --------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [
        [-np.inf, -np.inf], [np.inf, 0.0], [np.inf, np.inf], [np.inf, -np.inf], [-np.inf, 2.0],
        [np.nan, 0.0], [np.nan, np.inf], [1e300, -1e300], [-1e4, -1e4], [1e4, 1e4 - 1],
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("weighted", [False, True])
def test_special_values(x, weighted):
    x = np.asarray(x)
    options = {"weight": np.asarray([1.0, 2.0])} if weighted else {}
    close(am.logsumexp(x, **options), scipy(x, b=options.get("weight")))


@pytest.mark.parametrize("x", list(itertools.product([-np.inf, 0.0, np.inf], repeat=2)), ids=str)
def test_special_values_with_signs(x):
    """SciPy, except that a +inf term with another of opposite sign has no sum."""
    x, b = np.asarray(x), np.asarray([1.0, -1.0])
    got = am.logsumexp(x, weight=b, return_sign=True)
    wanted = scipy(x, b=b, return_sign=True)
    for g, w in zip(got, wanted, strict=True):
        close(g, w)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3)])
def test_nothing_to_sum(shape):
    x = np.zeros(shape)
    value = am.logsumexp(x)
    assert value.shape == shape[:-1]
    assert np.all(value == -np.inf)
    value, sign = am.logsumexp(x, weight=np.ones(shape), return_sign=True)
    assert np.all(value == -np.inf)
    assert np.all(sign == 0)


def test_where_drops_terms():
    keep = RNG.uniform(size=X.shape) < 0.5
    keep[0, 0] = False
    x = np.where(keep, X, np.nan)
    wanted = scipy(np.where(keep, X, -np.inf), axis=-1)
    close(am.logsumexp(x, where=keep), wanted)
    close(am.logsumexp(x, where=keep, weight=np.ones(5)), wanted)
    assert am.logsumexp(x, where=keep)[0, 0] == -np.inf


# -- digits ------------------------------------------------------------------------------------


def exact(x, b=None):
    """The logarithm of the sum to 400 digits, rounded to a double."""
    b = np.ones(len(x)) if b is None else b
    with mpmath.workdps(400):
        return float(mpmath.log(mpmath.fsum(mpmath.mpf(w) * mpmath.exp(v) for v, w in zip(x, b))))


TINY = [[0.0, -40.0], [0.0, -80.0, -81.0], [0.0, -700.0], [-1e-3, -7.0], [1e-9, -50.0]]


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("x", TINY, ids=str)
def test_sums_barely_above_one_keep_their_digits(x, backend):
    with am.use_backend(backend):
        np.testing.assert_allclose(am.logsumexp(np.asarray(x)), exact(x), rtol=1e-14)


@pytest.mark.parametrize("x", TINY, ids=str)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_weighted_sums_barely_above_one_keep_their_digits(x, sign):
    b = np.asarray([1.0] + [sign] * (len(x) - 1))
    got = am.logsumexp(np.asarray(x), weight=b)
    np.testing.assert_allclose(got, exact(x, b), rtol=1e-14)


def test_long_rows_do_not_lose_digits():
    x = RNG.normal(size=100_000).astype(np.float32)
    wanted = math.log(math.fsum(np.exp(x.astype(float))))
    for backend in ("reference", "auto"):
        with am.use_backend(backend):
            assert abs(float(am.logsumexp(x)) - wanted) < 2e-6 * wanted


def test_logits_far_from_zero():
    for shift in (1e4, -1e4, 1e15):
        x = np.asarray([0.0, 1.0, 2.0]) + shift
        np.testing.assert_allclose(am.logsumexp(x), exact(x), rtol=4e-16)


# -- derivatives -------------------------------------------------------------------------------


def test_gradient_is_the_softmax():
    _, grad = am.value_and_grad(am.logsumexp)(X[0, 0])
    close(grad, special.softmax(X[0, 0]))


def test_gradient_of_weights():
    x, b = X[0, 0] / 10, FACTORS[0, 0]

    def magnitude(x, b):
        return am.logsumexp(x, weight=b, return_sign=True)[0]

    _, (dx, db) = am.value_and_grad(magnitude, (0, 1))(x, b)
    total = np.sum(b * np.exp(x))
    close(dx, b * np.exp(x) / total, 1e-12)
    close(db, np.exp(x) / total, 1e-12)


def test_gradient_of_an_empty_row_is_zero():
    for options in ({}, {"weight": np.ones(3)}):
        _, grad = am.value_and_grad(lambda x: am.logsumexp(x, **options))(np.full(3, -np.inf))  # noqa: B023
        np.testing.assert_array_equal(grad, 0.0)


@pytest.mark.parametrize("library", ["torch", "jax.numpy", "array_api_strict"])
def test_other_libraries(library):
    xp = pytest.importorskip(library)
    x, b = (np.asarray(a, np.float32) for a in (X, FACTORS))
    value, sign = am.logsumexp(xp.asarray(x), weight=xp.asarray(b), return_sign=True, keepdims=True)
    wanted, wanted_sign = scipy(x, b=b, axis=-1, return_sign=True, keepdims=True)
    np.testing.assert_allclose(np.asarray(value), wanted, rtol=2e-5, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(sign), wanted_sign)
