"""Ranking losses: ties, padding, empty lists, and bugs of the official code that are not ours."""

import numpy as np
import pytest

import anymax as am

S = np.asarray([[2.0, -1.0, 0.5, 1.0], [0.0, 0.0, 1.0, -2.0]])
R = np.asarray([[0, 2, 1, 3], [1, 2, 0, 0]])
LOSSES = (am.list_net_loss, am.rank_net_loss, am.lambda_loss, am.approx_ndcg_loss)


def gradient(form, s, r, **options):
    return np.asarray(am.value_and_grad(lambda x: form(x, r, **options))(s)[1])


@pytest.mark.parametrize("form", LOSSES)
def test_padding_leaks_nowhere(form):
    """Whatever a padded item holds, values and gradients are those of the list without it."""
    pad = np.asarray([[np.nan, np.inf], [-np.inf, 1e30]])
    s = np.concatenate([S, pad], axis=-1)
    r = np.concatenate([R.astype(float), np.full((2, 2), np.nan)], axis=-1)
    keep = np.arange(6) < 4
    np.testing.assert_allclose(form(s, r, where=keep), form(S, R), rtol=1e-14)
    g = gradient(form, s, r, where=keep)
    np.testing.assert_allclose(g[:, :4], gradient(form, S, R), rtol=1e-13, atol=1e-16)
    assert not g[:, 4:].any()


@pytest.mark.parametrize("form", LOSSES)
def test_lists_without_pairs_or_items_cost_nothing(form):
    """allRank's means over no pair are NaN."""
    one = form(np.asarray([[0.5]]), np.asarray([[2]]))
    assert np.isfinite(one)
    empty = np.zeros((2, 4), bool)
    assert form(S, R, where=empty) == 0.0
    assert not gradient(form, S, R, where=empty).any()
    half = np.asarray([[True], [False]])
    np.testing.assert_allclose(form(S, R, where=half), form(S[:1], R[:1]), rtol=1e-14)


def test_equal_scores_are_ranked_by_index():
    s = np.zeros(3)
    discount = np.log2([2.0, 3.0, 4.0])
    for r in ([3, 0, 1], [0, 1, 3]):
        gain = 2.0 ** np.asarray(r) - 1
        expected = np.sum(gain / discount) / np.sum(np.sort(gain)[::-1] / discount)
        np.testing.assert_allclose(am.ndcg(s, np.asarray(r)), expected, rtol=1e-14)


def test_ndcg_of_the_best_order_is_one_and_without_relevance_zero():
    np.testing.assert_allclose(am.ndcg(R[0].astype(float), R[0]), 1.0, rtol=1e-15)
    assert am.ndcg(S[0], np.zeros(4)) == 0.0
    assert am.lambda_loss(S, np.zeros((2, 4))) == 0.0


def test_logarithms_are_exact_without_eps():
    """allRank caps an item's cost at 23; its float32 discounts and exp-sums are not ours either."""
    s, r = np.asarray([[0.0, 50.0]]), np.asarray([[1.0, 0.0]])
    np.testing.assert_allclose(am.list_net_loss(s, r, softmax_target=False), 50.0, rtol=1e-12)
    capped = am.list_net_loss(s, r, softmax_target=False, eps=1e-10)
    np.testing.assert_allclose(capped, -np.log(1e-10), rtol=1e-6)


def test_list_net_is_least_at_the_relevance():
    r = R.astype(float)
    assert np.max(np.abs(gradient(am.list_net_loss, r + 3.0, r))) < 1e-15


def test_lambda_gradients():
    """Pairs pull with sigma sigmoid(-sigma d) times what swapping them changes of the NDCG."""
    s, r, sigma = S[0], R[0], 2.0
    rank = np.argsort(np.argsort(-s)) + 1.0
    ideal = np.sum((2.0 ** np.sort(r)[::-1] - 1) / np.log2(np.arange(2.0, 6.0)))
    swap = np.abs(np.subtract.outer(1 / np.log2(1 + rank), 1 / np.log2(1 + rank)))
    swap = swap * np.abs(np.subtract.outer(2.0**r, 2.0**r)) / ideal
    pull = -sigma / (1 + np.exp(sigma * np.subtract.outer(s, s))) * swap / np.log(2)
    pull = np.where(r[:, None] > r, pull, 0.0)
    expected = pull.sum(axis=1) - pull.sum(axis=0)
    actual = gradient(am.lambda_loss, s, r, sigma=sigma)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_mean_is_over_all_pairs():
    lists = am.rank_net_loss(S, R, reduction="none")
    pairs = np.asarray([6, 5])
    np.testing.assert_allclose(
        am.rank_net_loss(S, R), np.sum(lists * pairs) / np.sum(pairs), rtol=1e-14
    )
    np.testing.assert_allclose(am.rank_net_loss(S, R, reduction="sum"), np.sum(lists), rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: am.lambda_loss(S, R, scheme="ndcg"), ValueError, "'ndcgLoss2"),
        (lambda: am.lambda_loss(S, R, k=0), ValueError, "k is 0"),
        (lambda: am.ndcg(S, R, k=1.5), TypeError, "k is 1.5"),
        (lambda: am.rank_net_loss(S, R, sigma=0), ValueError, "sigma is 0"),
        (lambda: am.approx_ndcg_loss(S, R[:1]), ValueError, "one relevance a score"),
        (lambda: am.list_net_loss(S, R, eps=-1.0), ValueError, "eps is -1"),
        (lambda: am.list_net_loss(S, R, weight=np.ones(3)), ValueError, "weight"),
        (lambda: am.list_net_loss(S, R, where=np.ones(4)), TypeError, "boolean"),
    ],
)
def test_arguments_that_do_not_fit(call, error, said):
    with pytest.raises(error, match=said):
        call()
