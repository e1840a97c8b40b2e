"""The masking policy, line by line, value and gradient, on every array library.

A masked position has weight and gradient exactly 0, whatever it holds; -inf is masked; an empty row
gives 0, -inf or nothing; NaN stays in its row; non-finite keys and values reach only the queries
that attend them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import anymax as am
from anymax._conformance.columns import COLUMNS, Column, to_numpy
from anymax.testing import Case

INF, NAN = np.inf, np.nan
LIBRARIES = ("numpy", "torch", "jax:jit", "strict:strictest", "dask")
KERNELS = tuple(f"{name}, kernels" for name in LIBRARIES[:2])


@pytest.fixture(params=LIBRARIES + KERNELS)
def column(request: pytest.FixtureRequest) -> Iterator[Column]:
    name, _, kernels = request.param.partition(", ")
    with am.use_backend("auto" if kernels else "reference"):
        yield _column(name)


def _column(name: str) -> Column:
    column = COLUMNS[name]
    if column.absent():
        pytest.skip(column.absent())
    return column


def call(column: Column, f: Any, *args: Any, dtype: str = "float64", **options: Any) -> Any:
    """`f` on arrays of the column, its result as NumPy arrays."""
    case = Case("call", args, options)
    with column.session():
        given = case.mapped(lambda _, x: column.convert(x, dtype))
        y = column.call(f, given)
        return tuple(map(to_numpy, y)) if isinstance(y, tuple) else to_numpy(y)


def gradients(column: Column, f: Any, *args: Any, wrt: int = 1, **options: Any) -> Any:
    """Gradients of the first `wrt` arguments, for a cotangent of distinct numbers."""
    case = Case("call", args, options)
    with column.session():
        given = case.mapped(lambda _, x: column.convert(x, "float64"))

        def run(*arrays: Any) -> Any:
            y, pull = am.vjp(lambda *a: f(*a, *given.args[wrt:], **given.options), *arrays)
            shape = tuple(y.shape)
            cotangent = 1.0 + np.asarray(np.arange(int(np.prod(shape))).reshape(shape) / 8.0)
            return pull(column.convert(np.asarray(cotangent), "float64"))

        found = [to_numpy(x) for x in column.call(run, Case("gradients", given.args[:wrt]))]
    return found[0] if wrt == 1 else found


ROWS = np.asarray([[0.5, -1.0, 2.0], [1.0, 0.0, -2.0]])
KEEP = np.asarray([[True, False, True], [True, True, True]])
BAD = np.asarray([NAN, INF, -INF, 7.0])  # what masked cells hold, a row each
SAME = np.tile(ROWS[:1], (4, 1))
HIDDEN = np.tile([[False, True, False]], (4, 1))
HOLED = np.where(HIDDEN, BAD[:, None], SAME)
MAPS = {"softmax": (am.softmax, 0.0), "log_softmax": (am.log_softmax, -INF)}


@pytest.mark.parametrize("name", MAPS)
def test_masked_logits_have_no_weight_and_no_gradient(name, column):
    f, nothing = MAPS[name]
    y = call(column, f, HOLED, where=~HIDDEN)
    assert (y[HIDDEN] == nothing).all()
    alone = call(column, f, SAME[:, [0, 2]])
    np.testing.assert_allclose(y[:, [0, 2]], alone, rtol=1e-14)
    if column.autodiff:
        dx = gradients(column, f, HOLED, where=~HIDDEN)
        assert (dx[HIDDEN] == 0).all()
        np.testing.assert_allclose(dx, gradients(column, f, SAME, where=~HIDDEN), atol=1e-15)


def test_masked_logits_do_not_count_in_logsumexp(column):
    y = call(column, am.logsumexp, HOLED, where=~HIDDEN)
    np.testing.assert_allclose(y, np.full(4, np.log(np.exp(0.5) + np.exp(2.0))), rtol=1e-15)
    if column.autodiff:
        dx = gradients(column, am.logsumexp, HOLED, where=~HIDDEN)
        assert (dx[HIDDEN] == 0).all()
        np.testing.assert_allclose(dx.sum(axis=-1), [1.0, 1.125, 1.25, 1.375])


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.25}, {"softcap": 5.0}])
def test_masked_classes_do_not_count_in_cross_entropy(options, column):
    labels = np.full(4, 2)
    y = call(column, am.cross_entropy, HOLED, labels, where=~HIDDEN, reduction="none", **options)
    alone = call(column, am.cross_entropy, ROWS[:1, [0, 2]], np.asarray([1]), **options)
    np.testing.assert_allclose(y, np.full(4, alone), rtol=1e-14)
    if column.autodiff:
        dx = gradients(column, am.cross_entropy, HOLED, labels, where=~HIDDEN, **options)
        assert (dx[HIDDEN] == 0).all()
        assert np.isfinite(dx).all()
        np.testing.assert_allclose(dx, np.tile(dx[:1], (4, 1)), rtol=1e-14)


@pytest.mark.parametrize("name", MAPS)
def test_minus_infinity_is_masked(name, column):
    f, nothing = MAPS[name]
    y = call(column, f, np.where(KEEP, ROWS, -INF))
    assert y[0, 1] == nothing
    np.testing.assert_array_equal(y, call(column, f, ROWS, where=KEEP))
    if column.autodiff:
        dx = gradients(column, f, np.where(KEEP, ROWS, -INF))
        assert dx[0, 1] == 0
        np.testing.assert_allclose(dx, gradients(column, f, ROWS, where=KEEP), atol=1e-15)


EMPTY = [
    ("softmax", am.softmax, 0.0),
    ("log_softmax", am.log_softmax, -INF),
    ("logsumexp", am.logsumexp, -INF),
]


@pytest.mark.parametrize(("name", "f", "nothing"), EMPTY)
@pytest.mark.parametrize("how", ["masked", "infinite"])
def test_empty_rows(name, f, nothing, how, column):
    x = np.stack([ROWS[0], [-INF] * 3 if how == "infinite" else [NAN, INF, 1.0]])
    where = None if how == "infinite" else np.asarray([[True], [False]])
    y = call(column, f, x, where=where)
    assert (y[1] == nothing).all()
    np.testing.assert_allclose(y[0], call(column, f, ROWS[:1])[0], rtol=1e-15)
    if column.autodiff:
        dx = gradients(column, f, x, where=where)
        assert (dx[1] == 0).all()
        assert np.isfinite(dx).all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_empty_rows_cost_nothing_and_leave_the_mean(reduction, column):
    x, labels = np.stack([ROWS[0], [-INF] * 3]), np.asarray([0, 1])
    y = call(column, am.cross_entropy, x, labels, reduction=reduction)
    alone = call(column, am.cross_entropy, ROWS[:1], np.asarray([0]))
    expected = np.asarray([alone, 0.0]) if reduction == "none" else alone
    np.testing.assert_allclose(y, expected, rtol=1e-15)
    if column.autodiff:
        dx = gradients(column, am.cross_entropy, x, labels, reduction=reduction)
        assert (dx[1] == 0).all()
        assert np.isfinite(dx).all()


@pytest.mark.parametrize("how", ["masked", "infinite", "ignored", "no rows"])
def test_a_mean_over_nothing_is_zero(how, column):
    x = np.full((2, 3), -INF) if how == "infinite" else ROWS
    labels = np.full(2, -100 if how == "ignored" else 1)
    where = np.zeros((2, 3), bool) if how == "masked" else None
    if how == "no rows":
        x, labels = x[:0], labels[:0]
    assert call(column, am.cross_entropy, x, labels, where=where) == 0.0
    if column.autodiff:
        dx = gradients(column, am.cross_entropy, x, labels, where=where)
        assert dx.shape == x.shape
        assert (dx == 0).all()


@pytest.mark.parametrize(("f", "at_infinity"), [(am.softmax, NAN), (am.log_softmax, NAN),
                                                (am.logsumexp, INF)])  # fmt: skip
@pytest.mark.parametrize("bad", [NAN, INF])
def test_bad_numbers_that_take_part_stay_in_their_row(f, at_infinity, bad, column):
    x = ROWS.copy()
    x[0, 2] = bad
    y = call(column, f, x, where=KEEP)
    expected = NAN if np.isnan(bad) else at_infinity
    live = y[0] if f is am.logsumexp else y[0, [0, 2]]
    np.testing.assert_array_equal(live, np.full(np.shape(live), expected))
    np.testing.assert_allclose(y[1], call(column, f, ROWS)[1], rtol=1e-15)
    if f is not am.logsumexp:
        assert y[0, 1] == (-INF if f is am.log_softmax else 0.0)
    if column.autodiff:
        dx = gradients(column, f, x, where=KEEP)
        assert dx[0, 1] == 0
        np.testing.assert_allclose(dx[1], gradients(column, f, ROWS, where=KEEP)[1], rtol=1e-14)


def test_bad_logits_of_ignored_examples_do_not_reach_the_mean(column):
    x, labels = np.concatenate([ROWS[1:], HOLED]), np.asarray([1, -100, -100, -100, -100])
    y = call(column, am.cross_entropy, x, labels)
    np.testing.assert_allclose(y, call(column, am.cross_entropy, ROWS[1:], labels[:1]))
    if column.autodiff:
        dx = gradients(column, am.cross_entropy, x, labels)
        assert (dx[1:] == 0).all()
        assert np.isfinite(dx).all()


@pytest.mark.parametrize("how", ["masked", "infinite"])
def test_a_target_without_probability_costs_infinity(how, column):
    x = np.where(KEEP, ROWS, -INF) if how == "infinite" else ROWS
    where = KEEP if how == "masked" else None
    labels = np.asarray([1, 1])
    y = call(column, am.cross_entropy, x, labels, where=where, reduction="none")
    assert y[0] == INF
    assert np.isfinite(y[1])
    if column.autodiff:
        dx = gradients(column, am.cross_entropy, x, labels, where=where, reduction="none")
        assert dx[0, 1] == 0
        assert np.isfinite(dx[1]).all()


def test_a_class_with_target_zero_costs_nothing(column):
    x, t = np.asarray([[0.5, -INF, 1.0]]), np.asarray([[0.25, 0.0, 0.75]])
    y = call(column, am.cross_entropy, x, t)
    np.testing.assert_allclose(y, np.log(np.exp(0.5) + np.exp(1.0)) - 0.125 - 0.75)
    if column.autodiff:
        assert np.isfinite(gradients(column, am.cross_entropy, x, t)).all()


# -- attention -------------------------------------------------------------------------------------

_RNG = np.random.default_rng(4)
Q, K, V = (_RNG.normal(size=(2, n, 3)) for n in (4, 5, 5))
SEEN = np.ones((4, 5), bool)
SEEN[:, 3] = False
SEEN[1] = False


def attend(column: Column, q: Any, k: Any, v: Any, **options: Any) -> Any:
    return call(column, am.dot_product_attention, q, k, v, **options)


@pytest.mark.parametrize("place", ["key", "value"])
@pytest.mark.parametrize("how", ["mask", "bias", "lengths", "causal", "window"])
def test_masked_keys_and_values_leak_nowhere(how, place, column):
    hidden, options = _hidden(how)
    k, v = K.copy(), V.copy()
    (k if place == "key" else v)[:, hidden, 1] = [NAN, INF]  # a head each
    queries = Q[:, :3]
    clean = attend(column, queries, K, V, **options)
    np.testing.assert_array_equal(attend(column, queries, k, v, **options), clean)
    if column.autodiff:
        f = am.dot_product_attention
        found = gradients(column, f, queries, k, v, wrt=3, **options)
        expected = gradients(column, f, queries, K, V, wrt=3, **options)
        for got, wanted in zip(found, expected):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)
        assert (found[1][:, hidden] == 0).all()
        assert (found[2][:, hidden] == 0).all()


def _hidden(how: str) -> tuple[int, dict[str, Any]]:
    """A key that none of three queries sees, and what hides it."""
    if how == "mask":
        return 3, {"mask": SEEN[:3]}
    if how == "bias":
        return 3, {"bias": np.where(SEEN[:3], 0.25, -INF)}
    if how == "lengths":
        return 4, {"lengths": np.asarray(4)}
    if how == "causal":
        return 4, {"causal": "upper_left"}
    return 0, {"window": (1, None)}


def test_a_query_without_keys_gives_zeros(column):
    out, lse = attend(column, Q, K, V, mask=SEEN, return_lse=True)
    assert (out[:, 1] == 0).all()
    assert (lse[:, 1] == -INF).all()
    assert np.isfinite(out).all()
    if column.autodiff:
        dq, dk, dv = gradients(column, am.dot_product_attention, Q, K, V, wrt=3, mask=SEEN)
        assert (dq[:, 1] == 0).all()
        assert all(np.isfinite(g).all() for g in (dq, dk, dv))


def test_padded_queries_leak_nowhere(column):
    q, lengths = Q.copy(), (np.asarray(3), np.asarray(5))
    q[:, 3, 0] = [NAN, INF]
    clean = attend(column, Q, K, V, lengths=lengths)
    np.testing.assert_array_equal(attend(column, q, K, V, lengths=lengths), clean)
    assert (clean[:, 3] == 0).all()
    if column.autodiff:
        f = am.dot_product_attention
        found = gradients(column, f, q, K, V, wrt=3, lengths=lengths)
        for got, wanted in zip(found, gradients(column, f, Q, K, V, wrt=3, lengths=lengths)):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("place", ["query", "key", "value"])
def test_bad_rows_reach_exactly_the_queries_that_attend_them(place, column):
    arrays = [Q.copy(), K.copy(), V.copy()]
    row = {"query": 2, "key": 1, "value": 1}[place]
    arrays[("query", "key", "value").index(place)][0, row, 1] = NAN if place == "key" else INF
    mask = np.ones((4, 5), bool)
    mask[:2, 1] = False
    out = attend(column, *arrays, mask=mask)
    hit = np.zeros((2, 4), bool)
    hit[0, 2:] = place != "query"
    hit[0, 2] = True
    np.testing.assert_array_equal(np.isnan(out).all(axis=-1), hit)
    np.testing.assert_array_equal(np.isnan(out).any(axis=-1), hit)
    clean = attend(column, Q, K, V, mask=mask)
    np.testing.assert_allclose(out[~hit], clean[~hit], rtol=1e-13)
    if column.autodiff:
        for g in gradients(column, am.dot_product_attention, *arrays, wrt=3, mask=mask):
            assert np.isfinite(g).all()


# -- many equal logits in half precision -----------------------------------------------------------


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_many_equal_logits_in_half_precision(name, dtype, backend):
    """Sums of 70,000 ones overflow float16 and stand still at 256 in bfloat16."""
    column = _column(name)
    if dtype not in column.dtypes:
        pytest.skip(f"{name} has no {dtype}")
    if dtype == "bfloat16" and importlib.util.find_spec("ml_dtypes") is None:
        pytest.skip("ml_dtypes is not installed")
    n = 70_000
    x = np.full(n, 3.0)
    with am.use_backend(backend):
        p = call(column, am.softmax, x, dtype=dtype)
        lse = call(column, am.logsumexp, x, dtype=dtype)
        logp = call(column, am.log_softmax, x, dtype=dtype)
    assert (p == _rounded(1.0 / n, dtype)).all()
    assert lse == _rounded(3.0 + np.log(n), dtype)
    assert (logp == _rounded(-np.log(n), dtype)).all()


def _rounded(value: float, dtype: str) -> np.ndarray:
    return to_numpy(COLUMNS["numpy"].convert(np.asarray(value), dtype))
