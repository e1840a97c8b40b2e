"""Losses on large vocabularies: what official code gets wrong, and arguments that don't fit."""

import numpy as np
import pytest

import anymax as am

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(4, 9)), np.asarray([0, 8, 3, 5])


@pytest.mark.parametrize("smoothing", ["uniform", "others"])
def test_smoothing_does_not_depend_on_how_the_classes_are_split(smoothing):
    """Megatron-LM takes the mean and the number of classes of each rank alone."""
    options = {"label_smoothing": 0.25, "smoothing": smoothing, "reduction": "none"}
    whole = am.vocab_parallel_cross_entropy((X,), Y, **options)
    for ends in ([4], [1, 7], [3, 3, 6]):
        shards = tuple(np.split(X, ends, axis=-1))
        np.testing.assert_allclose(am.vocab_parallel_cross_entropy(shards, Y, **options), whole)


def test_smoothing_over_others_is_more_of_the_uniform_one():
    """torch's share is that of Megatron-LM times K / (K - 1)."""
    others = am.vocab_parallel_cross_entropy(
        (X[:, :4], X[:, 4:]), Y, label_smoothing=0.25, smoothing="others"
    )
    np.testing.assert_allclose(others, am.cross_entropy(X, Y, label_smoothing=0.25 * 9 / 8))


def test_a_target_that_no_shard_owns_is_refused():
    """Megatron-LM gives a finite loss for it."""
    with pytest.raises(IndexError, match="label 9"):
        am.vocab_parallel_cross_entropy((X[:, :4], X[:, 4:]), np.asarray([0, 9, 3, 5]))
    jax = pytest.importorskip("jax")
    loss = jax.jit(lambda x, y: am.vocab_parallel_cross_entropy((x,), y, reduction="none"))
    found = np.isnan(loss(jax.numpy.asarray(X), jax.numpy.asarray([0, 9, 3, 5])))
    np.testing.assert_array_equal(found, [False, True, False, False])


@pytest.mark.parametrize("widths", [(), (0, 2), (3, 2), (2, 10)])
def test_widths_that_do_not_fit_are_refused(widths):
    with pytest.raises(ValueError, match="widths"):
        am.nested_prefix_cross_entropy(X, rng.normal(size=(9, 9)), Y, widths=widths)


def test_batches_that_differ_are_refused():
    w = rng.normal(size=(5, 9))
    with pytest.raises(ValueError, match="batch axes"):
        am.linear_kl_div(X, w, X[:3], w)
    with pytest.raises(ValueError, match="temperature"):
        am.linear_kl_div(X, w, X, w, temperature=0.0)


def test_torch_saves_no_logits_of_student_or_teacher():
    torch = pytest.importorskip("torch")
    s, w, t, v = (torch.randn(n, 4, requires_grad=True) for n in (64, 300, 64, 300))
    sizes = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda x: sizes.append(x.numel()) or x, lambda x: x
    )
    with hooks:
        am.linear_kl_div(s, w, t, v, chunk_size=8).backward()
    assert sizes
    assert max(sizes) < 300 * 8
