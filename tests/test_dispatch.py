"""Which body of a primitive runs: choice, force, environment, explanation, lanes, absences."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
import types

import numpy as np
import pytest

import anymax as am
import fresh
from anymax import _backends, _dispatch
from anymax._dispatch import Kernel, Primitive

X = np.random.default_rng(0).normal(size=(4, 8))
NUMBA = pytest.mark.skipif(_backends.missing("numba") is not None, reason="needs numba")


@pytest.fixture
def toy(monkeypatch):
    """A primitive of two kernels that say who they are; both backends count as installed."""
    module = types.ModuleType("toy_kernels")
    module.first = lambda x, **_: x + 1
    module.second = lambda x, **_: x + 2
    monkeypatch.setitem(sys.modules, "toy_kernels", module)
    monkeypatch.setattr(_backends, "missing", lambda backend: None)
    monkeypatch.delenv("ANYMAX_BACKEND", raising=False)
    small = lambda facts: "it has more than 8 elements" if facts.shapes[0][0] > 8 else None  # noqa: E731
    primitive = Primitive(
        "toy", lambda xp, x, **_: x, None, None, (True,),
        (
            Kernel("numba", "toy_kernels", "first", "first", small),
            Kernel("cuda", "toy_kernels", "second", "second", lambda facts: None),
        ),
    )  # fmt: skip
    yield primitive
    del _dispatch.PRIMITIVES["toy"]
    _dispatch._function.cache_clear()


# -- choice ------------------------------------------------------------------------------------


def test_the_first_kernel_that_fits_runs(toy):
    assert toy(np.zeros(3))[0] == 1


def test_the_reference_runs_when_no_kernel_fits(toy):
    assert toy(np.zeros(9))[0] == 0


def test_reference_when_asked_for(toy):
    with am.use_backend("reference"):
        assert toy(np.zeros(3))[0] == 0


@pytest.mark.parametrize(
    ("backend", "reason"), [("numba", "it has more than 8 elements"), ("cuda", "library is numpy")]
)
def test_forced_backend_raises_with_its_reason(toy, backend, reason):
    with am.use_backend(backend), pytest.raises(ValueError, match=f"toy: .*'{backend}'.*{reason}"):
        toy(np.zeros(9))


def test_forced_backend_without_a_kernel_says_so(monkeypatch):
    primitive = Primitive("bare", lambda xp, x: x, None, None, (True,))
    try:
        assert primitive(X) is X
        with am.use_backend("cuda"), pytest.raises(ValueError, match=r"bare: .*no such kernel yet"):
            primitive(X)
    finally:
        del _dispatch.PRIMITIVES["bare"]


@pytest.mark.parametrize("name", ["gpu", "", "NUMBA", "torch"])
def test_unknown_backend_name(name):
    with pytest.raises(ValueError, match=r"no backend .*auto, reference, numba, cuda fits"):
        am.use_backend(name).__enter__()


@pytest.mark.parametrize("library", ["strict", "jax", "dask"])
def test_other_libraries_get_the_reference(library):
    name = {"strict": "array_api_strict", "jax": "jax.numpy", "dask": "dask.array"}[library]
    xp = pytest.importorskip(name)
    with am.trace() as log:
        am.softmax(xp.asarray(X))
    (event,) = log
    assert event.backend == "reference"
    assert event.reasons["numba"] == f"array library is {library}"


def test_long_double_and_foreign_bytes_get_the_reference():
    for x, reason in (
        (X.astype(np.longdouble), "dtype is longdouble|dtype is float128"),
        (X.astype(">f8"), "native order"),
    ):
        with am.use_backend("numba"), pytest.raises(ValueError, match=reason):
            am.softmax(x)
        np.testing.assert_allclose(am.softmax(x).astype(float), am.softmax(X), rtol=1e-14)


def test_masked_arrays_keep_their_masks():
    x = np.ma.masked_array(X, X > 1)
    y = am.softmax(x)
    assert type(y) is np.ma.MaskedArray
    np.testing.assert_allclose(y.filled(0), am.softmax(X, where=X <= 1), rtol=1e-14)


def test_mapped_files_are_plain_memory(tmp_path):
    x = np.memmap(tmp_path / "x", X.dtype, "w+", shape=X.shape)
    x[...] = X
    with am.trace() as log:
        np.testing.assert_array_equal(am.softmax(x), am.softmax(X))
    assert log[0].reasons["numba"] == log[1].reasons["numba"]


# -- environment -------------------------------------------------------------------------------


def test_environment_is_read_at_the_call(monkeypatch):
    monkeypatch.delenv("ANYMAX_BACKEND", raising=False)
    assert _backends.wanted() == "auto"
    monkeypatch.setenv("ANYMAX_BACKEND", "reference")
    with am.trace() as log:
        am.softmax(X)
    assert log[0].backend == "reference"
    monkeypatch.setenv("ANYMAX_BACKEND", "cuda")
    with pytest.raises(ValueError, match="array library is numpy"):
        am.softmax(X)


def test_environment_with_an_unknown_name(monkeypatch):
    monkeypatch.setenv("ANYMAX_BACKEND", "fast")
    with pytest.raises(ValueError, match="ANYMAX_BACKEND: no backend 'fast'"):
        am.softmax(X)


def test_empty_environment_means_auto(monkeypatch):
    monkeypatch.setenv("ANYMAX_BACKEND", "")
    assert _backends.wanted() == "auto"


def test_context_wins_over_environment(monkeypatch):
    monkeypatch.setenv("ANYMAX_BACKEND", "cuda")
    with am.use_backend("reference"):
        am.softmax(X)


# -- nesting and threads -----------------------------------------------------------------------


def test_nesting_restores_also_after_an_error(monkeypatch):
    monkeypatch.delenv("ANYMAX_BACKEND", raising=False)
    with am.use_backend("numba"):
        with contextlib.suppress(KeyError), am.use_backend("reference"):
            assert _backends.wanted() == "reference"
            raise KeyError
        assert _backends.wanted() == "numba"
        with am.use_backend("auto"):
            assert _backends.wanted() == "auto"
    assert _backends.wanted() == "auto"


def test_decorator_works_at_every_call():
    @am.use_backend("reference")
    def inside():
        return _backends.wanted()

    assert inside() == inside() == "reference"


def test_threads_do_not_see_each_other(monkeypatch):
    monkeypatch.delenv("ANYMAX_BACKEND", raising=False)
    seen, both = {}, threading.Barrier(2, timeout=10)

    def work(name):
        with am.use_backend(name), am.trace() as log:
            both.wait()
            am.logsumexp(X, axis=0)
            both.wait()
            seen[name] = (_backends.wanted(), len(log))

    threads = [
        threading.Thread(target=contextvars.Context().run, args=(work, name))
        for name in ("reference", "auto")
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert seen == {"reference": ("reference", 1), "auto": ("auto", 1)}


# -- explain and trace -------------------------------------------------------------------------


def test_explain_names_every_backend_and_reason():
    with am.use_backend("reference"):
        text = am.explain(am.softmax, X)
    first, *rest = text.splitlines()
    assert first == "row_softmax on numpy/cpu float64 (4, 8) -> reference"
    assert [line.split()[0] for line in rest] == ["numba", "cuda"]
    assert all("the reference was asked for" in line for line in rest)


def test_explain_of_plain_array_code():
    assert am.explain(am.attention_weights, X, X) == "no primitive was called: plain array code"


def test_explain_passes_keywords_and_errors_on():
    assert "(8, 4)" in am.explain(am.softmax, X.T, axis=0)
    with pytest.raises(IndexError, match="axis 5"):
        am.explain(am.softmax, X, axis=5)


def test_trace_sees_every_primitive_in_order():
    with am.use_backend("reference"), am.trace() as log:
        am.cross_entropy(X, np.zeros(4, int))
        with am.trace() as inner:
            am.log_softmax(X)
        am.dot_product_attention(X, X, X)
    assert [e.primitive for e in log] == ["row_cross_entropy", "attend"]
    assert [e.primitive for e in inner] == ["row_log_softmax"]
    assert log[0].facts.dtypes[:2] == ("float64", "int64")


def test_trace_under_the_tape():
    with am.use_backend("reference"), am.trace() as log:
        am.value_and_grad(lambda x: am.cross_entropy(x, np.zeros(4, int)))(X)
    assert [e.primitive for e in log] == ["row_cross_entropy"]


# -- installations without kernels -------------------------------------------------------------

EVERYTHING = """
import numpy as np, anymax as am
x = np.linspace(-1, 1, 12).reshape(3, 4)
p = am.softmax(x)
assert np.allclose(p, np.exp(x) / np.exp(x).sum(-1, keepdims=True))
assert np.allclose(am.logsumexp(x), np.log(np.exp(x).sum(-1)))
loss, grad = am.value_and_grad(lambda x: am.cross_entropy(x, np.asarray([0, 1, 2])))(x)
assert grad.shape == x.shape
assert am.dot_product_attention(x, x, x, causal=True).shape == x.shape
print(am.explain(am.softmax, x))
for backend in ("numba", "cuda"):
    try:
        with am.use_backend(backend):
            am.softmax(x)
    except ValueError as error:
        print(error)
"""


def test_without_numba_and_cupy_everything_runs_on_the_reference():
    text = fresh.run(EVERYTHING, absent=("numba", "cupy", "torch", "jax", "dask", "scipy"))
    assert "float64 (3, 4) -> reference" in text
    assert "'numba' cannot run this call: numba is not installed (pip install anymax[cpu])" in text


CUPYLESS = """
import torch, anymax as am
from anymax import _backends
assert _backends.missing("cuda") == "CuPy is not installed (pip install anymax[cuda])"
print(am.explain(am.softmax, torch.zeros(2, 3)))
"""


def test_without_cupy_the_processor_still_serves_torch():
    pytest.importorskip("torch")
    text = fresh.run(CUPYLESS, absent=("cupy", "numba"))
    assert "torch/cpu float32 (2, 3) -> reference" in text
    assert "device is cpu" in text
