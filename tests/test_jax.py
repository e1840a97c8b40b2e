"""JAX: jit, gradients of every order, forward mode and vmap, with float64 and without."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import anymax as am
import fresh

jax = pytest.importorskip("jax")
jnp = jax.numpy

RNG = np.random.default_rng(7)
X = RNG.normal(size=(3, 5)).astype(np.float32)
KEEP = np.asarray([[1, 1, 0, 1, 1], [1, 0, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
LABELS = np.asarray([1, 4, 0])
SOFT = np.abs(X) / np.abs(X).sum(-1, keepdims=True)

CALLS = {
    "softmax": lambda x: am.softmax(x, where=jnp.asarray(KEEP), temperature=0.7),
    "log_softmax": lambda x: am.log_softmax(x, axis=0),
    "logsumexp": lambda x: am.logsumexp(x, axis=None),
    "logsumexp weight": lambda x: am.logsumexp(x, weight=jnp.asarray(SOFT), return_sign=True)[0],
    "cross_entropy": lambda x: am.cross_entropy(
        x, jnp.asarray(LABELS), softcap=2.0, label_smoothing=0.1, lse_square_scale=0.1),
    "cross_entropy soft": lambda x: am.cross_entropy(x, jnp.asarray(SOFT, x.dtype)),
    "attention": lambda x: am.dot_product_attention(
        x, x, x, causal=True, sink=0.3, softcap=1.5, window=(1, 0)),
    "attention_weights": lambda x: am.attention_weights(x, x),
}  # fmt: skip


def total(name):
    return lambda x: jnp.sum(jnp.sin(CALLS[name](x)))


@functools.cache
def gradient_by_tape(name):
    """The gradient of the same call on NumPy arrays by the tape, in float64."""
    numpy_call = {
        "softmax": lambda x: am.softmax(x, where=KEEP, temperature=0.7),
        "log_softmax": lambda x: am.log_softmax(x, axis=0),
        "cross_entropy soft": lambda x: am.cross_entropy(x, SOFT),
    }[name]
    with am.use_backend("reference"):
        out, pull = am.vjp(numpy_call, X.astype(float))
        return pull(np.cos(out))[0]


# -- without float64 ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_jit_and_its_gradient(name):
    x = jnp.asarray(X)
    np.testing.assert_allclose(jax.jit(CALLS[name])(x), CALLS[name](x), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(
        jax.jit(jax.grad(total(name)))(x), jax.grad(total(name))(x), rtol=5e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cross_entropy soft"])
def test_gradient_is_that_of_the_tape(name):
    got = jax.jit(jax.grad(total(name)))(jnp.asarray(X))
    np.testing.assert_allclose(got, gradient_by_tape(name), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CALLS)
def test_jvp_agrees_with_grad(name):
    x, t = jnp.asarray(X), jnp.asarray(RNG.normal(size=X.shape), jnp.float32)
    f = total(name)
    _, tangent = jax.jit(lambda x, t: jax.jvp(f, (x,), (t,)))(x, t)
    np.testing.assert_allclose(tangent, jnp.sum(jax.jit(jax.grad(f))(x) * t), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", CALLS)
def test_vmap(name):
    many = jnp.stack([jnp.asarray(X), 2 * jnp.asarray(X)])
    f = jax.jit(CALLS[name])
    np.testing.assert_allclose(
        jax.jit(jax.vmap(CALLS[name]))(many), jnp.stack([f(x) for x in many]), rtol=2e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", CALLS)
def test_hessian_is_symmetric_and_finite(name):
    hessian = np.asarray(jax.jit(jax.hessian(total(name)))(jnp.asarray(X))).reshape(15, 15)
    assert np.isfinite(hessian).all()
    np.testing.assert_allclose(hessian, hessian.T, atol=2e-5)


@pytest.mark.parametrize("form", [am.softmax, am.logsumexp, am.cross_entropy])
def test_masked_nan_stays_out_of_gradients_under_jit(form):
    keep = jnp.asarray(KEEP)
    rest = (jnp.asarray(LABELS),) if form is am.cross_entropy else ()
    f = jax.jit(jax.grad(lambda x: jnp.sum(jnp.exp(-form(x, *rest, where=keep)))))
    grad = np.asarray(f(jnp.asarray(np.where(KEEP, X, np.nan))))
    assert np.isfinite(grad).all()
    assert (grad[~KEEP] == 0).all()


def test_labels_and_masks_may_be_traced():
    def f(x, t, keep):
        return am.cross_entropy(x, t, where=keep, ignore_index=-1)

    got = jax.jit(f)(X, LABELS, KEEP)
    np.testing.assert_allclose(got, am.cross_entropy(X, LABELS, where=KEEP, ignore_index=-1))


def test_mixed_numpy_arguments_under_jit_are_traced():
    np.testing.assert_allclose(jax.jit(am.softmax)(X), am.softmax(X), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves(dtype):
    x = jnp.asarray(X, dtype)
    for form in (am.softmax, am.logsumexp):
        y = form(x)
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(y, form(x.astype(jnp.float32)).astype(dtype))


def test_integers_go_to_float32():
    assert am.softmax(jnp.asarray([1, 2, 3])).dtype == jnp.float32


def test_doubles_become_floats_as_everywhere_in_jax():
    with pytest.warns(UserWarning, match="float64"):
        x = jnp.asarray(X, "float64")
    assert am.softmax(x).dtype == jnp.float32


# -- with float64 ------------------------------------------------------------------------------

DOUBLE = """
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, numpy as np, anymax as am
from jax.test_util import check_grads
rng = np.random.default_rng(0)
x = jnp.asarray(rng.normal(size=(3, 5)))
assert x.dtype == jnp.float64
labels = jnp.asarray([1, 4, 0])
for f, order in (
    (lambda x: am.softmax(x, temperature=0.7), 2),
    (lambda x: am.cross_entropy(x, labels, softcap=2.0, label_smoothing=0.1), 1),
    (lambda x: am.dot_product_attention(x, x, x, causal=True, return_lse=True), 1),
):
    f = jax.jit(f)
    for y in jax.tree.leaves(f(x)):
        assert y.dtype == jnp.float64
    check_grads(f, (x,), order=order)
assert am.softmax(jnp.asarray([1, 2])).dtype == jnp.float64
assert am.softmax(x.astype(jnp.float32)).dtype == jnp.float32
p = np.exp(x - x.max(-1, keepdims=True))
assert np.allclose(am.softmax(x), p / p.sum(-1, keepdims=True), rtol=1e-15)
print("fine")
"""


def test_with_float64():
    assert fresh.run(DOUBLE).strip() == "fine"
