"""The CUDA row kernels on a device: values, streams, graphs, several devices, the PTX wrappers.

The host tests cover layouts and edges by the same source; here the same edges run through the real
launcher for CuPy arrays and torch tensors, together with all that only a device has.
"""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from anymax._cuda import launch, row_cross_entropy, row_softmax
from anymax._cuda.spec import KernelSpec, parse_signature
from kernels import oracles, row_cases, shim
from kernels.oracles import TRUTH, assert_close, wide
from kernels.row_cases import COLS, DTYPES, KINDS, OPTIONS, logits, masks

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(launch.why_not() is not None, reason=str(launch.why_not())),
]

WRAPPERS = Path(shim.__file__).parent / "kernels" / "wrappers.cu"


class CupyArrays:
    """NumPy to CuPy and back."""

    @staticmethod
    def to_device(x):
        import cupy

        return None if x is None else cupy.asarray(x)

    @staticmethod
    def to_host(x):
        return x.get()


class TorchTensors:
    """NumPy to torch and back; bfloat16 travels as bits."""

    @staticmethod
    def to_device(x):
        import torch

        if x is None:
            return None
        if x.dtype == ml_dtypes.bfloat16:
            bits = torch.from_numpy(np.ascontiguousarray(x).view(np.int16))
            return bits.cuda().view(torch.bfloat16)
        return torch.from_numpy(np.ascontiguousarray(x)).cuda()

    @staticmethod
    def to_host(x):
        import torch

        if x.dtype == torch.bfloat16:
            return x.view(torch.int16).cpu().numpy().view(ml_dtypes.bfloat16)
        return x.cpu().numpy()


@pytest.fixture(params=["cupy", "torch"])
def library(request):
    if request.param == "cupy":
        return CupyArrays
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA device")
    return TorchTensors


@pytest.fixture
def torch_cuda(request):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA device")
    return torch


@pytest.mark.parametrize("cols", [*COLS, 32_768])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_rows(library, kind, dtype, cols):
    forward, backward = row_cases.functions(kind)
    for where in masks(cols).values():
        x = logits(cols, dtype)
        device_x, device_where = library.to_device(x), library.to_device(where)
        y = forward(device_x, device_where, axis=(1,), scale=-0.75)
        truth, plain = (
            oracles.forward(kind, x, where, (1,), -0.75, d) for d in (TRUTH, wide(dtype))
        )
        assert_close(library.to_host(y), truth, plain, dtype)

        g = np.random.default_rng(2).standard_normal(truth.shape).astype(x.dtype)
        dx, _ = backward(
            (device_x, device_where), (y,), (library.to_device(g),), (True, False),
            axis=(1,), scale=-0.75,
        )  # fmt: skip
        truth = oracles.backward(kind, x, where, g, (1,), -0.75, TRUTH)
        plain = row_cases.plain_gradient(kind, x, where, library.to_host(y), g, (1,), -0.75, dtype)
        size = row_cases.terms(kind, x, where, g, (1,), -0.75)
        assert_close(library.to_host(dx), truth, plain, dtype, size=size)


@pytest.mark.parametrize("cols", [*COLS, 32_768])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS)
def test_cross_entropy(library, dtype, cols, options):
    for probabilities in (False, True):
        case = row_cases.cross_entropy_case(cols, dtype, probabilities=probabilities)
        x, target, weight, row_scale = case
        operands = (x, target, masks(cols)["random"], weight, row_scale)
        device = tuple(map(library.to_device, operands))
        g = np.random.default_rng(8).standard_normal((2, len(x))).astype(wide(dtype))
        outputs = row_cross_entropy.forward(*device, **OPTIONS[options])
        dx, *_ = row_cross_entropy.backward(
            device, outputs, tuple(map(library.to_device, g)), (True,) + (False,) * 4,
            **OPTIONS[options],
        )  # fmt: skip
        actual = [*map(library.to_host, outputs), library.to_host(dx)]
        row_cases.compare_cross_entropy(actual, operands, g, OPTIONS[options], dtype)


def test_cupy_current_stream_is_used():
    """The launch waits for work queued on the stream, and not for the default stream."""
    import cupy

    x = cupy.zeros((64, 4096), cupy.float32)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        for _ in range(50):
            x += 1
        x[:, 0] += 10
        p = row_softmax.softmax(x, None, axis=(1,), scale=1.0)
    stream.synchronize()
    expected = oracles.forward("softmax", x.get(), None, (1,), 1.0, "float64")
    np.testing.assert_allclose(p.get(), expected, rtol=1e-5)


def test_torch_current_stream_is_used(torch_cuda):
    x = torch_cuda.zeros((64, 4096), device="cuda")
    stream = torch_cuda.cuda.Stream()
    stream.wait_stream(torch_cuda.cuda.current_stream())
    with torch_cuda.cuda.stream(stream):
        for _ in range(50):
            x += 1
        x[:, 0] += 10
        p = row_softmax.softmax(x, None, axis=(1,), scale=1.0)
    stream.synchronize()
    torch_cuda.testing.assert_close(p, torch_cuda.softmax(x, 1), rtol=1e-5, atol=0)


def test_capture_in_a_torch_graph(torch_cuda):
    """A warm kernel neither synchronises nor loads anything, so a graph can hold it."""
    x = torch_cuda.randn((32, 1000), device="cuda")
    row_softmax.softmax(x, None, axis=(1,), scale=1.0)
    torch_cuda.cuda.synchronize()
    graph = torch_cuda.cuda.CUDAGraph()
    with torch_cuda.cuda.graph(graph):
        p = row_softmax.softmax(x, None, axis=(1,), scale=1.0)
    x.copy_(torch_cuda.randn((32, 1000), device="cuda"))
    graph.replay()
    torch_cuda.testing.assert_close(p, torch_cuda.softmax(x, 1), rtol=1e-5, atol=1e-8)


def test_capture_in_a_cupy_graph():
    import cupy

    x = cupy.random.standard_normal((32, 1000), dtype=cupy.float32)
    out = row_softmax.softmax(x, None, axis=(1,), scale=1.0)
    stream = cupy.cuda.Stream(non_blocking=True)
    rows, cols = x.shape
    spec = row_softmax.FORWARD.spec("float32", warp=True, packs=True)
    with stream:
        stream.begin_capture()
        launch.default().launch(
            spec, (rows // 4,), (spec.block,), 0,
            (x, cols, None, 0, 0, 0, 1, 1, 0, out, rows, cols, 1.0, 0),
        )  # fmt: skip
        graph = stream.end_capture()
    x[...] = cupy.random.standard_normal((32, 1000), dtype=cupy.float32)
    cupy.cuda.Device().synchronize()
    graph.launch(stream)
    stream.synchronize()
    expected = oracles.forward("softmax", x.get(), None, (1,), 1.0, "float64")
    np.testing.assert_allclose(out.get(), expected, rtol=1e-5)


def test_every_device_gets_its_own_kernel(library):
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs two devices")
    x = logits(65, "float32")
    expected = oracles.forward("softmax", x, None, (1,), 1.0, "float64")
    for number in (1, 0):
        if library is CupyArrays:
            with cupy.cuda.Device(number):
                on_device = cupy.asarray(x)
        else:
            on_device = library.to_device(x).to(f"cuda:{number}")
        p = row_softmax.softmax(on_device, None, axis=(1,), scale=1.0)
        assert launch.device_of(p) == number
        np.testing.assert_allclose(library.to_host(p), expected, rtol=1e-5)


def test_rows_beyond_32_bits():
    """More than 2^31 elements: addresses are 64 bits wide throughout."""
    import cupy

    rows, cols = 3, 1 << 30
    free, _ = cupy.cuda.runtime.memGetInfo()
    if free < 5 * rows * cols:
        pytest.skip("needs 16 GB of free device memory")
    x = cupy.zeros((rows, cols), cupy.float16)
    x[-1, -1] = 15
    lse = row_softmax.logsumexp(x.astype(cupy.float16), None, axis=(1,), scale=1.0)
    expected = np.log([cols, cols, cols - 1 + np.exp(15.0)])
    np.testing.assert_allclose(lse.get().astype(np.float64), expected, rtol=2e-3)


@pytest.mark.parametrize("half", ["f16", "bf16"])
@pytest.mark.parametrize("through_ldmatrix", ["true", "false"])
def test_tensor_cores_agree_with_their_emulation(half, through_ldmatrix):
    """The host tests ask the same of the emulated instructions, with the same source."""
    import cupy

    dtype = np.dtype(np.float16 if half == "f16" else ml_dtypes.bfloat16)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-8, 9, shape).astype(dtype) for shape in ((16, 16), (16, 8)))
    c = cupy.full((16, 8), np.nan, cupy.float32)
    instance = f"matrix_product<{half}, {through_ldmatrix}>"
    params = parse_signature(f"const {half}* a, const {half}* b, float* c")
    spec = KernelSpec(instance, WRAPPERS, instance, params, 32)
    bits = (cupy.asarray(m.view(np.uint16)) for m in (a, b))
    launch.default().launch(spec, (1,), (32,), 0, (*bits, c))
    np.testing.assert_array_equal(c.get(), a.astype(np.float64) @ b.astype(np.float64))


@pytest.mark.parametrize("half", ["f16", "bf16"])
def test_conversions_round_as_numpy_does(half):
    import cupy

    dtype = np.dtype(np.float16 if half == "f16" else ml_dtypes.bfloat16)
    halves = np.arange(65536, dtype=np.uint16).view(dtype)
    exact = halves[np.isfinite(halves.astype(np.float32))].astype(np.float64)
    x = np.concatenate([exact, (exact[1:] + exact[:-1]) / 2]).astype(np.float32)
    narrowed = cupy.empty(len(x), cupy.uint16)
    widened = cupy.empty(len(x), cupy.float32)
    params = parse_signature(f"const float* x, {half}* narrowed, float* widened, int n")
    spec = KernelSpec(f"round_trip/{half}", WRAPPERS, f"round_trip<{half}>", params, 256)
    args = (cupy.asarray(x), narrowed, widened, len(x))
    launch.default().launch(spec, (-(-len(x) // 256),), (256,), 0, args)
    with np.errstate(over="ignore"):
        expected = x.astype(dtype)
    np.testing.assert_array_equal(narrowed.get(), expected.view(np.uint16))
    np.testing.assert_array_equal(widened.get(), expected.astype(np.float32))
