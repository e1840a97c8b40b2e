"""Structured softmaxes: what they refuse, what they leave out of official code, what they cost."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import anymax as am

RNG = np.random.default_rng(50)
X = RNG.normal(size=(6, 4))
HEAD = RNG.normal(size=(4, 4))
TAIL = (RNG.normal(size=(2, 4)), RNG.normal(size=(3, 2)))
TREE = am.softmaxes.huffman_tree(np.asarray([9, 5, 3, 1]))
NODES = RNG.normal(size=(3, 4))
CODES = np.asarray([0, 1, 1])

WRONG = [
    (TypeError, "pairs", lambda: am.adaptive_log_softmax(X, HEAD, TAIL)),
    (ValueError, "5 are needed", lambda: am.adaptive_log_softmax(X, HEAD, (TAIL,) * 4)),
    (ValueError, "must match", lambda: am.adaptive_log_softmax(X, HEAD[:, :3], (TAIL,))),
    (ValueError, r"tails\[0\]\[1\]", lambda: am.adaptive_log_softmax(X, HEAD, ((TAIL[0], X),))),
    (IndexError, "holds 6, but there are 6 classes",
     lambda: am.adaptive_log_prob(X, np.full(6, 6), HEAD, (TAIL,))),
    (ValueError, "target has shape",
     lambda: am.adaptive_log_prob(X, np.zeros((6, 1), int), HEAD, (TAIL,))),
    (TypeError, "tree", lambda: am.hierarchical_log_softmax(X, NODES, TREE[0])),
    (ValueError, "3 rows", lambda: am.hierarchical_log_softmax(X, NODES[:2], TREE)),
    (ValueError, "positive_code",
     lambda: am.hierarchical_log_softmax(X, NODES, TREE, positive_code=2)),
    (IndexError, "holds -1", lambda: am.hierarchical_log_prob(X[0], np.asarray(-1), NODES, TREE)),
    (TypeError, "integer array", lambda: am.hierarchical_log_prob(X, X[:, 0], NODES, TREE)),
    (ValueError, "negative", lambda: am.softmaxes.huffman_tree(np.asarray([1, -1]))),
    (ValueError, "one or more", lambda: am.softmaxes.huffman_tree(np.zeros(0))),
    (IndexError, "holds 4, but there are 4 classes",
     lambda: am.two_level_log_softmax(X, HEAD, NODES, np.asarray([0, 1, 4]))),
    (ValueError, "num_levels", lambda: am.multi_level_activation(X, num_levels=0)),
    (TypeError, "num_levels", lambda: am.multi_level_activation(X, num_levels=2.0)),
    (ValueError, "steepness", lambda: am.multi_level_activation(X, num_levels=2, steepness=-1.0)),
    (ValueError, "strictly", lambda: am.ordered_logit_log_softmax(X, np.asarray([1.0, 1.0]))),
    (ValueError, "axes", lambda: am.ordered_logit_log_softmax(X, X)),
    (ValueError, "full binary tree", lambda: am.soft_tree_leaf_probs(X)),
    (ValueError, "activation", lambda: am.soft_tree_leaf_probs(X[:, :3], activation="relu")),
    (ValueError, "4 leaves fit",
     lambda: am.soft_tree_predict(X, NODES.T, np.zeros(3), np.zeros((3, 2)))),
    (ValueError, "kind", lambda: am.soft_tree_predict(X, NODES.T, np.zeros(3), HEAD, kind="x")),
    (IndexError, "there are 1 codes", lambda: am.vq_softmax(X, HEAD[:1], CODES)),
    (TypeError, "where", lambda: am.vq_softmax(X, HEAD, CODES, where=np.ones(3))),
    (ValueError, "no codes", lambda: am.softmaxes.assign_codes(X, X[:0])),
    (ValueError, "num_iters", lambda: am.softmaxes.kmeans_codebook(X, CODES, num_iters=-1)),
    (IndexError, "6 rows", lambda: am.softmaxes.kmeans_codebook(X, CODES + 6)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "said", "call"), WRONG, ids=[w[1] for w in WRONG])
def test_refusals_say_what_came_and_what_fits(error, said, call):
    with pytest.raises(error, match=said):
        call()


def test_lazy_counts_are_refused():
    jax = pytest.importorskip("jax")
    with pytest.raises(TypeError, match="traced"):
        jax.jit(am.softmaxes.huffman_tree)(jax.numpy.ones(4))


# -- official code's habits that are left out ---------------------------------------------------


def test_soft_tree_has_no_floor_under_its_factors():
    """Aranyani multiplies (n or 1 - n) + 1e-8 over all nodes: rows then miss one by 1e-8."""
    n = 1 / (1 + np.exp(-X[:, :3]))
    turns = np.asarray([[1, 1, 0], [1, -1, 0], [-1, 0, 1], [-1, 0, -1]])
    factors = np.where(turns == 0, 1.0, np.where(turns > 0, n[:, None], 1 - n[:, None]))
    official = np.prod(factors + 1e-8, axis=-1)
    ours = am.soft_tree_leaf_probs(X[:, :3])
    np.testing.assert_allclose(ours, official, atol=1e-7)
    assert np.abs(official.sum(-1) - 1).max() > 1e-9
    np.testing.assert_allclose(ours.sum(-1), 1.0, rtol=1e-15)


def test_hierarchical_softmax_keeps_scores_beyond_six():
    """word2vec skips nodes whose score its table doesn't reach."""
    log_p = am.hierarchical_log_prob(
        np.asarray([[8.0]]), np.asarray([1]), np.ones((1, 1)),
        am.softmaxes.huffman_tree(np.asarray([3, 1])),
    )  # fmt: skip
    np.testing.assert_allclose(log_p, -np.log1p(np.exp(-8.0)))


# -- trees ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [1, 2, 3, 8, 37, 1000])
def test_equal_counts_make_a_balanced_tree(words):
    _, _, lengths = am.softmaxes.huffman_tree(np.ones(words))
    assert lengths.max() == int(np.ceil(np.log2(words)))
    assert np.sum(0.5**lengths) == 1.0


def test_states_of_zero_have_the_probabilities_of_the_code():
    _, _, lengths = TREE
    log_p = am.hierarchical_log_softmax(np.zeros(4), NODES, TREE)
    np.testing.assert_allclose(np.exp(log_p), 0.5**lengths)


# -- cost ----------------------------------------------------------------------------------------


def _peak(f):
    f()
    tracemalloc.start()
    f()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_word_reads_its_path_only():
    words = 4096
    tree = am.softmaxes.huffman_tree(np.ones(words))
    nodes = np.full((words - 1, 8), np.nan)
    nodes[tree[1][7]] = 0.5  # the path of word 7
    h = np.ones((1, 8))
    assert np.isfinite(am.hierarchical_log_prob(h, np.asarray([7]), nodes, tree)).all()
    used = _peak(lambda: am.hierarchical_log_prob(h, np.asarray([7]), nodes, tree))
    assert used < words * 8


def test_a_label_under_vq_logits_needs_no_array_of_the_vocabulary():
    tokens = 1_000_000
    codebook, assignment = RNG.normal(size=(16, 4)), np.arange(tokens) % 16
    counts = np.bincount(assignment)
    used = _peak(lambda: am.softmaxes.vq_code_log_softmax(X, codebook, assignment, counts=counts))
    assert used < tokens / 10


def test_adaptive_log_prob_evaluates_a_cluster_for_its_own_rows_only():
    """NaN in a cluster's weights is met by that cluster's targets alone."""
    bad = (TAIL[0], np.full_like(TAIL[1], np.nan))
    target = np.asarray([0, 1, 2, 3, 4, 0])  # the last two of four head classes are clusters
    log_p = am.adaptive_log_prob(X, target, HEAD, (TAIL, bad))
    assert np.isfinite(log_p).all()


def test_vq_assignments_are_found_again():
    codebook = RNG.normal(size=(5, 3))
    codes = np.arange(40) % 5
    w = codebook[codes] + 1e-3 * RNG.normal(size=(40, 3))
    found, assigned = am.softmaxes.kmeans_codebook(w, np.arange(5), num_iters=3)
    np.testing.assert_array_equal(assigned, codes)
    np.testing.assert_allclose(found, codebook, atol=2e-3)
