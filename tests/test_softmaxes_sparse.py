"""Sparse softmaxes where official implementations go wrong, at their edges, and in their errors."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

import anymax as am

GOLDEN = pathlib.Path(__file__).parent / "golden"
BACKENDS = pytest.mark.parametrize("backend", ["auto", "reference"])
RNG = np.random.default_rng(5)


# -- what official code gets wrong -----------------------------------------------------------------


@BACKENDS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_soft_top_k_of_200_000_near_equal_scores_sums_to_k(backend, dtype):
    """A bracket of 10 to either side of the scores ends where the weights sum to 8.32."""
    x = (1e-3 * RNG.normal(size=200_000)).astype(dtype)
    with am.use_backend(backend):
        p = am.soft_top_k(x, k=5)
    assert abs(np.sum(p, dtype=np.float64) - 5) < 1e-4
    assert p.max() < 1e-4


@BACKENDS
def test_log_soft_top_k_balances_tails_that_a_sum_near_1_hides(backend):
    """What the first lacks to 1 is what the second has: half the gap each."""
    x = np.asarray([300.0, 0.0, -40.0])
    with am.use_backend(backend):
        y = am.log_soft_top_k(x, k=1)
    np.testing.assert_allclose(y[1:], [-150.0, -190.0], rtol=1e-12)
    np.testing.assert_allclose(y[0], -np.exp(-150.0), rtol=1e-9)


@BACKENDS
@pytest.mark.parametrize("form", [am.sparsemax, am.entmax15, am.normmax])
def test_masked_rows_are_zero_and_have_no_gradient(form, backend):
    """The entmax package gives NaN to a row of -inf."""
    x = np.asarray([[-np.inf, -np.inf, -np.inf], [1.0, -np.inf, 0.75]])
    with am.use_backend(backend):
        p, pull = am.vjp(form, x)
        (dx,) = pull(np.asarray([[1.0, np.nan, 2.0], [1.0, 7.0, 3.0]]))
    assert (p[0] == 0).all()
    assert (dx[0] == 0).all()
    assert p[1, 1] == dx[1, 1] == 0
    np.testing.assert_allclose(p[1].sum(), 1, rtol=1e-15)


@BACKENDS
def test_top_p_keeps_the_first_of_equal_logits(backend):
    x = np.asarray([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    with am.use_backend(backend):
        keep = am.top_p_mask(x, p=0.45)
        strict = am.top_k_mask(x, k=4, strict=True)
    np.testing.assert_array_equal(keep, [False, True, False, True, False, False])
    np.testing.assert_array_equal(strict, [True, True, False, True, True, False])


@BACKENDS
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_top_p_of_ties_has_the_official_weights_in_some_order(p, backend):
    z = np.load(GOLDEN / "classic-truncated-softmax__ties.npz")
    with am.use_backend(backend):
        ours = am.top_p_softmax(z["in_logits"], p=p)
    np.testing.assert_allclose(np.sort(ours), np.sort(z[f"out_topp{p}"]), atol=1e-15)


@BACKENDS
def test_entmax15_of_many_near_equal_logits_keeps_its_digits(backend):
    """A variance as the difference of two means of squares loses them all here."""
    x = (100.0 + 1e-3 * RNG.normal(size=(3, 2000))).astype(np.float32)
    with am.use_backend(backend):
        p = am.entmax15(x)
    exact = am.entmax15(x.astype(np.float64))
    np.testing.assert_allclose(p, exact, rtol=2e-4)
    np.testing.assert_allclose(np.sum(p, axis=-1, dtype=np.float64), 1, rtol=1e-5)


def test_sparsemax_takes_negative_axes():
    """The entmax package rolls the wrong axis when it may take only the largest logits."""
    x = RNG.normal(size=(3, 4, 5))
    np.testing.assert_array_equal(
        am.sparsemax(x, axis=-2), np.moveaxis(am.sparsemax(np.moveaxis(x, -2, -1)), -1, -2)
    )


# -- edges -----------------------------------------------------------------------------------------


@BACKENDS
def test_entmax_goes_over_into_softmax(backend):
    x = RNG.normal(size=(4, 50)) * 3
    with am.use_backend(backend):
        np.testing.assert_allclose(am.entmax(x, alpha=1 + 1e-9), am.softmax(x), rtol=1e-6)
        rows = am.entmax(x, alpha=np.asarray([[1.0], [1.5], [2.0], [1.0]]))
        np.testing.assert_allclose(rows[0], am.softmax(x)[0], rtol=1e-13)
        np.testing.assert_allclose(rows[1], am.entmax15(x)[1], atol=1e-15)
        np.testing.assert_allclose(rows[2], am.sparsemax(x)[2], atol=1e-15)


@BACKENDS
@pytest.mark.parametrize("form", [am.soft_top_k, am.log_soft_top_k])
def test_k_of_0_and_of_all_are_saturated(form, backend):
    x = np.asarray([[1.0, 2.0, -np.inf, 0.0]])
    none, one = (-np.inf, 0.0) if form is am.log_soft_top_k else (0.0, 1.0)
    with am.use_backend(backend):
        np.testing.assert_array_equal(form(x, k=0), np.full((1, 4), none))
        np.testing.assert_array_equal(form(x, k=3), [[one, one, none, one]])
        np.testing.assert_array_equal(form(x, k=99.5), [[one, one, none, one]])


@BACKENDS
def test_integer_counts_are_not_rounded_to_half_types(backend):
    x = RNG.normal(size=(2, 400)).astype(np.float16)
    with am.use_backend(backend):
        keep = am.top_k_mask(x, k=np.asarray([[301], [300]]), strict=True)
    np.testing.assert_array_equal(keep.sum(axis=-1), [301, 300])


@BACKENDS
def test_min_keep_is_kept(backend):
    x = np.asarray([5.0, 1.0, 4.0, 3.0])
    with am.use_backend(backend):
        for keep in (
            am.top_p_mask(x, p=0.0, min_keep=3),
            am.min_p_mask(x, min_p=1.0, min_keep=3),
        ):
            np.testing.assert_array_equal(keep, [True, False, True, True])
        assert am.top_p_mask(x, p=0.0).sum() == 1
        assert am.top_p_mask(x, p=1.0).all()
        assert am.min_p_mask(x, min_p=0.0).all()


@pytest.mark.parametrize("budget", [1.0, 2.5, 5.0])
def test_a_budget_is_a_projection(budget):
    """No other point of the polytope is closer to the logits."""
    x = RNG.normal(size=6)
    p = am.budget_sparsemax(x, budget=budget)
    for _ in range(200):
        q = am.budget_sparsemax(2.0 * RNG.normal(size=6), budget=budget)
        assert np.sum((p - x) ** 2) <= np.sum((q - x) ** 2) + 1e-12


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: am.entmax(x, alpha=0.5), ValueError, "entmax: alpha is 0.5; .* at least 1 fits"),
        (lambda x: am.entmax(x, alpha="2"), TypeError, "alpha is a str"),
        (lambda x: am.entmax(x, alpha=None), TypeError, "entmax: alpha is None"),
        (lambda x: am.normmax(x, alpha=1.0), ValueError, "above 1 fits"),
        (lambda x: am.soft_top_k(x, k=-1), ValueError, "soft_top_k: k is -1"),
        (lambda x: am.soft_top_k(x, k=1, alpha=0.0), ValueError, "alpha is 0.0; a positive"),
        (lambda x: am.soft_top_k(x, k=np.ones(4)), ValueError, "needs size 1"),
        (lambda x: am.entmax(x, alpha=np.asarray([[1.5], [0.0]])), ValueError, "everywhere"),
        (lambda x: am.top_p_mask(x, p=1.5), ValueError, r"number in \[0, 1\]"),
        (lambda x: am.top_k_mask(x, k=0), ValueError, "at least 1"),
        (lambda x: am.min_p_softmax(x, min_p=0.5, min_keep=0), ValueError, "min_keep is 0"),
        (lambda x: am.sparsemax(x, where=1.0), TypeError, "boolean"),
        (lambda x: am.budget_sparsemax(x, budget=np.inf), ValueError, "budget is inf"),
    ],
)
def test_errors_say_what_fits(call, error, words):
    with pytest.raises(error, match=words):
        call(RNG.normal(size=(2, 4)))
