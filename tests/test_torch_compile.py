"""torch: compilation, tracing, fake and meta tensors, subclasses."""

from __future__ import annotations

import pytest

import anymax as am
import torch_calls
from torch_calls import CALLS, KEEP, KERNELS, LABELS, X, total

torch = pytest.importorskip("torch")


@pytest.fixture(params=KERNELS)
def backend(request):
    with am.use_backend("auto" if request.param == "numba" else "reference"):
        yield request.param


# -- compilation -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_compiled_whole_with_gradient(name):
    torch._dynamo.reset()
    f = total(name)
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    x = X.clone().requires_grad_()
    for y in (compiled(x), f(x)):
        y.backward()
    (twice,) = torch.autograd.grad(2 * f(x), x)
    torch.testing.assert_close(x.grad, twice, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_inductor_with_gradient():
    torch._dynamo.reset()

    def f(x):
        return am.cross_entropy(x, LABELS, where=KEEP[:1])

    x = X.float().requires_grad_()
    compiled = torch.compile(f, fullgraph=True)
    (got,) = torch.autograd.grad(compiled(x), x)
    (wanted,) = torch.autograd.grad(f(x), x)
    torch.testing.assert_close(got, wanted)  # a masked label costs inf, and its gradient is finite


def test_compiled_code_ignores_the_context(backend):
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: am.softmax(x), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(X), torch.softmax(X, -1))


def test_export():
    class Net(torch.nn.Module):
        def forward(self, x):
            return am.dot_product_attention(x, x, x, causal=True)

    program = torch.export.export(Net(), (X,))
    torch.testing.assert_close(program.module()(X), Net()(X))


def test_make_fx_traces_the_reference():
    from torch.fx.experimental.proxy_tensor import make_fx

    graph = make_fx(lambda x: am.log_softmax(x))(X)
    torch.testing.assert_close(graph(2 * X), torch.log_softmax(2 * X, -1))


# -- tensors that are no plain arrays ----------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in CALLS if n in ("softmax", "log_softmax", "logsumexp")])
def test_meta_tensors(name, monkeypatch):
    monkeypatch.setattr(torch_calls, "KEEP", KEEP.to("meta"))
    y = CALLS[name](X.to("meta"))
    assert y.device.type == "meta"
    assert y.shape == CALLS["logsumexp" if name == "logsumexp" else "log_softmax"](X).shape


@pytest.mark.parametrize("name", CALLS)
def test_fake_tensors(name):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        y = CALLS[name](mode.from_tensor(X))
    wanted = CALLS[name](X)
    for a, b in zip(*((v if isinstance(v, tuple) else (v,)) for v in (y, wanted)), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


class Tagged(torch.Tensor):
    """A subclass whose every operation goes through ``__torch_function__``."""


def test_subclasses_stay_what_they_are():
    x = X.as_subclass(Tagged)
    for form in (am.softmax, am.log_softmax, am.logsumexp):
        y = form(x)
        assert type(y) is Tagged
        torch.testing.assert_close(y.as_subclass(torch.Tensor), form(X))
    with am.trace() as log:
        am.softmax(x)
    assert log[0].backend == "reference"


def test_parameters_are_plain(backend):
    p = torch.nn.Parameter(X.clone())
    am.softmax(p).square().sum().backward()
    assert p.grad.shape == p.shape


def test_negated_views_and_conjugates():
    z = torch.complex(X, X)
    y = z.conj().imag  # lazily negated
    assert y.is_neg()
    torch.testing.assert_close(am.softmax(y), torch.softmax(-X, -1))
