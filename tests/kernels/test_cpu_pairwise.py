"""Sums over pairs, tile by tile, against the plain matrix of logits; and the memory they take."""

import itertools
import sys

import numpy as np
import pytest

pytest.importorskip("numba")
import fresh
from anymax._cpu import pairwise_logsumexp as kernel
from anymax._cpu import pool
from anymax.primitives.pairwise_logsumexp import pairwise_logsumexp, pairwise_softplus

array_api = pytest.importorskip("array_api_compat.numpy")
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
EVERY = list(itertools.product(("any", "same", "different"), (True, False), (True, False)))


@pytest.fixture(params=[(1024, 4096), (3, 5)], ids=["one_tile", "many_tiles"])
def tiles(request, monkeypatch):
    monkeypatch.setattr(kernel, "ROWS", request.param[0])
    monkeypatch.setattr(kernel, "COLUMNS", request.param[1])


def problem(dtype, bad):
    """Vectors with batch axes that broadcast, a mask with an empty row, and groups."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=s).astype(dtype) for s in ((2, 13, 7), (3, 1, 13, 7)))
    where = rng.uniform(size=(13, 13)) < 0.7
    where[4] = False
    if bad:
        a[..., 2, 3], b[..., 6, 1] = np.nan, np.inf
        where[:, 6], where[7, 6] = False, True
    return a, b, where, *rng.integers(0, 4, size=(2, 13))


def agree(actual, expected, dtype):
    for x, y in zip(actual, expected, strict=True):
        assert (x is None) == (y is None)
        if x is not None:
            assert x.dtype == dtype
            assert x.shape == y.shape
            np.testing.assert_allclose(x, y, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize(("groups", "diagonal", "grouped"), EVERY)
def test_logsumexp_and_gradients(tiles, dtype, bad, groups, diagonal, grouped):
    a, b, where, *labels = problem(dtype, bad)
    options = {"scale": -1.75, "groups": groups, "diagonal": diagonal}
    wide = [x.astype(np.float64) for x in (a, b)]
    for mask in (None, where, where[:, :1], where[:1]):
        rest = (mask, *(labels if grouped else (None, None)))
        with np.errstate(all="ignore"):
            expected = pairwise_logsumexp.reference(array_api, *wide, *rest, **options)
            actual = kernel.forward(a, b, *rest, **options)
            agree(actual, expected, dtype)
            g = np.random.default_rng(1).normal(size=(2, *expected[0].shape))
            needs = (True, True, False, False, False)
            slopes = pairwise_logsumexp.vjp(
                array_api, (*wide, *rest), expected, g, needs, **options
            )
            found = kernel.backward((a, b, *rest), actual, g, needs, **options)
        agree(found, slopes, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("diagonal", [True, False])
def test_softplus_and_gradients(tiles, dtype, bad, diagonal):
    a, b, where, *_ = problem(dtype, bad)
    options = {"scale": 3.0, "diagonal": diagonal}
    wide = [x.astype(np.float64) for x in (a, b)]
    for mask in (None, where):
        with np.errstate(all="ignore"):
            expected = pairwise_softplus.reference(array_api, *wide, mask, **options)
            actual = kernel.softplus_forward(a, b, mask, **options)
            agree((actual,), (expected,), dtype)
            g = (np.random.default_rng(1).normal(size=expected.shape),)
            needs = (True, True, False)
            slopes = pairwise_softplus.vjp(
                array_api, (*wide, mask), (expected,), g, needs, **options
            )
            found = kernel.softplus_backward((a, b, mask), (actual,), g, needs, **options)
        agree(found, slopes, dtype)


def test_small_softplus_keeps_its_digits():
    a, b = np.asarray([[-40.0]], np.float32), np.asarray([[1.0]] * 3, np.float32)
    y = kernel.softplus_forward(a, b, None, scale=1.0, diagonal=True)
    np.testing.assert_allclose(y, 3 * np.exp(-40.0), rtol=1e-5)


def test_derivative_along_tangents_is_that_of_the_gradient():
    a, b, where, *labels = problem(np.float64, False)
    a, b = a[0], b[0, 0]
    options = {"scale": 0.5, "groups": "any", "diagonal": False}
    operands = (a, b, where, *labels)
    y = pairwise_logsumexp.reference(array_api, *operands, **options)
    rng = np.random.default_rng(2)
    ta, tb, *g = rng.normal(size=a.shape), rng.normal(size=b.shape), *rng.normal(size=(2, 13))
    slopes = pairwise_logsumexp.vjp(
        array_api, operands, y, g, (True, True, False, False, False), **options
    )
    along = pairwise_logsumexp.jvp(array_api, operands, y, (ta, tb, None, None, None), **options)
    left = np.sum(slopes[0] * ta) + np.sum(slopes[1] * tb)
    np.testing.assert_allclose(left, sum(np.sum(x * t) for x, t in zip(g, along)), rtol=1e-12)


def test_bits_do_not_depend_on_threads():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 600, 8)).astype(np.float32)
    before, seen = pool.num_threads(), []
    options = {"scale": 1.0, "groups": "any", "diagonal": False}
    try:
        for threads in (1, 3):
            pool.set_num_threads(threads)
            y = kernel.forward(a, b, None, None, None, **options)
            g = kernel.backward(
                (a, b, None, None, None), y, (y[0], None), (True, True, False, False, False),
                **options,
            )  # fmt: skip
            seen.append((*y, *g[:2]))
    finally:
        pool.set_num_threads(before)
    assert all(np.array_equal(x, y) for x, y in zip(*seen))


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
@pytest.mark.parametrize(
    "form", ["info_nce", "nt_xent", "supervised_contrastive_loss", "siglip_loss"]
)
def test_logits_are_never_stored(form):
    """8,192 x 8,192 logits would take 256 MiB; both passes stay below that together."""
    out = fresh.run(f"""
import resource, numpy as np, anymax as am
form = am.{form}
rng = np.random.default_rng(0)
def call(rows):
    a, b = rng.standard_normal((2, rows, 16), dtype=np.float32)
    if form.__name__ == "supervised_contrastive_loss":
        y = np.arange(rows) % 10
        return am.value_and_grad(lambda a: form(a, y))(a)
    if form.__name__ == "nt_xent":
        a, b = a[: rows // 2], b[: rows // 2]
    return am.value_and_grad(form, argnums=(0, 1))(a, b)
call(64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
call(8192)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
""")
    assert float(out) < 128.0
