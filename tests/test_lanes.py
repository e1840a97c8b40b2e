"""The short way of a small softmax: the same bits, the same policy, closed whenever it must be."""

from __future__ import annotations

import numpy as np
import pytest

import anymax as am
from anymax import _backends
from anymax.primitives.row_softmax import row_log_softmax, row_logsumexp, row_softmax

X = np.random.default_rng(0).normal(size=(4, 8))
NUMBA = pytest.mark.skipif(_backends.missing("numba") is not None, reason="needs numba")
FORMS = {am.softmax: row_softmax, am.log_softmax: row_log_softmax, am.logsumexp: row_logsumexp}
WITH_LANE = [f for f, primitive in FORMS.items() if any(k.lane for k in primitive.kernels)]


def test_softmax_has_a_lane():
    assert am.softmax in WITH_LANE


@NUMBA
@pytest.mark.parametrize("form", WITH_LANE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 8), (8,), (2, 3, 5), (3, 1), (2, 700), (300, 301)])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_lane_agrees_with_the_long_way(form, dtype, shape, library, monkeypatch):
    xp = pytest.importorskip(library)
    monkeypatch.delenv("ANYMAX_BACKEND", raising=False)
    x = xp.asarray(np.random.default_rng(1).normal(size=shape).astype(dtype))
    slow = form(x, axis=(x.ndim - 1,))  # through dispatch, which opens the lane
    lane = FORMS[form].lane(x)
    assert lane is not None
    for y in (lane, form(x)):
        assert type(y) is type(slow)
        assert y.dtype == slow.dtype
        assert y.shape == slow.shape
        np.testing.assert_array_equal(y, slow)


@NUMBA
@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.__name__)
def test_lane_keeps_the_masking_policy(form):
    x = np.asarray([[0.0, -np.inf], [-np.inf, -np.inf], [np.nan, 0.0], [np.inf, 0.0]])
    with am.use_backend("reference"):
        wanted = form(x)
    form(X)
    np.testing.assert_allclose(form(x), wanted, rtol=1e-15)


@NUMBA
@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "x",
    [
        np.asfortranarray(X), X[::2], X[:, ::-1], X.astype(np.float16), X.astype(int),
        X.astype(">f8"), np.asarray(0.5), np.zeros((3, 0)), np.broadcast_to(X[:1], (4, 8)),
        X.view(type("Sub", (np.ndarray,), {})),
    ],
    ids=["fortran", "rows", "reversed", "half", "int", "swapped", "0-d", "empty", "broadcast",
         "subclass"],
)  # fmt: skip
def test_what_no_lane_takes_is_still_right(form, x):
    form(X)
    with am.use_backend("reference"):
        wanted = form(x)
    got = form(x)
    assert np.asarray(got).dtype == np.asarray(wanted).dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-3 if x.dtype == np.float16 else 1e-13)


@NUMBA
@pytest.mark.parametrize("mode", ["grad", "vmap", "dual", "requires_grad", "inference"])
def test_torch_lane_lets_transforms_through(mode):
    torch = pytest.importorskip("torch")
    x = torch.asarray(X)
    am.softmax(x)
    if mode == "grad":
        got = torch.func.grad(lambda x: am.softmax(x)[0, 0])(x)
    elif mode == "vmap":
        got = torch.func.vmap(am.softmax)(x)
    elif mode == "dual":
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
            got = torch.autograd.forward_ad.unpack_dual(am.softmax(dual)).tangent
    elif mode == "requires_grad":
        leaf = x.clone().requires_grad_()
        (got,) = torch.autograd.grad(am.softmax(leaf)[0, 0], leaf)
    else:
        with torch.inference_mode():
            got = am.softmax(x)
    p = torch.softmax(x, -1)
    row = torch.zeros_like(x)
    row[0] = p[0, 0] * (torch.eye(8, dtype=x.dtype)[0] - p[0])
    wanted = {"grad": row, "requires_grad": row, "dual": torch.zeros_like(x)}.get(mode, p)
    torch.testing.assert_close(got, wanted)


@NUMBA
def test_lanes_are_closed_while_something_was_asked_for(monkeypatch):
    am.softmax(X)
    assert row_softmax.lane(X) is not None
    with am.use_backend("reference"):
        assert row_softmax.lane(X) is None
    with am.trace() as log:
        am.softmax(X)
    assert len(log) == 1
    monkeypatch.setenv("ANYMAX_BACKEND", "reference")
    assert row_softmax.lane(X) is None
