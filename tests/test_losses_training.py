"""Training with losses: on NumPy, by the tape, as far as torch gets with formulas of its own."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import anymax as am

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

STEPS, MOMENTUM, TRAIN = 50, 0.9, 1200
RATES = {"l2_svm": 0.01, "arcface": 0.003, "z": 0.02}  # steep losses; 0.5 for others


@functools.cache
def digits():
    """Scikit-learn's digits as (examples, 65), a column of ones among them, and their labels."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x = pixels / 16.0 - 0.3
    return np.concatenate([x, np.ones((len(x), 1))], axis=1), labels.astype(np.int64)


# -- losses of weights (65, 10): by anymax on any array, and by torch alone ------------------------


def on_logits(loss, **options):
    return lambda w, x, y: loss(x @ w, y, **options)


def torch_focal(z, y):
    logp = torch.log_softmax(z, -1).gather(-1, y[:, None])[:, 0]
    return -((1 - logp.exp()) ** 2 * logp).mean()


def torch_poly(z, y):
    p = torch.softmax(z, -1).gather(-1, y[:, None])[:, 0]
    return torch.nn.functional.cross_entropy(z, y) + 2 * (1 - p).mean()


def torch_sparsemax(z, y):
    """By sorting, and differentiated through the threshold."""
    ordered = torch.sort(z, dim=-1, descending=True).values
    sums, n = torch.cumsum(ordered, -1) - 1, torch.arange(1, z.shape[-1] + 1)
    size = (ordered * n > sums).sum(-1, keepdim=True)
    p = torch.relu(z - sums.gather(-1, size - 1) / size)
    lead = (p * (z - z.gather(-1, y[:, None]))).sum(-1)
    return (lead - 0.5 * (p * p).sum(-1) + 0.5).mean()


def torch_l2_svm(z, y):
    sign = 2 * torch.nn.functional.one_hot(y, z.shape[-1]) - 1
    return (torch.relu(1 - sign * z) ** 2).sum(-1).mean()


def torch_z(z, y):
    """softplus of minus the target's logit, standardised in its row."""
    standard = (z - z.mean(-1, keepdim=True)) / z.std(-1, unbiased=False, keepdim=True)
    return torch.nn.functional.softplus(-standard.gather(-1, y[:, None])).mean()


def torch_arcface(w, x, y):
    unit = torch.nn.functional.normalize
    cosine = unit(x, dim=-1) @ unit(w, dim=0)
    hot = torch.nn.functional.one_hot(y, 10) > 0
    moved = torch.cos(torch.arccos(cosine.clamp(-1 + 1e-9, 1 - 1e-9)) + 0.1)
    return torch.nn.functional.cross_entropy(16 * torch.where(hot, moved, cosine), y)


def arcface(w, x, y):
    return am.margin_softmax_loss(x, w.T, y, kind="arcface", margin=0.1, scale=16.0)


PAIRS = {
    "cross_entropy": (on_logits(am.cross_entropy), on_logits(torch.nn.functional.cross_entropy)),
    "focal": (on_logits(am.softmax_focal_loss), on_logits(torch_focal)),
    "poly": (on_logits(am.poly_loss), on_logits(torch_poly)),
    "sparsemax": (on_logits(am.sparsemax_loss), on_logits(torch_sparsemax)),
    "l2_svm": (on_logits(am.l2_svm_loss), on_logits(torch_l2_svm)),
    "arcface": (arcface, torch_arcface),
    "z": (on_logits(am.z_loss), on_logits(torch_z)),
}


# -- training --------------------------------------------------------------------------------------


def start():
    return 0.01 * np.random.default_rng(0).normal(size=(65, 10))


def numpy_weights(loss, rate):
    x, y = (a[:TRAIN] for a in digits())
    step = am.value_and_grad(lambda w: loss(w, x, y))
    w, speed = start(), 0.0
    for _ in range(STEPS):
        speed = MOMENTUM * speed + step(w)[1]
        w = w - rate * speed
    return w


def torch_weights(loss, rate):
    x, y = (torch.from_numpy(a[:TRAIN]) for a in digits())
    w, speed = torch.from_numpy(start()).requires_grad_(), 0.0
    for _ in range(STEPS):
        (slope,) = torch.autograd.grad(loss(w, x, y), w)
        speed = MOMENTUM * speed + slope
        w = (w - rate * speed).detach().requires_grad_()
    return w.detach().numpy()


def accuracy(w):
    x, y = (a[TRAIN:] for a in digits())
    return float(np.mean(np.argmax(x @ w, axis=-1) == y))


@pytest.mark.parametrize("name", PAIRS)
def test_training_on_numpy_gets_as_far_as_torch_does(name):
    ours, theirs = PAIRS[name]
    rate = RATES.get(name, 0.5)
    mine, other = numpy_weights(ours, rate), torch_weights(theirs, rate)
    np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-8)
    assert accuracy(mine) == accuracy(other)
    assert accuracy(mine) > 0.85
