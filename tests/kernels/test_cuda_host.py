"""The CUDA row kernels, run on the CPU with every memory access checked.

What is tested here is the same source and the same launch code that a device runs; speed and the
device's own rounding are not.
"""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest

from anymax._cuda import launch, row_cross_entropy, row_softmax
from kernels import oracles
from kernels.oracles import TRUTH, assert_close, dtype_of, wide
from kernels.shim import ShimLauncher, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

DTYPES = ["float32", "float64", "float16", "bfloat16"]
KINDS = ["softmax", "log_softmax", "logsumexp"]
COLS = [1, 31, 33, 65, 1030]
CHECKED = ShimLauncher()


def logits(cols: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Rows worth testing: plain, large, tied, empty, with -inf, +inf, NaN, and both."""
    rng = np.random.default_rng(seed)
    x = 4 * rng.standard_normal((10, cols))
    x[1] += 1e4
    x[2] = 2.0
    x[3] = -np.inf
    x[4, ::3] = -np.inf
    x[5, cols // 2] = np.inf
    x[6, cols // 3] = np.nan
    x[7, 0], x[7, -1] = np.nan, np.inf
    x[8, cols // 2] += 60
    return x.astype(dtype_of(dtype))


def masks(cols: int) -> dict[str, np.ndarray | None]:
    rng = np.random.default_rng(1)
    hides_bad = ~np.isnan(logits(cols, "float64")) & (logits(cols, "float64") != np.inf)
    return {
        "none": None,
        "random": rng.random((10, cols)) < 0.6,
        "hides what is bad": hides_bad,
        "columns": rng.random(cols) < 0.6,
        "rows": rng.random((10, 1)) < 0.6,
    }


def functions(kind: str):
    return getattr(row_softmax, kind), getattr(row_softmax, f"{kind}_backward")


def check_rows(kind, x, where, axes, scale, launcher, *, dtype):
    """Compare value and gradient with the oracle; nothing may write to x or the mask."""
    before = x.copy(), None if where is None else where.copy()
    forward, backward = functions(kind)
    y = forward(x, where, axis=axes, scale=scale, launcher=launcher)
    assert y.dtype == x.dtype
    truth, plain = (oracles.forward(kind, x, where, axes, scale, d) for d in (TRUTH, wide(dtype)))
    assert_close(y, truth, plain, dtype)

    g = np.random.default_rng(2).standard_normal(y.shape).astype(x.dtype)
    dx, none = backward(
        (x, where), (y,), (g,), (True, False), axis=axes, scale=scale, launcher=launcher
    )
    assert none is None
    truth = oracles.backward(kind, x, where, g, axes, scale, TRUTH)
    plain = plain_gradient(kind, x, where, y, g, axes, scale, dtype)
    assert_close(dx, truth, plain, dtype, size=terms(kind, x, where, g, axes, scale))
    np.testing.assert_array_equal(x.astype("float64"), before[0].astype("float64"))
    if where is not None:
        np.testing.assert_array_equal(where, before[1])


@np.errstate(all="ignore")
def plain_gradient(kind, x, where, y, g, axes, scale, dtype):
    """The formula on the saved, rounded output: what plain code of that dtype has to start from."""
    if kind == "logsumexp":
        return oracles.backward(kind, x, where, g, axes, scale, wide(dtype))
    p = np.exp(y.astype(wide(dtype))) if kind == "log_softmax" else y.astype(wide(dtype))
    g = np.where(p == 0, 0, g.astype(wide(dtype)))
    if kind == "softmax":
        dx = p * (g - (g * p).sum(axis=axes, keepdims=True))
    else:
        dx = g - p * g.sum(axis=axes, keepdims=True)
    return np.where(p == 0, 0, dx * scale)


@np.errstate(all="ignore")
def terms(kind, x, where, g, axes, scale):
    """Largest term of each row's gradient: they nearly cancel where one weight is nearly 1."""
    p = oracles.forward("softmax", x, where, axes, scale, TRUTH)
    g = np.abs(np.expand_dims(g, axes) if kind == "logsumexp" else g).astype(TRUTH)
    if kind == "log_softmax":
        sizes = g + p * np.where(p > 0, g, 0).sum(axis=axes, keepdims=True)
    else:
        sizes = g * p
    return oracles.largest(scale * sizes, axes)


@pytest.mark.parametrize("cols", COLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_edges(kind, dtype, cols):
    for name, where in masks(cols).items():
        for scale in (1.0, -0.75) if name in ("none", "random") else (2.5,):
            check_rows(kind, logits(cols, dtype), where, (1,), scale, CHECKED, dtype=dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_layouts(kind):
    """Strides, offsets and axes; the first element of a row is rarely 16-byte aligned."""
    base = np.random.default_rng(3).standard_normal((6, 5, 36)).astype("float32")
    frozen = base.copy()
    frozen.flags.writeable = False
    views = {
        "transposed": (base.transpose(2, 0, 1), (2,)),
        "stepped": (base[:, ::2, ::3], (2,)),
        "negative strides": (base[::-1, :, ::-1], (2,)),
        "offset by one element": (base.reshape(-1)[1:1021].reshape(4, 5, 51), (2,)),
        "rows further apart than long": (base[:, :, 3:30], (2,)),
        "broadcast rows": (np.broadcast_to(base[0, 0], (3, 2, 36)), (2,)),
        "broadcast columns": (np.broadcast_to(base[:, :, :1], (6, 5, 7)), (2,)),
        "first axis": (base, (0,)),
        "two axes": (base, (0, 2)),
        "all axes": (base, (0, 1, 2)),
        "read-only": (frozen, (1, 2)),
    }
    for x, axes in views.values():
        check_rows(kind, x, None, axes, 1.0, CHECKED, dtype="float32")


@pytest.mark.parametrize("kind", KINDS)
def test_masks_broadcast_through_strides(kind):
    x = np.random.default_rng(4).standard_normal((2, 3, 4, 5, 9)).astype("float32")
    rng = np.random.default_rng(5)
    for shape in ((9,), (5, 1), (4, 1, 9), (2, 1, 1, 1, 9), (2, 1, 4, 1, 9), (2, 1, 4, 5, 1), ()):
        check_rows(
            kind, x, np.asarray(rng.random(shape) < 0.7), (4,), 1.0, CHECKED, dtype="float32"
        )
    turned = np.asfortranarray(rng.random((2, 3, 4, 5, 9)) < 0.7)
    check_rows(kind, x, turned, (1, 3), 1.0, CHECKED, dtype="float32")


@pytest.mark.parametrize("kind", KINDS)
def test_degenerate_shapes(kind):
    forward, backward = functions(kind)
    for shape, axes in (((), ()), ((3,), (0,)), ((0, 4), (1,)), ((3, 0), (1,)), ((3, 0, 2), (0,))):
        x = np.ones(shape, "float32")
        y = forward(x, None, axis=axes, scale=1.0, launcher=CHECKED)
        expected = oracles.forward(kind, x, None, axes, 1.0, "float64")
        np.testing.assert_allclose(y, expected, rtol=1e-6)
        dx, _ = backward(
            (x, None),
            (y,),
            (np.ones_like(y),),
            (True, False),
            axis=axes,
            scale=1.0,
            launcher=CHECKED,
        )
        assert dx.shape == shape


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_torch_tensors(kind, dtype):
    torch = pytest.importorskip("torch")
    x = torch.randn(3, 4, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.to(getattr(torch, dtype)).transpose(1, 2)
    where = torch.rand(50, 1, generator=torch.Generator().manual_seed(1)) < 0.6
    forward, backward = functions(kind)
    y = forward(x, where, axis=(2,), scale=1.0, launcher=CHECKED)
    assert y.dtype == x.dtype
    as_numpy = x.to(torch.float64).numpy()
    expected = oracles.forward(kind, as_numpy, where.numpy(), (2,), 1.0, "float64")
    np.testing.assert_allclose(y.to(torch.float64).numpy(), expected, rtol=2e-2, atol=1e-6)
    g = torch.ones_like(y)
    dx, _ = backward((x, where), (y,), (g,), (True, False), axis=(2,), scale=1.0, launcher=CHECKED)
    assert dx.dtype == x.dtype
    assert dx.shape == x.shape


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_result_does_not_depend_on_the_order_of_threads(dtype):
    """Fast mode, larger rows, three orders, several blocks at a time: the same bits each time."""
    x = np.random.default_rng(6).standard_normal((37, 5003)).astype(dtype)
    results = [
        row_softmax.softmax(
            x, None, axis=(1,), scale=1.0,
            launcher=ShimLauncher(check=False, order=order, seed=seed),
        )
        for order, seed in (("ascending", 0), ("descending", 0), ("shuffled", 1), ("shuffled", 2))
    ]  # fmt: skip
    truth, plain = (oracles.forward("softmax", x, None, (1,), 1.0, d) for d in (TRUTH, "float32"))
    assert_close(results[0], truth, plain, dtype)
    for other in results[1:]:
        assert other.tobytes() == results[0].tobytes()


def test_cross_entropy_does_not_depend_on_the_order_of_threads():
    x = np.random.default_rng(6).standard_normal((37, 2051)).astype("float32")
    operands = (x, np.arange(37), x > -1, None, None)
    results = [
        row_cross_entropy.forward_backward(
            operands, 1.0, label_smoothing=0.1,
            launcher=ShimLauncher(check=False, order=order, seed=1),
        )
        for order in ("ascending", "descending", "shuffled")
    ]  # fmt: skip
    for (loss, lse), dx in results[1:]:
        assert loss.tobytes() == results[0][0][0].tobytes()
        assert lse.tobytes() == results[0][0][1].tobytes()
        assert dx.tobytes() == results[0][1].tobytes()


# --------------------------------------------------------------------------------- cross entropy
OPTIONS = {
    "plain": {},
    "smooth": {"label_smoothing": 0.1},
    "square": {"lse_square_scale": 0.01},
    "capped": {"softcap": 8.0},
    "everything": {"label_smoothing": 0.2, "lse_square_scale": 0.01, "softcap": 8.0},
}


def cross_entropy_case(cols, dtype, *, probabilities, seed=7):
    rng = np.random.default_rng(seed)
    x = logits(cols, dtype)
    target = rng.integers(0, cols, len(x))
    if probabilities:
        target = rng.random(x.shape) * (rng.random(x.shape) < 0.5)
        target = (target / np.maximum(target.sum(-1, keepdims=True), 1e-3)).astype(x.dtype)
    weight = rng.random(cols).astype(wide(dtype))
    row_scale = rng.random(len(x)).astype(wide(dtype))
    row_scale[[0, 6]] = 0
    return x, target, weight, row_scale


def check_cross_entropy(x, target, where, weight, row_scale, options, *, dtype, launcher=CHECKED):
    operands = (x, target, where, weight, row_scale)
    run = functools.partial(_launched, operands, options, launcher)
    g = np.random.default_rng(8).standard_normal((2, len(x))).astype(wide(dtype))
    g[0, 1] = 0
    compare_cross_entropy(run((g[0], g[1])), operands, g, options, dtype)


def compare_cross_entropy(actual, operands, g, options, dtype):
    """Hold (loss, lse, dx) against the oracle for the cotangents g of loss and lse."""
    truth, plain = (
        oracles.cross_entropy(
            *operands, d,
            smoothing=options.get("label_smoothing", 0.0),
            square=options.get("lse_square_scale", 0.0), cap=options.get("softcap"),
            cotangents=(g[0], g[1]),
        )
        for d in (TRUTH, wide(dtype))
    )  # fmt: skip
    size = 1 + oracles.largest(np.stack([truth[0], truth[1]], -1), (-1,))[:, 0]
    for i in range(2):
        assert_close(actual[i], truth[i], plain[i], wide(dtype), size=size)
    size = oracles.largest(truth[2], (-1,)) + 1e-2
    assert_close(actual[2], truth[2], plain[2], dtype, size=size)


def _launched(operands, options, launcher, cotangents):
    loss, lse = row_cross_entropy.forward(*operands, launcher=launcher, **options)
    grads = row_cross_entropy.backward(
        operands, (loss, lse), cotangents, (True,) + (False,) * 4, launcher=launcher, **options
    )
    assert grads[1:] == (None,) * 4
    return loss, lse, grads[0]


@pytest.mark.parametrize("cols", COLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("probabilities", [False, True])
def test_cross_entropy(dtype, cols, probabilities):
    x, target, weight, row_scale = cross_entropy_case(cols, dtype, probabilities=probabilities)
    for i, options in enumerate(OPTIONS.values()):
        where = list(masks(cols).values())[i]
        check_cross_entropy(x, target, None, None, None, options, dtype=dtype)
        check_cross_entropy(x, target, where, weight, row_scale, options, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_in_one_launch(dtype):
    """Loss and gradient together are the loss, and the gradient for one constant cotangent."""
    x, target, weight, row_scale = cross_entropy_case(65, dtype, probabilities=False)
    operands = (x, target, masks(65)["columns"], weight, row_scale)
    for options in OPTIONS.values():
        (loss, lse), dx = row_cross_entropy.forward_backward(
            operands, 0.5, launcher=CHECKED, **options
        )
        g = np.full(len(x), 0.5, wide(dtype))
        expected = _launched(operands, options, CHECKED, (g, None))
        np.testing.assert_array_equal(loss, expected[0])
        np.testing.assert_array_equal(lse, expected[1])
        # The gradient alone starts from the saved lse: exp(y - lse) carries its rounding.
        rtol = 4 * oracles.EPS[dtype] + oracles.EPS[wide(dtype)] * 1e4
        np.testing.assert_allclose(
            dx.astype("float64"), expected[2].astype("float64"), rtol=rtol, atol=rtol / 10
        )


def test_cross_entropy_layouts():
    """Strided logits, int32 classes, broadcast cotangents and scales, batch axes."""
    rng = np.random.default_rng(9)
    base = rng.standard_normal((12, 3, 4)).astype("float32")
    x = base.transpose(1, 2, 0)
    target = rng.integers(0, 12, (3, 4)).astype("int32")
    row_scale = np.broadcast_to(np.float32(0.25), (3, 4))
    g = np.broadcast_to(np.float32(2.0), (3, 4))
    loss, _, dx = _launched((x, target, None, None, row_scale), {}, CHECKED, (g, None))
    expected = oracles.cross_entropy(
        x.reshape(12, 12), target.reshape(-1), None, None, row_scale.reshape(-1), "float64",
        smoothing=0.0, square=0.0, cap=None, cotangents=(g.reshape(-1), None),
    )  # fmt: skip
    np.testing.assert_allclose(loss.reshape(-1), expected[0], rtol=1e-6)
    np.testing.assert_allclose(dx.reshape(12, 12), expected[2], rtol=1e-5, atol=1e-7)


def test_cross_entropy_degenerate_shapes():
    """No rows, no classes, no batch axes."""
    for batch, classes in (((0,), 5), ((3,), 0), ((), 4), ((2, 0), 3)):
        x = np.zeros((*batch, classes), "float32")
        target = np.zeros(batch, "int64")
        loss, lse, dx = _launched(
            (x, target, None, None, None), {}, CHECKED, (np.ones(batch), None)
        )
        np.testing.assert_allclose(loss, np.full(batch, np.log(max(classes, 1))), rtol=1e-6)
        np.testing.assert_allclose(lse, np.full(batch, np.log(classes) if classes else -np.inf))
        assert dx.shape == x.shape


def test_class_out_of_range_is_nan_and_reads_nothing():
    x = np.zeros((2, 33), "float32")
    loss, _ = row_cross_entropy.forward(x, np.array([33, -1]), None, None, None, launcher=CHECKED)
    assert np.isnan(loss).all()


def test_cross_entropy_has_no_other_gradients():
    x, target, weight, _ = cross_entropy_case(31, "float32", probabilities=False)
    with pytest.raises(NotImplementedError, match="logits only"):
        row_cross_entropy.backward(
            (x, target, None, weight, None), (), (), (True, False, False, True, False)
        )


# ------------------------------------------------------------------------ the launcher of devices
class HostDriver:
    """The CUDA driver's functions that the device launcher uses, on top of the shim."""

    def __init__(self) -> None:
        self.loaded: list[bytes] = []
        self.attributes: list[tuple[int, int, int]] = []
        self.streams: list[int] = []
        self.spec = row_softmax.FORWARD.spec("float32", warp=True, packs=True)

    def moduleLoadData(self, image):
        self.loaded.append(image)
        return 1

    def moduleGetFunction(self, module, name):
        assert "softmax_forward" in name
        return 7

    def funcSetAttribute(self, function, attribute, value):
        self.attributes.append((function, attribute, value))

    def launchKernel(self, function, *numbers):
        *dims, _, stream, params, extra = numbers
        assert (function, extra) == (7, 0)
        self.streams.append(stream)
        code = ShimLauncher(check=False)._library(self.spec)
        code.clear()
        errors = code.run(tuple(dims[:3]), tuple(dims[3:]), 0, params, (0, 0, 0, 1))
        assert not errors


def test_arrays_off_the_device_are_refused():
    with pytest.raises(TypeError, match="on a CUDA device"):
        row_softmax.softmax(np.ones((2, 3)), None, axis=(1,), scale=1.0)


def test_import_and_reason_need_no_device():
    """Importing kernels imports no array library, and what they lack is said in a sentence."""
    code = (
        "import sys\n"
        "from anymax._cuda import launch, row_cross_entropy, row_softmax\n"
        "heavy = {'cupy', 'torch', 'jax', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "reason = launch.why_not()\n"
        "assert reason is None or reason[0].isupper() and len(reason) > 10, reason\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_device_launcher_packs_and_caches(monkeypatch):
    """Only the driver is replaced: compiling, loading once, packing and launching are real."""
    monkeypatch.setattr(launch, "_OnDevice", lambda number: _Nothing())
    monkeypatch.setattr(launch, "device_of", lambda x: 0)
    monkeypatch.setattr(launch, "stream_of", lambda x: 42)
    monkeypatch.setattr(launch, "compute_capability", lambda device: 90)
    driver = HostDriver()
    launcher = launch.CupyLauncher(driver)
    x = np.random.default_rng(10).standard_normal((5, 40)).astype("float32")
    for _ in range(2):
        y = row_softmax.softmax(x, None, axis=(1,), scale=1.0, launcher=launcher)
        truth = oracles.forward("softmax", x, None, (1,), 1.0, "float64")
        np.testing.assert_allclose(y, truth, rtol=1e-6)
    assert len(driver.loaded) == 1
    assert driver.loaded[0][:4] == b"\x7fELF"
    assert driver.streams == [42, 42]
    assert driver.attributes == []
    for smem in (100_000, 60_000, 120_000):
        launcher._allow_shared(7, smem)
    assert [value for _, _, value in driver.attributes] == [100_000, 120_000]


class _Nothing:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None
