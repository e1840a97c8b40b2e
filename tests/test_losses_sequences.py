"""Connectionist temporal classification against torch and brute force, and ratios of chunks."""

import itertools

import numpy as np
import pytest

import anymax as am
from anymax._conformance.entries import load_golden
from anymax.testing import assert_close, logits

torch = pytest.importorskip("torch")


def spelled(path, blank):
    """What an alignment spells: repetitions merged, then blanks removed."""
    return [label for label, _ in itertools.groupby(path) if label != blank]


def by_brute_force(logp, target, blank=0):
    frames, classes = logp.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=frames):
        if spelled(path, blank) == list(target):
            total += np.exp(sum(logp[t, c] for t, c in enumerate(path)))
    return -np.log(total) if total else np.inf


@pytest.mark.parametrize("target", [[], [1], [2, 1], [1, 1], [1, 1, 2], [2, 2, 2], [1, 2, 1, 2]])
@pytest.mark.parametrize("frames", [1, 3, 5])
def test_sum_over_all_alignments(frames, target):
    logp = am.log_softmax(logits(frames, 3, seed=4) / 4)
    expected = by_brute_force(logp, target)
    got = am.ctc_loss(logp, np.asarray(target, int), reduction="sum")
    assert_close(got, expected, rtol=1e-13)


def test_gradient_by_logits_is_torchs():
    z = load_golden("classic-ctc__ctc")
    for n in range(3):
        x = torch.from_numpy(z[f"in_logits_{n}"]).requires_grad_()
        logp = torch.log_softmax(x, -1).transpose(0, 1)
        target, *lengths = (
            torch.from_numpy(z[f"in_{k}_{n}"])
            for k in ("targets", "input_lengths", "target_lengths")
        )
        options = dict(zip(("input_lengths", "target_lengths"), lengths))
        am.ctc_loss(logp, target, zero_infinity=True, **options).backward()
        assert_close(x.grad, z[f"out_grad_mean_{n}"], rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_equals_torch(dtype, reduction, zero_infinity):
    """Values, and gradients by logits (those of an infeasible target are NaN or 0 there)."""
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.normal(size=(6, 14, 7)) * 3).to(dtype)
    target = torch.from_numpy(rng.integers(1, 7, size=(6, 5)))
    target[1] = 2  # repeated, infeasible in eight frames
    frames = torch.tensor([14, 8, 14, 9, 5, 11])
    labels = torch.tensor([5, 5, 0, 3, 2, 1])
    results = []
    for ours in (True, False):
        leaf = x.clone().requires_grad_()
        logp = torch.log_softmax(leaf, -1)
        options = {"reduction": reduction, "zero_infinity": zero_infinity}
        if ours:
            y = am.ctc_loss(logp, target, input_lengths=frames, target_lengths=labels, **options)
        else:
            y = torch.nn.functional.ctc_loss(
                logp.transpose(0, 1), target, frames, labels, **options
            )
        y.sum().backward()
        results.append((y.detach(), leaf.grad))
    rtol = 1e-12 if dtype == torch.float64 else 2e-5
    assert_close(results[0][0], results[1][0], rtol=rtol)
    feasible = torch.tensor([0, 2, 3, 4, 5])
    assert_close(results[0][1][feasible], results[1][1][feasible], rtol=rtol)
    assert (results[0][1][1] == 0).all()


def test_long_sequences_lose_no_digits():
    """torch adds up 2000 frames in float32; here the shift is taken out of every one."""
    x = am.log_softmax(logits(2000, 8, seed=1) / 4)
    target = np.random.default_rng(0).integers(1, 8, size=40)
    exact = am.ctc_loss(x, target, reduction="sum")
    single = am.ctc_loss(x.astype(np.float32), target, reduction="sum")
    assert_close(single, exact, rtol=1e-6)


def test_without_repetitions_as_many_frames_as_labels_have_one_alignment():
    logp = am.log_softmax(logits(4, 6, seed=2))
    target = np.asarray([3, 1, 5, 1])
    assert_close(
        am.ctc_loss(logp, target, reduction="sum"), -np.sum(logp[range(4), target]), rtol=1e-15
    )


def test_padding_takes_no_part():
    logp = am.log_softmax(logits(10, 4, seed=3)).reshape(2, 5, 4)
    short = am.ctc_loss(logp, np.asarray([[1, 2], [3, -1]]))
    long = am.ctc_loss(
        np.concatenate([logp, np.full((2, 3, 4), np.nan)], axis=1),
        np.asarray([[1, 2, 99], [3, 0, 0]]),
        input_lengths=np.asarray([5, 5]),
        target_lengths=np.asarray([2, 1]),
    )
    assert_close(long, short, rtol=1e-15)


LOGP = np.zeros((2, 3, 4))
ONES = np.ones((2, 2), int)


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: am.ctc_loss(LOGP, ONES - 1), ValueError, "the blank"),
        (lambda: am.ctc_loss(LOGP, ONES, blank=4), IndexError, "blank is 4"),
        (lambda: am.ctc_loss(LOGP, ONES + 3), IndexError, "label 4"),
        (lambda: am.ctc_loss(LOGP, ONES * 1.0), TypeError, "target is float64"),
        (lambda: am.ctc_loss(LOGP, ONES[0, 0]), ValueError, "fit"),
        (
            lambda: am.ctc_loss(LOGP, ONES, input_lengths=np.asarray([4, 1])),
            ValueError,
            "3 frames",
        ),
        (lambda: am.ctc_loss(LOGP, ONES, target_lengths=3), TypeError, "an integer array fits"),
        (lambda: am.ctc_loss(LOGP, np.ones((3, 2), int)), ValueError, "batch"),
        (lambda: am.ctc_loss(LOGP, ONES, reduction="all"), ValueError, "reduction"),
    ],
)
def test_errors_say_what_fits(call, kind, says):
    with pytest.raises(kind, match=says):
        call()
