"""linear_cross_entropy: equal to cross_entropy of the logits, without the logits in memory."""

import gc
import tracemalloc

import numpy as np
import pytest

import anymax as am
from anymax._dispatch import Primitive
from anymax.primitives._linear import chunks

NUMBA = pytest.importorskip("anymax._backends").missing("numba") is None
BACKENDS = ("reference", pytest.param("numba", marks=pytest.mark.skipif(not NUMBA, reason="numba")))

rng = np.random.default_rng(0)
N, V, D = 23, 37, 5
HIDDEN, W, BIAS = rng.normal(size=(N, D)), rng.normal(size=(V, D)), rng.normal(size=V)
TARGET = rng.integers(0, V, size=N)
TARGET[[3, 11]] = -100
WEIGHT = rng.uniform(0.5, 2.0, size=V)
OPTIONS = [
    {},
    {"reduction": "sum", "softcap": 3.0},
    {"label_smoothing": 0.25, "lse_square_scale": 0.125},
    {"weight": WEIGHT, "lse_square_scale": 0.125, "label_smoothing": 0.125},
    {"where": rng.uniform(size=V) < 2, "reduction": "sum"},
]


def linear(h, w, b, options, **more):
    return am.linear_cross_entropy(h, w, TARGET, bias=b, **options, **more)


def composed(h, w, b, options):
    return am.cross_entropy(h @ w.T + b, TARGET, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", OPTIONS)
def test_value_and_gradients_are_those_of_cross_entropy(options, backend):
    arrays = HIDDEN, W, BIAS
    with am.use_backend("reference"):
        want = am.value_and_grad(lambda *a: composed(*a, options), (0, 1, 2))(*arrays)
    with am.use_backend(backend):
        for chunk in (None, 1, 7, N):
            got = am.value_and_grad(
                lambda *a, c=chunk: linear(*a, options, chunk_size=c), (0, 1, 2)
            )(*arrays)
            np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
            for g, expected in zip(got[1], want[1], strict=True):
                np.testing.assert_allclose(g, expected, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_cotangents_of_examples_and_of_lse(backend):
    """Nothing is known beforehand: gradients are computed when they are asked for."""
    g = rng.normal(size=(2, N))

    def loss(function):
        def total(*arrays):
            cost, lse = function(*arrays)
            return cost @ g[0] + lse @ g[1]

        return am.value_and_grad(total, (0, 1, 2))(HIDDEN, W, BIAS)[1]

    options = {"reduction": "none", "return_lse": True}
    with am.use_backend(backend):
        got = loss(lambda *a: linear(*a, options, chunk_size=5))
    with am.use_backend("reference"):
        want = loss(lambda *a: composed(*a, options))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_chunks_cover_every_row_once_and_follow_from_the_shape():
    for count, classes, size in ((1000, 32000, None), (7, 5, None), (10, 3, 4), (5, 1 << 30, None)):
        ranges = chunks(count, classes, size)
        assert [a for a, _ in ranges[1:]] == [b for _, b in ranges[:-1]]
        assert (ranges[0][0], ranges[-1][1]) == (0, count)
    assert max(b - a for a, b in chunks(1 << 14, 1 << 15, None)) * (1 << 15) <= 1 << 22


# -- memory ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_logits_are_never_all_in_memory(backend):
    count, classes, features, chunk = 1024, 4096, 8, 32
    h = rng.standard_normal((count, features), np.float32)
    w = rng.standard_normal((classes, features), np.float32)
    y = np.arange(count)

    def step(rows):
        f = am.value_and_grad(
            lambda h, w: am.linear_cross_entropy(h, w, y[:rows], chunk_size=chunk)
        )
        with am.use_backend(backend):
            f(h[:rows], w)  # compiles
            gc.collect()
            tracemalloc.start()
            f(h[:rows], w)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return peak

    logits = 4 * count * classes
    assert step(count) < logits / 2  # a chunk has logits / 32; plain code holds several of them
    assert step(count) < 1.25 * step(count // 4)  # grows with the chunk, not with the tokens


def test_torch_saves_no_logits_even_without_a_kernel():
    torch = pytest.importorskip("torch")
    h = torch.randn(64, 4, requires_grad=True)
    w = torch.randn(300, 4, requires_grad=True)
    sizes = []
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda x: sizes.append(x.numel()) or x, lambda x: x
    )
    with am.use_backend("reference"), hooks:
        am.linear_cross_entropy(h, w, torch.arange(64), chunk_size=8).backward()
    assert sizes
    assert max(sizes) < 300 * 8


def test_jax_computes_logits_again():
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    h, w, y = jnp.ones((64, 4)), jnp.ones((300, 4)), jnp.arange(64)
    _, pullback = jax.vjp(lambda h, w: am.linear_cross_entropy(h, w, y, chunk_size=8), h, w)
    kept = [x.size for x in jax.tree_util.tree_leaves(pullback) if hasattr(x, "size")]
    assert kept
    assert max(kept) < 300 * 8


# -- the gradient that is ready ----------------------------------------------------------------


@pytest.mark.skipif(not NUMBA, reason="numba")
def test_a_divided_loss_has_its_gradient_ready(monkeypatch):
    torch = pytest.importorskip("torch")

    def gradients(divisor):
        h, w, b = (torch.tensor(x, requires_grad=True) for x in (HIDDEN, W, BIAS))
        y = torch.tensor(TARGET)
        (am.linear_cross_entropy(h, w, y, bias=b) / divisor).backward()
        return [x.grad for x in (h, w, b)]

    whole = gradients(1)
    monkeypatch.setattr(Primitive, "gradient", lambda *_: pytest.fail("computed again"))
    for a, b in zip(gradients(4), whole, strict=True):
        torch.testing.assert_close(4 * a, b)
    gradients(3)


@pytest.mark.skipif(not NUMBA, reason="numba")
def test_a_graph_that_is_kept_gives_the_same_gradient_twice():
    torch = pytest.importorskip("torch")
    h, w = (torch.tensor(x, requires_grad=True) for x in (HIDDEN, W))
    loss = am.linear_cross_entropy(h, w, torch.tensor(TARGET))
    first = torch.autograd.grad(loss, (h, w), retain_graph=True)
    second = torch.autograd.grad(loss, (h, w))
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b)


# -- transformations ---------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("options", [{}, {"softcap": 2.0, "lse_square_scale": 0.25}])
def test_torch_differentiates_twice(options, backend):
    torch = pytest.importorskip("torch")
    h, w, b = (torch.tensor(x, requires_grad=True) for x in (HIDDEN[:4], W[:5], BIAS[:5]))
    y = torch.tensor([0, 4, -100, 2])

    def loss(h, w, b):
        return am.linear_cross_entropy(h, w, y, bias=b, chunk_size=3, **options)

    with am.use_backend(backend):
        assert torch.autograd.gradcheck(loss, (h, w, b))
        assert torch.autograd.gradgradcheck(loss, (h, w, b))


def test_torch_func():
    torch = pytest.importorskip("torch")
    h, w = torch.tensor(HIDDEN), torch.tensor(W)
    y = torch.tensor(TARGET)
    got = torch.func.grad(lambda w: am.linear_cross_entropy(h, w, y, chunk_size=4))(w)
    leaf = w.clone().requires_grad_()
    am.linear_cross_entropy(h, leaf, y).backward()
    torch.testing.assert_close(got, leaf.grad)
    batch = torch.func.vmap(lambda h: am.linear_cross_entropy(h, w, y[:4]))(h[:20].reshape(5, 4, D))
    torch.testing.assert_close(batch[0], am.linear_cross_entropy(h[:4], w, y[:4]))


# -- edges -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_token_of_nan_does_not_spoil_the_gradient_of_w(backend):
    h = HIDDEN.copy()
    h[5, 2] = np.nan
    seen = np.arange(N) != 5
    with am.use_backend(backend):
        loss, (dh, dw) = am.value_and_grad(
            lambda h, w: am.linear_cross_entropy(h, w, TARGET, reduction="sum"), (0, 1)
        )(h, W)
        good = am.value_and_grad(
            lambda h, w: am.linear_cross_entropy(h, w, TARGET[seen], reduction="sum"), (0, 1)
        )(h[seen], W)
    assert np.isnan(loss)
    assert (dh[5] == 0).all()
    np.testing.assert_allclose(dh[seen], good[1][0], atol=1e-12)
    np.testing.assert_allclose(dw, good[1][1], atol=1e-12)


def test_shift_is_next_token_prediction():
    h, y = HIDDEN[:20].reshape(4, 5, D), TARGET[:20].reshape(4, 5)
    got = am.linear_cross_entropy(h, W, y, shift=1, reduction="none")
    want = am.linear_cross_entropy(h[:, :-1], W, y[:, 1:], reduction="none")
    np.testing.assert_array_equal(got, want)
    assert am.linear_cross_entropy(h, W, y, shift=5) == 0


@pytest.mark.skipif(not NUMBA, reason="numba")
def test_filter_leaves_out_what_is_small_and_nothing_else():
    """Of 600 classes those near the target matter; the error is bounded by what was left out."""
    h = np.eye(3) * 40.0
    w = np.zeros((600, 3))
    w[[0, 299, 599]] = np.eye(3)
    y = np.asarray([0, 299, 599])

    def gradients(eps):
        def loss(h, w):
            return am.linear_cross_entropy(h, w, y, filter_eps=eps, reduction="sum", softcap=30.0)

        with am.use_backend("numba"):
            return am.value_and_grad(loss, (0, 1))(h, w)[1]

    exact, filtered, nothing = gradients(0.0), gradients(1e-12), gradients(1e-3)
    assert (exact[1] != 0).any(axis=1).all()
    for a, b in zip(exact, filtered, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12 * 600)
    assert (nothing[1] == 0).all()


@pytest.mark.skipif(not NUMBA, reason="numba")
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_halves_widen_w_block_by_block(name, monkeypatch):
    torch = pytest.importorskip("torch")
    from anymax._cpu import linear_cross_entropy as kernel

    monkeypatch.setattr(kernel, "_WIDENED", 8 * D)
    dtype = getattr(torch, name)
    h, w, b = (torch.tensor(x).to(dtype) for x in (HIDDEN, W, BIAS))
    w[7, 1] = torch.nan
    where = torch.arange(V) != 7
    y = torch.tensor(TARGET)
    y[y == 7] = 8

    def run(dtype):
        leaves = [x.to(dtype).clone().requires_grad_() for x in (h, w, b)]
        loss = am.linear_cross_entropy(
            leaves[0], leaves[1], y, bias=leaves[2], where=where, chunk_size=10
        )
        loss.backward()
        assert loss.dtype == dtype
        return [loss, *(x.grad for x in leaves)]

    for a, b in zip(run(dtype), run(torch.float32), strict=True):
        torch.testing.assert_close(a, b.to(dtype))


@pytest.mark.skipif(not NUMBA, reason="numba")
def test_products_without_scipy(monkeypatch):
    from anymax._cpu import gemm

    want = am.value_and_grad(lambda h, w: linear(h, w, BIAS, {}), (0, 1))(HIDDEN, W)[1]
    monkeypatch.setattr(gemm, "_adding", lambda char: None)
    got = am.value_and_grad(lambda h, w: linear(h, w, BIAS, {}), (0, 1))(HIDDEN, W)[1]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


@pytest.mark.skipif(not NUMBA, reason="numba")
def test_layouts():
    want = am.linear_cross_entropy(HIDDEN, W, TARGET)
    turned = np.asfortranarray(W)
    stepped = np.repeat(HIDDEN, 2, axis=0)[::2]
    for h, w in ((HIDDEN, turned), (stepped, W), (np.asfortranarray(HIDDEN), W[::-1][::-1])):
        np.testing.assert_allclose(am.linear_cross_entropy(h, w, TARGET), want, rtol=1e-13)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"target": TARGET[:3]}, ValueError, "target has shape"),
        ({"target": np.zeros(N)}, TypeError, "class indices"),
        ({"target": np.full(N, V)}, IndexError, "labels 0 to 36"),
        ({"w": W[:, :3]}, ValueError, "features"),
        ({"bias": BIAS[:3]}, ValueError, "bias"),
        ({"weight": BIAS[:3]}, ValueError, "weight has shape"),
        ({"shift": -1}, ValueError, "shift"),
        ({"shift": N + 1}, ValueError, "shift"),
        ({"filter_eps": -1.0}, ValueError, "filter_eps"),
        ({"chunk_size": 0}, ValueError, "chunk_size"),
        ({"softcap": -1.0}, ValueError, "softcap"),
        ({"label_smoothing": 2.0}, ValueError, "label_smoothing"),
        ({"where": np.ones((N, 3), bool)}, ValueError, "where"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, words):
    call = {"hidden": HIDDEN, "w": W, "target": TARGET, **change}
    args = (call.pop("hidden"), call.pop("w"), call.pop("target"))
    with pytest.raises(error, match=words):
        am.linear_cross_entropy(*args, **call)
