"""The spherical family: scales, equal logits, and a layer learnt without forming it."""

import numpy as np
import pytest

import anymax as am

STATISTICS = am.losses.factored_forward
STEP = am.losses.factored_backward_update


def z_gradients(a, q, s, num_classes):
    """Derivatives of the mean Z-loss by the first requested logit and the sums."""
    mu = s / num_classes
    sigma = np.sqrt(q / num_classes - mu**2)
    z = (a[:, 0] - mu) / sigma
    g = 1 / (1 + np.exp(z)) / len(z)
    first = np.arange(a.shape[1]) == 0
    return (
        -(g / sigma)[:, None] * first,
        g * z / (2 * num_classes * sigma**2),
        g / (num_classes * sigma) * (1 - z * mu / sigma),
    )


def squared_gradients(a, q, s, num_classes):
    """Derivatives of the mean squared error."""
    n = len(q)
    first = np.arange(a.shape[1]) == 0
    return -2.0 / n * first * np.ones_like(a), np.full(n, 1.0 / n), np.zeros(n)


def start(w):
    one = np.eye(w.shape[1])
    return w.copy(), one, one, np.zeros(w.shape[1]), w.T @ w, w.sum(axis=0)


def dense_step(w, h, index, gradients_of, lr):
    """A step with all logits: the gradient by the inputs, and the weights after it."""
    o = h @ w.T
    a = np.take_along_axis(o, index, axis=1)
    da, dq, ds = gradients_of(a, np.sum(o**2, axis=1), np.sum(o, axis=1), len(w))
    g = ds[:, None] + 2 * dq[:, None] * o
    np.add.at(g, (np.arange(len(h))[:, None], index), da)
    return g @ w, w - lr * g.T @ h


@pytest.mark.parametrize(("gradients_of", "lr"), [(z_gradients, 0.5), (squared_gradients, 0.02)])
def test_a_thousand_factored_steps_are_dense_ones(gradients_of, lr):
    rng = np.random.default_rng(0)
    num_classes, features, rows = 120, 10, 6
    w = rng.normal(size=(num_classes, features)) / 4
    first, layer, worst = w.copy(), start(w), 0.0
    for step in range(1000):
        h = rng.normal(size=(rows, features))
        index = rng.integers(0, num_classes, size=(rows, 2))
        gradients = gradients_of(*STATISTICS(h, index, layer), num_classes)
        refresh = step % 100 == 99
        dh, layer = STEP(h, index, *gradients, layer, lr=lr, refresh=refresh)
        expected, w = dense_step(w, h, index, gradients_of, lr)
        worst = max(worst, np.max(np.abs(dh - expected)))
    v, u, _, omega, gram, w_sum = layer
    assert np.max(np.abs(w - first)) > 0.1  # it went somewhere
    assert worst < 1e-10
    for ours, dense in ((v @ u + omega, w), (gram, w.T @ w), (w_sum, w.sum(axis=0))):
        assert np.max(np.abs(ours - dense)) < 1e-10


def test_steps_without_a_refresh_drift():
    """The squared error shrinks u until its inverse has lost its digits; refreshes restore them."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(60, 6)) / 4
    layers = [start(w), start(w)]
    for step in range(400):
        h, index = rng.normal(size=(4, 6)), rng.integers(0, 60, size=(4, 1))
        for i, layer in enumerate(layers):
            gradients = squared_gradients(*STATISTICS(h, index, layer), 60)
            options = {"lr": 0.05, "refresh": bool(i) and step % 20 == 19}
            _, layers[i] = STEP(h, index, *gradients, layer, **options)
        _, w = dense_step(w, h, index, squared_gradients, 0.05)
    errors = [np.max(np.abs(v @ u + omega - w)) for v, u, _, omega, *_ in layers]
    assert errors[1] < 1e-13
    assert errors[0] > 1e-10


def test_rows_alone_are_the_rows_of_the_layer():
    rng = np.random.default_rng(1)
    h, index = rng.normal(size=(4, 3)), np.asarray([[0, 2], [2, 2], [-1, 5], [0, 1]])
    layer = start(rng.normal(size=(6, 3)))
    gradients = z_gradients(*STATISTICS(h, index, layer), 6)
    _, (v, *state) = STEP(h, index, *gradients, layer, lr=0.1)
    _, (rows, *same) = STEP(h, index, *gradients, layer, lr=0.1, return_rows=True)
    there, written = index != -1, layer[0].copy()
    written[index[there]] = rows[there]
    np.testing.assert_array_equal(written, v)
    for x, y in zip(state, same):
        np.testing.assert_array_equal(x, y)


def test_refresh_and_rows_exclude_one_another():
    layer = start(np.ones((3, 2)))
    args = np.ones((1, 2)), np.asarray([[0]]), np.ones((1, 1)), np.ones(1), np.ones(1), layer
    with pytest.raises(ValueError, match="refresh writes all of v"):
        STEP(*args, lr=0.1, refresh=True, return_rows=True)


def test_layer_says_what_it_misses():
    h, index, layer = np.ones((1, 2)), np.asarray([[0]]), start(np.ones((3, 2)))
    with pytest.raises(TypeError, match="six arrays"):
        STATISTICS(h, index, layer[:5])
    with pytest.raises(ValueError, match="layer's gram has shape"):
        STATISTICS(h, index, (*layer[:4], np.ones(2), layer[5]))
    with pytest.raises(IndexError, match="index holds 3"):
        STATISTICS(h, np.asarray([[3]]), layer)


def test_jax_writes_rows_of_donated_layers_in_place():
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(2)
    w = rng.normal(size=(50, 4)).astype(np.float32)
    h, index = rng.normal(size=(3, 4)).astype(np.float32), rng.integers(0, 50, size=(3, 1))
    gradients = (np.ones((3, 1), np.float32), np.full(3, 0.125, np.float32), np.ones(3, np.float32))
    layer = tuple(np.asarray(x, np.float32) for x in start(w))
    expected = STEP(h, index, *gradients, layer, lr=0.01)[1]
    step = jax.jit(
        lambda v, rest: STEP(h, index, *gradients, (v, *rest), lr=0.01), donate_argnums=0
    )
    h, index, *gradients = map(jax.numpy.asarray, (h, index, *gradients))
    v = jax.numpy.asarray(layer[0])
    _, found = step(v, tuple(map(jax.numpy.asarray, layer[1:])))
    assert v.is_deleted()
    for x, y in zip(found, expected):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)


def test_z_loss_of_equal_logits_has_no_slope():
    """The mean of three times 0.1 is not 0.1 in floating point: the deviation must be 0 anyway."""
    x, y = np.full((2, 3), 0.1), np.asarray([0, 2])
    loss, (dx,) = am.value_and_grad(am.z_loss, (0,))(x, y)
    assert loss == np.log(2.0)
    np.testing.assert_array_equal(dx, 0.0)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_z_loss_knows_no_scale(scale):
    x, y = np.asarray([1.0, -1.5, 0.25]), np.asarray(1)
    assert am.z_loss(scale * x, y) == pytest.approx(float(am.z_loss(x, y)), rel=1e-15)


def test_z_loss_far_from_zero_keeps_its_digits():
    """Sums of squares would lose all of them: the mean is 1e9 deviations."""
    x, y = np.asarray([0.0, 1.0, -2.0, 3.0]), np.asarray(3)
    assert am.z_loss(x + 2.0**30, y) == float(am.z_loss(x, y))


def test_z_loss_refuses_soft_targets():
    with pytest.raises(TypeError, match="class indices"):
        am.z_loss(np.zeros((2, 3)), np.zeros((2, 3)))


def test_bouchard_alternation_ends_where_ours_is():
    x = np.random.default_rng(3).normal(size=7)
    xi = 1.0
    for _ in range(500):
        curve = np.tanh(xi / 2) / (4 * xi)
        alpha = np.mean(x) + (x.size / 2 - 1) / (2 * curve * x.size)
        xi = np.sqrt(np.mean((x - alpha) ** 2))
    given = am.losses.bouchard_logsumexp_bound(x, xi=xi, alpha=alpha)
    assert am.losses.bouchard_logsumexp_bound(x) == pytest.approx(float(given), rel=1e-13)
