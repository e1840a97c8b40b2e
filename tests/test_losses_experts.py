"""Losses of mixtures of experts: official gradients, bounds, densities that integrate to one."""

import numpy as np
import pytest

import anymax as am
from anymax._conformance.entries import load_golden
from anymax.testing import assert_close, logits

RNG = np.random.default_rng(2)
PARAMS = (
    *(RNG.normal(size=s) for s in ((4,), (4, 2), (4, 2), (4,))),
    RNG.uniform(0.5, 2.0, size=4),
)
X = RNG.normal(size=(3, 2))


def test_load_balancing_gradient_by_logits_is_megatrons():
    torch = pytest.importorskip("torch")
    z = load_golden("classic-moe-aux__load_balance_zloss")
    for n in range(3):
        x = torch.from_numpy(z[f"in_logits_{n}"]).requires_grad_()
        k = int(z[f"in_topk_{n}"])
        p, coeff = am.softmax(x), float(z[f"in_aux_coeff_{n}"])
        picks = torch.topk(x.detach(), k, dim=-1).indices
        loss = am.load_balancing_loss(p, picks, k=k, coeff=coeff)
        (g,) = torch.autograd.grad(loss, x, retain_graph=True)
        assert_close(g, z[f"out_grad_aux_{n}"], rtol=1e-13)
        counts = torch.from_numpy(z[f"out_tokens_per_expert_{n}"])
        assert_close(am.load_balancing_loss(p, None, k=k, counts=counts, coeff=coeff), loss)


def test_load_balancing_is_its_coefficient_at_balance_and_grows_on_collapse():
    p = np.full((8, 4), 0.25)
    assert_close(am.load_balancing_loss(p, np.arange(8) % 4), 1e-2, rtol=1e-15)
    one = np.eye(4)[np.zeros(8, int)]
    assert_close(am.load_balancing_loss(one, np.zeros(8, int)), 4e-2, rtol=1e-15)


def test_multi_hot_assignments_are_lists():
    p = am.softmax(logits(5, 4, seed=3))
    lists = np.asarray([[0, 1], [2, 3], [1, -1], [3, 0], [2, 1]])
    hot = (lists[..., None] == np.arange(4)).any(axis=1)
    assert_close(am.load_balancing_loss(p, hot, k=2), am.load_balancing_loss(p, lists, k=2))


def test_z_loss_with_infinite_logits_leaves_masked_cells_alone():
    x = np.asarray([[np.inf, -np.inf, 1.0], [np.nan, 0.0, -np.inf]])
    loss, g = am.value_and_grad(lambda x: am.router_z_loss(x, reduction="sum"))(x)
    assert np.isnan(loss)
    assert g[0, 1] == 0
    assert g[1, 2] == 0


def test_density_integrates_to_one():
    y = np.linspace(-30, 30, 6001)
    for options in ({}, {"gate": "top_k", "k": 2}, {"activation": "tanh", "temperature": 0.5}):
        density = np.exp(
            am.gaussian_moe_log_density(np.tile(X[0], (6001, 1)), y, PARAMS, **options)
        )
        assert_close(np.sum(density) * (y[1] - y[0]), 1.0, rtol=1e-12)


def test_density_far_from_all_experts_is_finite():
    far = am.gaussian_moe_log_density(X, np.full(3, 1e4), PARAMS)
    assert np.isfinite(far).all()


def test_one_expert_of_the_top_has_its_normal_density():
    _, beta1, a, b, variance = PARAMS
    best = np.argmax(X @ beta1.T, axis=-1)
    y = np.asarray([0.5, -1.0, 2.0])
    mean, var = np.sum(X * a[best], axis=-1) + b[best], variance[best]
    expected = -0.5 * ((y - mean) ** 2 / var + np.log(2 * np.pi * var))
    got = am.gaussian_moe_log_density(X, y, PARAMS, gate="top_k", k=1)
    assert_close(got, expected, rtol=1e-13)


def test_density_under_jit_with_a_temperature():
    """XLA rounds logits differently in their maximum and beside it; logsumexp must not mind."""
    jax = pytest.importorskip("jax")
    x, y = RNG.normal(size=(200, 2)), RNG.normal(size=200)

    def density(x, y, params, t):
        return am.gaussian_moe_log_density(x, y, params, temperature=t)

    args = jax.tree.map(lambda a: jax.numpy.asarray(a, "float32"), (x, y, PARAMS, np.asarray(1.5)))
    assert_close(jax.jit(density)(*args), density(x, y, PARAMS, 1.5), rtol=2e-5)


def test_voronoi_cells_and_permutations():
    assert am.losses.voronoi_loss(PARAMS, PARAMS) == 0
    turned = tuple(x[::-1] for x in PARAMS)
    for kind in ("exact", "over", "dense_to_sparse", "activation"):
        assert am.losses.voronoi_loss(turned, PARAMS, kind=kind) == 0
    one = tuple(x[:1] for x in PARAMS)  # three cells are empty and cost their weights
    assert_close(am.losses.voronoi_loss(one, PARAMS), np.sum(np.exp(PARAMS[0][1:])), rtol=1e-14)
    moved = (*PARAMS[:3], PARAMS[3] + 1e-3, PARAMS[4])
    first = am.losses.voronoi_loss(moved, PARAMS, kind="dense_to_sparse")
    assert_close(am.losses.voronoi_loss(moved, PARAMS, kind="activation"), first, rtol=1e-13)


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: am.load_balancing_loss(X, None), TypeError, "assignment or counts"),
        (
            lambda: am.load_balancing_loss(X, np.zeros((3, 1), int), k=2),
            ValueError,
            "1 experts a token",
        ),
        (lambda: am.load_balancing_loss(X, np.full(3, 2)), IndexError, "2"),
        (lambda: am.load_balancing_loss(X, None, counts=np.ones(3)), ValueError, "counts"),
        (lambda: am.importance_cv_loss(X[0]), ValueError, "fits"),
        (lambda: am.router_z_loss(X, weight=np.ones(2)), ValueError, "unreduced loss"),
        (
            lambda: am.gaussian_moe_log_density(X, X[:, 0], PARAMS, gate="top_k"),
            ValueError,
            "needs a k",
        ),
        (lambda: am.gaussian_moe_log_density(X, X[:, 0], PARAMS[:4]), TypeError, "five arrays"),
        (lambda: am.gaussian_moe_log_density(X, X, PARAMS), ValueError, "y"),
        (
            lambda: am.gaussian_moe_log_density(X, X[:, 0], (*PARAMS[:4], -PARAMS[4])),
            ValueError,
            "variance",
        ),
        (lambda: am.losses.voronoi_loss(PARAMS, PARAMS, kind="all"), ValueError, "kind"),
        (lambda: am.losses.voronoi_loss(PARAMS, PARAMS, rbar=3), ValueError, "rbar is 3"),
    ],
)
def test_errors_say_what_fits(call, kind, says):
    with pytest.raises(kind, match=says):
        call()
