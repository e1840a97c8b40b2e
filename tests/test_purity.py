"""No argument is ever written, no output aliases one, and any layout gives the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import anymax as am

RNG = np.random.default_rng(3)
X = RNG.normal(size=(2, 6, 4)).astype(np.float32)
KEEP = RNG.uniform(size=(2, 6, 4)) < 0.8
LABELS = np.asarray([[0, 1, 2, 3, -100, 1]] * 2)
BIAS = RNG.normal(size=(6, 6)).astype(np.float32)
WEIGHT = np.asarray([0.5, 1.0, 2.0, 1.5], np.float32)

# Each call takes one array that layouts are tried on, and a function that makes the others.
CALLS = {
    "softmax": lambda x, c: am.softmax(x),
    "softmax of one axis": lambda x, c: am.softmax(x, axis=1),
    "softmax of all axes": lambda x, c: am.softmax(x, axis=None),
    "softmax where": lambda x, c: am.softmax(x, where=c(KEEP), temperature=0.7),
    "softmin": lambda x, c: am.softmin(x),
    "log_softmax": lambda x, c: am.log_softmax(x),
    "log_softmax where": lambda x, c: am.log_softmax(x, axis=0, where=c(KEEP)),
    "logsumexp": lambda x, c: am.logsumexp(x),
    "logsumexp over nothing": lambda x, c: am.logsumexp(x, axis=()),
    "logsumexp weight": lambda x, c: am.logsumexp(x, weight=c(WEIGHT), return_sign=True),
    "cross_entropy": lambda x, c: am.cross_entropy(x, c(LABELS), reduction="none", return_lse=True),
    "cross_entropy weight": lambda x, c: am.cross_entropy(x, c(LABELS), weight=c(WEIGHT)),
    "cross_entropy axis": lambda x, c: am.cross_entropy(
        x, c(LABELS[:, :4] % 6), axis=1, label_smoothing=0.1, where=c(KEEP)),
    "cross_entropy soft": lambda x, c: am.cross_entropy(
        c(X), am.softmax(x), lse_square_scale=0.1, softcap=3.0),
    "attention": lambda x, c: am.dot_product_attention(x, x, x, causal=True, return_lse=True),
    "attention bias": lambda x, c: am.dot_product_attention(
        x, x, x, bias=c(BIAS), mask=c(BIAS < 1), sink=c(WEIGHT[:2]), alibi_slopes=c(WEIGHT[:2])),
    "attention lengths": lambda x, c: am.dot_product_attention(
        x[:, None], x[:, None], x[:, None], lengths=c(np.asarray([3, 6])), window=(2, 0)),
    "attention_weights": lambda x, c: am.attention_weights(x, x, softcap=2.0),
}  # fmt: skip


def outputs(y):
    return y if isinstance(y, tuple) else (y,)


@pytest.fixture(params=["reference", "auto"])
def backend(request):
    with am.use_backend(request.param):
        yield request.param


# -- NumPy -------------------------------------------------------------------------------------


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def stepped(x):
    wide = np.full((x.shape[0], 2 * x.shape[1], 3 * x.shape[2]), np.nan, x.dtype)
    wide[:, ::2, ::3] = x
    return wide[:, ::2, ::3]


def unaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    y = raw[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


NUMPY_LAYOUTS = {
    "read-only": read_only,
    "transposed": lambda x: np.asarray(x.T, order="C").T,
    "stepped": stepped,
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "swapped bytes": lambda x: x.astype(x.dtype.newbyteorder()),
    "unaligned": unaligned,
}


@pytest.mark.parametrize("layout", NUMPY_LAYOUTS)
@pytest.mark.parametrize("call", CALLS)
def test_numpy_layouts(call, layout, backend):
    x = NUMPY_LAYOUTS[layout](X)
    wanted = outputs(CALLS[call](X.copy(), read_only))
    for y, w in zip(outputs(CALLS[call](x, read_only)), wanted, strict=True):
        assert np.asarray(y).dtype.newbyteorder("=") == np.float32
        np.testing.assert_allclose(y, w, rtol=2e-6, atol=1e-6)
        assert not np.may_share_memory(y, x)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("call", CALLS)
def test_numpy_broadcast_input(call, backend):
    x = np.broadcast_to(X[:1], X.shape)
    wanted = outputs(CALLS[call](x.copy(), read_only))
    for y, w in zip(outputs(CALLS[call](x, read_only)), wanted, strict=True):
        np.testing.assert_allclose(y, w, rtol=2e-6, atol=1e-6)
        assert not np.may_share_memory(y, x)


@pytest.mark.parametrize("shape", [(3, 1), (1,), ()])
def test_numpy_outputs_of_trivial_rows_are_new(shape, backend):
    x = np.zeros(shape)
    for form in (am.softmax, am.log_softmax, am.softmin):
        y = form(x)
        assert not np.may_share_memory(y, x)
    y = am.logsumexp(x)
    assert not np.may_share_memory(y, x)


@pytest.mark.parametrize("call", CALLS)
def test_tape_writes_nothing(call, backend):
    x = read_only(X)
    value, pull = am.vjp(lambda x: outputs(CALLS[call](x, read_only))[0], x)
    cotangent = read_only(np.ones(value.shape, value.dtype))
    (first,), (second,) = pull(cotangent), pull(cotangent)
    assert not np.may_share_memory(first, second)
    for other in (x, cotangent, value):
        assert not np.may_share_memory(first, other)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(x, X)


# -- torch -------------------------------------------------------------------------------------

TORCH_LAYOUTS = {
    "transposed": lambda t: t.mT.contiguous().mT,
    "stepped": lambda t: t.repeat_interleave(2, -1)[..., ::2],
    "expanded": lambda t: t[:1].expand(t.shape),
    "offset": lambda t: t.new_zeros(t.numel() + 1)[1:].view(t.shape).copy_(t),
}


@pytest.mark.parametrize("layout", TORCH_LAYOUTS)
@pytest.mark.parametrize("call", CALLS)
def test_torch_layouts_and_gradients(call, layout, backend):
    torch = pytest.importorskip("torch")

    def run(x):
        x = x.requires_grad_()
        before = x.detach().clone()
        out = outputs(CALLS[call](x, lambda a: torch.asarray(a.copy())))
        total = sum((y * torch.arange(y.numel()).reshape(y.shape)).sum() for y in out)
        (grad,) = torch.autograd.grad(total, x)
        assert torch.equal(x.detach(), before)
        pointers = {y.untyped_storage().data_ptr() for y in (*out, grad)}
        assert x.untyped_storage().data_ptr() not in pointers
        return *out, grad

    x = TORCH_LAYOUTS[layout](torch.asarray(X))
    for y, w in zip(run(x), run(x.detach().contiguous().clone()), strict=True):
        torch.testing.assert_close(y, w, rtol=1e-5, atol=2e-5)


# -- JAX ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_jax_arrays_stay_as_they_are(call):
    jnp = pytest.importorskip("jax.numpy")
    x = jnp.asarray(X)
    wanted = outputs(CALLS[call](X, read_only))
    for y, w in zip(outputs(CALLS[call](x, jnp.asarray)), wanted, strict=True):
        assert y.dtype == x.dtype
        np.testing.assert_allclose(y, w, rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(x, X)
