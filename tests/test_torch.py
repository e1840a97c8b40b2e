"""torch: gradients of every order, torch.func, modes, dtypes, kernels inside."""

from __future__ import annotations

import numpy as np
import pytest

import anymax as am
from torch_calls import CALLS, KERNELS, LABELS, X, total

torch = pytest.importorskip("torch")


@pytest.fixture(params=KERNELS)
def backend(request):
    with am.use_backend("auto" if request.param == "numba" else "reference"):
        yield request.param


# -- autograd ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_gradcheck(name, backend):
    assert torch.autograd.gradcheck(CALLS[name], X.clone().requires_grad_())


@pytest.mark.parametrize("name", CALLS)
def test_gradgradcheck(name, backend):
    assert torch.autograd.gradgradcheck(total(name), X.clone().requires_grad_())


@pytest.mark.parametrize("name", CALLS)
def test_kernels_run_under_autograd_and_agree(name):
    if "numba" not in KERNELS:
        pytest.skip("needs numba")
    with am.use_backend("reference"):
        x = X.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(total(name)(x), x)
    with am.trace() as log:
        (got,) = torch.autograd.grad(total(name)(x), x)
    assert all(e.backend == "numba" for e in log)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def test_gradients_of_every_operand_of_attention(backend):
    shapes = [(2, 3, 3), (1, 4, 3), (1, 4, 2), (2, 3, 4), (2,), (2,)]
    args = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]

    def f(q, k, v, bias, sink, slopes):
        return am.dot_product_attention(
            q, k, v, bias=bias, sink=sink, alibi_slopes=slopes, causal=True, return_lse=True
        )

    assert torch.autograd.gradcheck(f, args)
    assert torch.autograd.gradgradcheck(f, args, atol=1e-4)


def test_gradients_of_target_weight_and_cap(backend):
    args = [torch.softmax(X, -1), X[0].abs() + 0.5, torch.tensor(2.0, dtype=torch.float64)]
    args = [a.clone().requires_grad_() for a in args]

    def f(target, weight, cap):
        return am.cross_entropy(X, target, weight=weight, softcap=cap, label_smoothing=0.1)

    assert torch.autograd.gradcheck(f, args)


def test_gradient_of_temperature_and_scale():
    t = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: am.softmax(X, temperature=t), t)
    assert torch.autograd.gradcheck(lambda t: am.dot_product_attention(X, X, X, scale=t), t)


@pytest.mark.parametrize("name", CALLS)
def test_a_kept_graph_gives_the_same_gradient_twice(name, backend):
    x = X.clone().requires_grad_()
    y = total(name)(x)
    (first,) = torch.autograd.grad(y, x, retain_graph=True)
    kept = first.clone()
    first.zero_()  # the caller may write into what it got
    (second,) = torch.autograd.grad(y, x, retain_graph=True)
    (third,) = torch.autograd.grad(y, x, create_graph=True)
    torch.testing.assert_close(second, kept, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(third, kept, rtol=1e-12, atol=1e-14)
    assert third.requires_grad


def test_a_graph_is_freed_without_retain(backend):
    x = X.clone().requires_grad_()
    y = am.softmax(x).square().sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


@pytest.mark.parametrize("layout", ["expanded", "transposed", "stepped", "negated"])
@pytest.mark.parametrize(
    "form", [am.softmax, am.log_softmax, lambda x: am.dot_product_attention(x, x, x)]
)
def test_cotangents_of_any_layout(form, layout, backend):
    x = X.clone().requires_grad_()
    g = {
        "expanded": torch.ones((), dtype=torch.float64).expand(3, 5),
        "transposed": torch.randn(5, 3, dtype=torch.float64).mT,
        "stepped": torch.randn(3, 10, dtype=torch.float64)[:, ::2],
        "negated": torch.complex(X, X).conj().imag,
    }[layout]
    (got,) = torch.autograd.grad(form(x), x, g)
    (wanted,) = torch.autograd.grad(form(x), x, g.clone().contiguous())
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-14)


def test_only_what_needs_a_gradient_gets_one(backend):
    q, k, v = (torch.randn(1, 4, 3, requires_grad=i == 1) for i in range(3))
    am.dot_product_attention(q, k, v).sum().backward()
    assert q.grad is None
    assert v.grad is None
    assert k.grad.shape == k.shape


def test_one_of_two_outputs_is_used(backend):
    q = torch.randn(1, 4, 3, dtype=torch.float64, requires_grad=True)
    for i in range(2):
        f = lambda q, i=i: am.dot_product_attention(q, q, q, return_lse=True)[i]  # noqa: E731
        assert torch.autograd.gradcheck(f, q)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", CALLS)
def test_modes_without_gradient(name, mode, backend):
    with mode():
        y = total(name)(X.clone().requires_grad_())
    assert not y.requires_grad
    torch.testing.assert_close(y, total(name)(X), rtol=1e-12, atol=1e-12)


def test_inference_tensors_pass(backend):
    with torch.inference_mode():
        x = X.clone()
    torch.testing.assert_close(am.softmax(x), torch.softmax(X, -1))


# -- torch.func and forward mode ---------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_func_transforms(name):
    f = total(name)
    x = X.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(f(x), x)
    for jacobian in (torch.func.grad, torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(jacobian(f)(X), wanted, rtol=1e-9, atol=1e-11)
    hessian = torch.func.hessian(f)(X)
    torch.testing.assert_close(
        hessian, torch.autograd.functional.hessian(f, X), rtol=1e-8, atol=1e-9
    )
    _, tangent = torch.func.jvp(f, (X,), (torch.ones_like(X),))
    torch.testing.assert_close(tangent, wanted.sum(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CALLS)
def test_vmap(name):
    many = torch.stack([X, 2 * X])
    torch.testing.assert_close(
        torch.func.vmap(total(name))(many), torch.stack([total(name)(x) for x in many])
    )


def test_vmap_of_grad_over_masks_and_labels():
    grad = torch.func.grad(lambda x, t, m: am.cross_entropy(x, t, where=m, reduction="sum"))
    keep = torch.tensor([[1, 1, 0, 1, 1], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], dtype=torch.bool)
    rows = torch.func.vmap(grad)(X[:, None], LABELS[:, None], keep[:, None])[:, 0]
    x = X.clone().requires_grad_()
    am.cross_entropy(x, LABELS, where=keep, reduction="sum").backward()
    torch.testing.assert_close(rows, x.grad)


def test_batched_cotangents(backend):
    for form in (am.softmax, am.log_softmax, lambda x: am.cross_entropy(x, LABELS)):
        jacobian = torch.autograd.functional.jacobian
        torch.testing.assert_close(jacobian(form, X, vectorize=True), jacobian(form, X))


def test_forward_mode():
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(X, torch.ones_like(X))
        y = torch.autograd.forward_ad.unpack_dual(am.logsumexp(dual))
    torch.testing.assert_close(y.tangent, torch.ones(3, dtype=torch.float64))


# -- dtypes ------------------------------------------------------------------------------------


def test_autocast_leaves_dtypes_alone(backend):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = torch.randn(4, 8)
        assert am.softmax(x).dtype == torch.float32
        assert am.cross_entropy(x, torch.zeros(4, dtype=torch.int64)).dtype == torch.float32
        half = torch.nn.functional.linear(x, torch.randn(8, 8))
        assert half.dtype == torch.bfloat16
        assert am.softmax(half).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_round_once(dtype, backend):
    x = torch.randn(4, 300).to(dtype)
    wide = x.double().requires_grad_()
    half = x.clone().requires_grad_()
    for form in (am.softmax, am.log_softmax, am.logsumexp):
        y, w = form(half), form(wide)
        assert y.dtype == dtype
        torch.testing.assert_close(y, w.to(dtype), rtol=torch.finfo(dtype).eps, atol=1e-7)
        (g,) = torch.autograd.grad(y.float().square().sum(), half)
        assert g.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_integers_go_to_the_default_float(dtype):
    x = torch.tensor([[0, 1, 1]]).to(dtype)
    assert am.softmax(x).dtype == torch.get_default_dtype()
    torch.testing.assert_close(am.softmax(x), torch.softmax(x.float(), -1))


# -- torch agrees with itself ------------------------------------------------------------------


def test_against_torch(backend):
    functional = torch.nn.functional
    x, labels = torch.randn(6, 7), torch.tensor([0, 1, -100, 3, 6, 6])
    weight = torch.rand(7)
    torch.testing.assert_close(
        am.cross_entropy(x, labels, weight=weight, label_smoothing=0.1),
        functional.cross_entropy(x, labels, weight=weight, label_smoothing=0.1),
    )
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 9, 8), torch.randn(2, 2, 9, 8)
    mask = torch.rand(5, 9) < 0.7
    torch.testing.assert_close(
        am.dot_product_attention(q, k, v, mask=mask),
        functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True),
    )
    torch.testing.assert_close(
        am.dot_product_attention(q, k, v, causal="upper_left"),
        functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True),
    )


def test_numbers_are_those_of_numpy(backend):
    np.testing.assert_allclose(am.softmax(X).numpy(), am.softmax(X.numpy()), rtol=1e-14)
