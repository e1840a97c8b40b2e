"""Forms s(x) / sum s(x): mistakes seen elsewhere, gradients at edges, extreme sizes, kernels."""

import numpy as np
import pytest

import anymax as am
from anymax._conformance.entries import load_golden
from anymax.primitives import _weights

X = np.random.default_rng(3).normal(size=(4, 9)) * 2.0
BACKENDS = ["reference"]
try:
    import numba  # noqa: F401
except ImportError:
    pass
else:
    BACKENDS.append("numba")


@pytest.fixture(params=BACKENDS)
def backend(request):
    with am.use_backend(request.param):
        yield request.param


def gradient(f, x, g):
    return am.vjp(f, x)[1](g)[0]


# -- mistakes that are not repeated ------------------------------------------------------------


def test_softmax1_shifts_its_one_with_the_logits(backend):
    x = np.asarray([50.0, 49.0])
    p = am.softmax1(x)
    unshifted = np.exp(x - 50.0) / (1.0 + np.exp(x - 50.0).sum())
    np.testing.assert_allclose(p, np.exp(x) / (1.0 + np.exp(x).sum()), rtol=1e-14)
    assert abs(p - unshifted).max() > 0.1


def test_scalable_softmax_multiplies_by_log_n(backend):
    """Subtracting s log n from the logits changes nothing."""
    p = am.scalable_softmax(X, s=0.5)
    assert abs(p - am.softmax(X - 0.5 * np.log(9.0))).max() > 0.01
    np.testing.assert_allclose(p, am.softmax(X * 0.5 * np.log(9.0)), rtol=1e-13)


def test_scalable_softmax_counts_what_a_causal_row_may_see(backend):
    x, causal = X[:, :4], np.tril(np.ones((4, 4), bool))
    p = am.scalable_softmax(x, where=causal)
    np.testing.assert_array_equal(p[0], [1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(p[1, :2], am.softmax(x[1, :2] * np.log(2.0)), rtol=1e-13)


def test_a_mask_comes_after_the_cap(backend):
    """Capped, -inf is -cap, which no longer masks; `where` on the capped logits does."""
    capped = am.softcap(np.asarray([0.0, -np.inf]), cap=50.0)
    np.testing.assert_array_equal(capped, [0.0, -50.0])
    assert am.softmax(capped)[1] > 0.0


def test_stablemax_is_not_shifted(backend):
    np.testing.assert_allclose(am.stablemax(np.asarray([3.0, 1.0])), [4.0 / 6.0, 2.0 / 6.0])
    assert abs(am.stablemax(X) - am.stablemax(X - X.max(-1, keepdims=True))).max() > 0.01


def test_sigsoftmax_leaves_the_low_dimensional_space(backend):
    """log p + c stays in the span of the logits for softmax, and leaves it here."""
    t = np.linspace(-2.0, 2.0, 5)[:, None] * np.asarray([1.0, 0.5, -0.3, -1.2])
    ranks = [np.linalg.matrix_rank(f(t), tol=1e-9) for f in (am.log_softmax, am.log_sigsoftmax)]
    assert ranks[1] > ranks[0]


def test_parallel_gradient_is_noise_unless_projected():
    z = load_golden("grokking-edge__perp_grad_parallel")
    g, w = z["in_g"], z["in_w"]
    rescaled = am.softmaxes.orthogonalize_gradient(g, w)
    np.testing.assert_allclose(np.linalg.norm(z["out_g"]), np.linalg.norm(g))
    assert np.linalg.norm(rescaled) <= np.linalg.norm(g) * (1.0 + 1e-12)
    projected = am.softmaxes.orthogonalize_gradient(g, w, rescale=False)
    assert np.linalg.norm(projected) < 1e-8 * np.linalg.norm(g)


def test_collapse_rate_is_the_authors():
    z = load_golden("grokking-edge__softmax_collapse_f16")
    rate = am.softmaxes.softmax_collapse_rate(z["in_logits"].astype(np.float16))
    assert rate == np.float16(z["out_fraction"])


@pytest.mark.parametrize(("dtype", "gap"), [("float32", 16.7), ("float64", 36.8), ("float16", 7.7)])
def test_collapse_begins_at_the_gap_of_its_dtype(dtype, gap):
    rows = np.asarray([[0.0, -gap], [0.0, -(gap - 1.0)]]).astype(dtype)
    rates = [float(am.softmaxes.softmax_collapse_rate(row)) for row in rows]
    assert rates == [1.0, 0.0]


# -- gradients where the conformance cases keep away -------------------------------------------


def test_stablemax_has_slope_one_at_zero(backend):
    x, g = np.asarray([0.0, 1.0, -1.0]), np.asarray([1.0, 0.0, 0.0])
    p = am.stablemax(x)
    expected = p * (g - p[0]) / (1.0 + abs(x))
    np.testing.assert_allclose(gradient(am.stablemax, x, g), expected, rtol=1e-14)
    torch = pytest.importorskip("torch")
    t = torch.tensor(x, requires_grad=True)
    with am.use_backend("reference"):
        (dx,) = torch.autograd.grad(am.stablemax(t)[0], t)
        (through,) = torch.autograd.grad(torch.exp(am.log_stablemax(t))[0], t)
    np.testing.assert_allclose(dx.numpy(), expected, rtol=1e-14)
    np.testing.assert_allclose(through.numpy(), expected, rtol=1e-14)


def test_sigsoftmax_has_slope_three_halves_at_zero(backend):
    x, g = np.asarray([0.0, 2.0]), np.asarray([1.0, 0.0])
    p = am.sigsoftmax(x)
    np.testing.assert_allclose(gradient(am.sigsoftmax, x, g)[0], 1.5 * p[0] * (1 - p[0]))


def test_luce_choice_has_its_slope_at_a_utility_of_zero(backend):
    v, g = np.asarray([0.0, 1.0, 3.0]), np.asarray([1.0, 0.0, 2.0])
    mean = (v * g).sum() / 4.0
    np.testing.assert_allclose(gradient(am.luce_choice, v, g), (g - mean) / 4.0)
    for t in (0.5, 2.0):
        dv = gradient(lambda v, t=t: am.luce_choice(v, temperature=t), v, g)
        assert dv[0] == 0.0
        assert np.isfinite(dv).all()


def test_rows_of_zeros_have_no_gradient(backend):
    zeros, g = np.zeros((2, 3)), np.asarray([[1.0, 2.0, 3.0]] * 2)
    np.testing.assert_array_equal(am.spherical_softmax(zeros), np.full((2, 3), 1.0 / 3.0))
    np.testing.assert_array_equal(gradient(am.spherical_softmax, zeros, g), 0.0)
    np.testing.assert_array_equal(am.power_softmax(zeros), 0.0)
    np.testing.assert_array_equal(gradient(am.power_softmax, zeros, g), 0.0)


def test_a_weight_of_zero_takes_no_part_in_log_gradients(backend):
    x, g = np.asarray([0.0, 1.0, 2.0]), np.asarray([np.nan, 1.0, 0.0])
    dx = gradient(am.log_spherical_softmax, x, g)
    np.testing.assert_allclose(dx, [0.0, 2.0 - 2.0 / 5.0, -4.0 / 5.0])


def test_all_sinks_get_their_share(backend):
    def f(sink):
        return am.sink_softmax(X, sink=sink)

    sink, g = np.asarray([[0.5, -1.0]]), np.cos(np.arange(36.0)).reshape(4, 9)
    h = 1e-6
    expected = [
        ((f(sink + h * e) - f(sink - h * e)) * g).sum() / (2.0 * h) for e in np.eye(2)[:, None]
    ]
    np.testing.assert_allclose(gradient(f, sink, g)[0], expected, rtol=1e-7)


def test_several_sinks_are_their_logsumexp(backend):
    sinks = np.asarray([0.5, -2.0, 1.0])
    np.testing.assert_allclose(
        am.sink_softmax(X, sink=sinks), am.sink_softmax(X, sink=am.logsumexp(sinks)), rtol=1e-14
    )


# -- extreme sizes -----------------------------------------------------------------------------


def test_nothing_overflows(backend):
    x = np.asarray([[2e38, -3e38, 1.0], [-1e38, -2e38, -1.0]], np.float32)
    for f in (am.stablemax, am.spherical_softmax, am.taylor_softmax):
        np.testing.assert_allclose(f(x), f(x.astype(np.float64)), rtol=1e-6, atol=1e-37)
    for f in (am.log_stablemax, am.log_spherical_softmax, am.log_taylor_softmax):
        np.testing.assert_allclose(f(x), f(x.astype(np.float64)), rtol=1e-6, atol=1e-6)
    p = am.taylor_softmax(x, order=6)
    np.testing.assert_allclose(p[0], [(2 / 3) ** 6 / (1 + (2 / 3) ** 6), 1 / (1 + (2 / 3) ** 6), 0],
                               rtol=1e-5, atol=1e-30)  # fmt: skip


def test_small_rows_are_scaled_up(backend):
    x = np.asarray([1e-30, 2e-30, 0.0], np.float32)
    np.testing.assert_allclose(am.spherical_softmax(x), [0.2, 0.8, 0.0], rtol=1e-6)
    np.testing.assert_allclose(am.power_softmax(x, temperature=0.25)[0], 1.0 / 17.0, rtol=1e-5)


@pytest.mark.parametrize("order", [2, 4, 6, 8, 12, 16])
def test_taylor_polynomials_are_their_products(order):
    """The product of squares, against exact rational arithmetic, near the lowest point too."""
    from fractions import Fraction
    from math import factorial

    for x in (-6.0, -2.75, -1.0, 0.0, 0.5, 5.0):
        exact = sum(Fraction(x) ** k / factorial(k) for k in range(order + 1))
        product = 1.0
        for a, b in _weights.taylor_roots(order):
            product *= (x - a) ** 2 + b * b
        assert abs(product / factorial(order) / float(exact) - 1.0) < 1e-11


def test_orders_without_a_kernel_say_so():
    if "numba" not in BACKENDS:
        pytest.skip("numba is not installed")
    with am.use_backend("numba"), pytest.raises(ValueError, match="Taylor order is 8"):
        am.taylor_softmax(X, order=8)


# -- long rows, and the same bits for any number of threads ------------------------------------

LONG = {
    "sigsoftmax": {},
    "sink_softmax": {"sink": np.asarray([[1.0], [4.0]])},
    "log_sink_softmax": {},
    "scalable_softmax": {"s": -0.25},
    "power_softmax": {"temperature": 0.5},
    "spherical_softmax": {"eps": 0.5},
    "taylor_softmax": {"order": 4},
    "log_stablemax": {},
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_long_rows_come_in_chunks(name, dtype):
    if "numba" not in BACKENDS:
        pytest.skip("numba is not installed")
    rng = np.random.default_rng(5)
    x = abs(rng.normal(size=(2, 140_000))).astype(dtype)
    x[1, 100_000] = np.nan
    where = rng.uniform(size=x.shape) < 0.9
    where[1, 100_000] = False
    g = rng.normal(size=x.shape).astype(dtype)

    def run(backend):
        def f(x):
            return getattr(am, name)(x, where=where, **LONG[name])

        with am.use_backend(backend):
            return f(x), gradient(f, x, g)

    for ours, plain in zip(run("numba"), run("reference")):
        eps = float(np.finfo(dtype).eps)
        ours, plain = ours.astype(np.float64), plain.astype(np.float64)
        size = np.max(np.abs(plain), initial=0.0, where=np.isfinite(plain))
        np.testing.assert_allclose(ours, plain, rtol=4 * eps, atol=4 * eps * size)


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: am.taylor_softmax(X, order=3), ValueError),
        (lambda: am.taylor_softmax(X, order=0), ValueError),
        (lambda: am.taylor_softmax(X, order=2.0), TypeError),
        (lambda: am.spherical_softmax(X, eps=-1.0), ValueError),
        (lambda: am.softcap(X, cap=0.0), ValueError),
        (lambda: am.softcap(X, cap=-1.0), ValueError),
        (lambda: am.softcap(X, cap=np.nan), ValueError),
        (lambda: am.scalable_softmax(X, n=0), ValueError),
        (lambda: am.scalable_softmax(X, s=np.ones((4, 9))), ValueError),
        (lambda: am.sink_softmax(X, sink=np.ones((3, 1))), ValueError),
        (lambda: am.sink_softmax(X, sink=None), TypeError),
        (lambda: am.luce_choice(X, temperature=0.0), ValueError),
        (lambda: am.softmaxes.orthogonalize_gradient(X, X[:2]), ValueError),
        (lambda: am.softmaxes.minimum_bayes_risk(X, X), ValueError),
        (lambda: am.softmaxes.utility_update(X, np.zeros(3, int), lr=1.0), ValueError),
    ],
)
def test_what_does_not_fit_is_refused(call, error):
    with pytest.raises(error):
        call()
