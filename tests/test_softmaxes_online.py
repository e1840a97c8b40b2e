"""States of unfinished softmaxes: merged in any way they are the state of the whole."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

import anymax as am

RNG = np.random.default_rng(0)
X, V = 10.0 * RNG.normal(size=(3, 24)), RNG.normal(size=(3, 24, 4))
X[1, 5:9] = -np.inf
X[2, :8] = -np.inf


def whole():
    p = am.softmax(X)
    return np.einsum("rc,rcd->rd", p, V), am.logsumexp(X)


def merged(sizes):
    cuts = np.cumsum([0, *sizes])
    parts = [am.softmax_state(X[:, a:b], v=V[:, a:b]) for a, b in itertools.pairwise(cuts)]
    m, l, o = (np.stack(s) for s in zip(*parts))
    m, l, o = am.merge_softmax_states(m, l, o=o)
    return am.finalize_softmax_state(m, l, o=o)


@pytest.mark.parametrize("sizes", [[24], [1] * 24, [8, 8, 8], [5, 0, 19], [1, 23]])
def test_any_partition_gives_the_whole(sizes):
    for got, wanted in zip(merged(sizes), whole()):
        np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-14)


def test_merging_two_by_two_is_merging_at_once():
    states = [am.softmax_state(X[:, a : a + 6]) for a in range(0, 24, 6)]

    def both(a, b):
        return am.merge_softmax_states(np.stack([a[0], b[0]]), np.stack([a[1], b[1]]))

    one_by_one = am.finalize_softmax_state(*functools.reduce(both, states))
    np.testing.assert_allclose(one_by_one, am.logsumexp(X), rtol=1e-14)


def test_an_empty_part_changes_no_bit():
    m, l = am.softmax_state(X)
    for left_over in (0.0, 1.0, np.nan):
        empty = np.full_like(m, -np.inf), np.full_like(m, left_over)
        again = am.merge_softmax_states(np.stack([m, empty[0]]), np.stack([l, empty[1]]))
        assert (again[0] == m).all()
        assert (again[1] == l).all()


def test_gradients_of_the_whole_come_through_states():
    """The maximum is a constant, and what is made of the state has the right derivative."""

    def lse(x):
        xp = x.__array_namespace__()
        parts = [am.softmax_state(x[..., :7]), am.softmax_state(x[..., 7:])]
        m, l = (xp.stack(s) for s in zip(*parts))
        return xp.sum(am.finalize_softmax_state(*am.merge_softmax_states(m, l)))

    _, (grad,) = am.value_and_grad(lse, argnums=(0,))(X)
    np.testing.assert_allclose(grad, am.softmax(X), rtol=1e-13)
    assert (grad[2, :8] == 0).all()


def test_gradients_of_values_and_logits_in_torch():
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, requires_grad=True)
    v = torch.tensor(V, requires_grad=True)
    m, l, o = am.softmax_state(x, v=v)
    out, _ = am.finalize_softmax_state(m, l, o=o)
    weight = torch.arange(12.0, dtype=torch.float64).reshape(3, 4)
    got = torch.autograd.grad((out * weight).sum(), (x, v))
    y = torch.einsum("rc,rcd->rd", torch.softmax(x, -1), v)
    wanted = torch.autograd.grad((y * weight).sum(), (x, v))
    for g, w in zip(got, wanted):
        torch.testing.assert_close(g, w, rtol=1e-11, atol=1e-12)


def test_infinite_logits_agree_with_logsumexp():
    x = np.asarray([[1.0, np.inf], [np.nan, 0.0], [-np.inf, -np.inf]])
    got = am.finalize_softmax_state(*am.softmax_state(x))
    np.testing.assert_array_equal(got, am.logsumexp(x))
    m, l = am.softmax_state(x[:, :1])
    m2, l2 = am.softmax_state(x[:, 1:])
    parts = am.merge_softmax_states(np.stack([m, m2]), np.stack([l, l2]))
    np.testing.assert_array_equal(am.finalize_softmax_state(*parts), am.logsumexp(x))


def test_a_bad_value_reaches_only_rows_that_attend_it():
    v = V.copy()
    v[:, 0] = np.nan
    _, _, o = am.softmax_state(X, v=v)
    assert np.isnan(o[:2]).all()
    assert np.isfinite(o[2]).all()


def test_values_need_the_last_axis():
    with pytest.raises(ValueError, match="axis is 0"):
        am.softmax_state(X, v=V, axis=0)
    with pytest.raises(ValueError, match="24 logits"):
        am.softmax_state(X, v=V[:, :3])
    with pytest.raises(ValueError, match="they must match"):
        am.merge_softmax_states(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="one axis more"):
        am.finalize_softmax_state(np.ones(3), np.ones(3), o=np.ones((2, 4)))
