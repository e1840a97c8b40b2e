"""Threshold and selection kernels on rows that are split among threads, and on hard rows."""

from __future__ import annotations

import numpy as np
import pytest

import anymax as am

pytest.importorskip("numba")

from anymax._cpu import pool

LONG = 140_001  # cells: such a row is split into chunks, the last of them short
RNG = np.random.default_rng(11)
MAPS = {
    "sparsemax": am.sparsemax,
    "entmax15": am.entmax15,
    "entmax 1.25": lambda x, **o: am.entmax(x, alpha=1.25, **o),
    "entmax 3": lambda x, **o: am.entmax(x, alpha=3.0, **o),
    "normmax": am.normmax,
    "budget": lambda x, **o: am.budget_sparsemax(x, budget=40.25, **o),
    "soft_top_k": lambda x, **o: am.soft_top_k(x, k=5, **o),
    "soft_top_k half": lambda x, **o: am.soft_top_k(x, k=70_000.5, alpha=2.0, **o),
    "soft_top_k steep": lambda x, **o: am.soft_top_k(x, k=20.5, alpha=60.0, **o),
    "log_soft_top_k": lambda x, **o: am.log_soft_top_k(x, k=5.5, **o),
    "log_soft_top_k steep": lambda x, **o: am.log_soft_top_k(x, k=5.5, alpha=60.0, **o),
}
EVERY = pytest.mark.parametrize("name", MAPS)


def row(dtype="float64", kind="normal"):
    x = RNG.normal(size=(1, LONG))
    if kind == "holes":
        x[0, ::3] = -np.inf
    return x.astype(dtype)


@EVERY
@pytest.mark.parametrize("kind", ["normal", "holes", "masked"])
def test_a_split_row_is_the_reference(name, kind):
    x = row(kind=kind)
    options = {"where": RNG.uniform(size=x.shape) < 0.5} if kind == "masked" else {}
    if kind == "masked":
        x = np.where(options["where"], x, np.nan)
    y = MAPS[name](x, **options)
    with am.use_backend("reference"):
        expected = MAPS[name](x, **options)
    assert np.array_equal(np.isinf(y), np.isinf(expected))
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=2e-14)


@EVERY
def test_gradients_of_a_split_row_are_the_reference(name):
    x, g = row(), RNG.normal(size=(1, LONG))
    _, pull = am.vjp(MAPS[name], x)
    with am.use_backend("reference"):
        _, plain = am.vjp(MAPS[name], x)
        (expected,) = plain(g)
    (dx,) = pull(g)
    np.testing.assert_allclose(dx, expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())


@EVERY
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_types_of_a_split_row_are_rounded_once(name, dtype):
    x = row(dtype)
    y = MAPS[name](x)
    exact = MAPS[name](x.astype(np.float64))
    eps = float(np.finfo(dtype).eps)
    wide = name.endswith("steep")  # float32 exponentials of logits of 200
    np.testing.assert_allclose(y, exact, rtol=eps + 3e-6 + 3e-5 * wide, atol=6e-8 + 3e-5 * wide)
    assert y.dtype == np.dtype(dtype)


@EVERY
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_cell_makes_its_split_row_nan_but_for_masked_cells(name, bad):
    x = row("float32")
    x[0, 99_999], x[0, 7] = bad, -np.inf
    y = MAPS[name](x)
    assert np.isnan(np.delete(y, 7)).all()
    assert y[0, 7] == (-np.inf if "log" in name else 0)


@EVERY
def test_an_empty_split_row_is_empty(name):
    for dtype in ("float16", "float32"):
        y = MAPS[name](np.full((1, LONG), -np.inf, dtype))
        assert (y == (-np.inf if "log" in name else 0)).all()


@EVERY
def test_a_split_row_has_the_same_bits_on_any_number_of_threads(name):
    x, seen, before = row("float32"), [], pool.num_threads()
    try:
        for threads in (1, 2, 3):
            pool.set_num_threads(threads)
            seen.append(MAPS[name](x))
    finally:
        pool.set_num_threads(before)
    assert np.array_equal(seen[0], seen[1])
    assert np.array_equal(seen[0], seen[2])


def hard_rows():
    """Rows on which Newton's method has many steps to make, or a flat stretch to cross."""
    n = 3000
    yield -np.cumsum(1e-3 * RNG.uniform(size=n))
    yield -(2.0 ** np.arange(0, 30, 0.01)) * 1e-6
    yield np.where(np.arange(n) < 7, 0.0, -5000.0) - 1e-3 * np.arange(n)
    yield np.zeros(n)
    yield 1e-6 * RNG.normal(size=n)
    yield 1e4 * RNG.normal(size=n)
    yield RNG.normal(size=n) ** 9


@pytest.mark.parametrize("number", range(7))
def test_hard_rows_sum_to_what_they_should(number):
    x = list(hard_rows())[number]
    for alpha in (1.001, 1.25, 1.5, 1.99, 2.0):
        np.testing.assert_allclose(am.entmax(x, alpha=alpha).sum(), 1, rtol=1e-11)
    for alpha in (1.1, 2.0, 5.0):
        np.testing.assert_allclose(am.normmax(x, alpha=alpha).sum(), 1, rtol=1e-12)
    for k in (0.01, 1.0, 6.5, 1500.0, 2999.0, 2999.9):
        np.testing.assert_allclose(am.budget_sparsemax(x, budget=k).sum(), k, rtol=1e-9)
        np.testing.assert_allclose(am.soft_top_k(x, k=k).sum(), k, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["normal", "ties", "holes", "equal"])
def test_selections_are_those_of_a_sort(kind, dtype):
    rng = np.random.default_rng(12)  # no sum lies on the edge of p, whatever ran before
    x = rng.normal(size=(4, 2500)).astype(dtype)
    if kind == "ties":
        x = np.rint(2 * x)
    if kind == "holes":
        x[:, ::2] = -np.inf
    if kind == "equal":
        x[:] = 0.5
    where = rng.uniform(size=x.shape) < 0.8
    for options in ({}, {"where": where}):
        for k in (1, 2, 17, 300, 2400):
            for strict in (False, True):
                same_as_reference(am.top_k_mask, x, k=k, strict=strict, **options)
        for p in (0.0, 0.0101, 0.5003, 0.9007, 1.0):
            same_as_reference(am.top_p_mask, x, p=p, min_keep=3, **options)


def same_as_reference(form, x, **options):
    chosen = form(x, **options)
    with am.use_backend("reference"):
        np.testing.assert_array_equal(chosen, form(x, **options))
