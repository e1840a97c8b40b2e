"""The CUDA attention kernels on a device, for CuPy arrays and torch tensors.

The host tests cover layouts and edges by the same source; here the same cases run on real tensor
cores, where sums are rounded differently, together with streams, graphs and larger shapes.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from anymax._cuda import attend, launch
from kernels.attend_cases import CASES, DTYPES, check, everything, operands_of, qkv
from kernels.test_cuda_device import CupyArrays, TorchTensors

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(launch.why_not() is not None, reason=str(launch.why_not())),
]

DEPTHS = [
    ("bfloat16", 32), ("float16", 64), ("bfloat16", 96), ("float16", 128), ("bfloat16", 200),
    ("float32", 64), ("float32", 128), ("float32", 256), ("float64", 64), ("float64", 256),
]  # fmt: skip


@pytest.fixture(params=["cupy", "torch"])
def library(request):
    if request.param == "cupy":
        return CupyArrays
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA device")
    return TorchTensors


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_options(library, dtype, name):
    if library is CupyArrays and dtype == "bfloat16":
        pytest.skip("CuPy holds bfloat16 only with ml_dtypes and partly")
    given, options = CASES[name]
    check(operands_of(qkv(DTYPES[dtype]), **given), launch.default(), library=library, **options)


@pytest.mark.parametrize(("dtype", "depth"), DEPTHS)
def test_head_dimensions(dtype, depth):
    pytest.importorskip("torch")
    base = qkv(DTYPES[dtype], heads=(4, 2), rows=130, cols=201, depth=depth, depth_v=depth - 8)
    check(everything(base), launch.default(), library=TorchTensors, scale=0.1, causal=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_same_bits_every_time(dtype):
    torch = pytest.importorskip("torch")
    base = qkv(np.float32, batch=(4,), heads=(8, 2), rows=700, cols=900, depth=64)
    operands = [torch.from_numpy(x).cuda().to(getattr(torch, dtype)) for x in base] + [None] * 6
    needs = (True,) * 3 + (False,) * 6
    results = []
    for _ in range(3):
        outputs = attend.forward(*operands, scale=0.125, causal=True)
        grads = attend.backward(
            operands, outputs, (torch.ones_like(outputs[0]), None), needs, scale=0.125, causal=True
        )
        results.append((*outputs, *grads[:3]))
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


def test_agrees_with_torch_on_a_large_shape():
    torch = pytest.importorskip("torch")
    q, k, v = (torch.randn(2, 16, 2048, 128, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    out, _ = attend.forward(q, k, v, *[None] * 6, scale=128**-0.5, causal=True)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(out, expected, rtol=2e-2, atol=2e-2)


def test_capture_in_a_torch_graph():
    """A warm call neither synchronises nor loads anything, so a graph can hold it."""
    torch = pytest.importorskip("torch")
    q, k, v = (torch.randn(2, 4, 300, 64, device="cuda", dtype=torch.float16) for _ in range(3))
    attend.forward(q, k, v, scale=0.125)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out, _ = attend.forward(q, k, v, scale=0.125)
    q.copy_(torch.randn_like(q))
    graph.replay()
    expected, _ = attend.forward(q, k, v, scale=0.125)
    assert torch.equal(out, expected)


def test_more_than_32_bits_of_elements():
    """The last head lies past 2^31 elements: addresses are 64 bits wide."""
    torch = pytest.importorskip("torch")
    if torch.cuda.mem_get_info()[0] < 24 << 30:
        pytest.skip("needs 24 GB of free device memory")
    heads, rows, depth = 33, 1 << 20, 64
    k = torch.zeros(1, heads, rows, depth, device="cuda", dtype=torch.bfloat16)
    k[0, -1, -1] = 8
    q = torch.ones(1, heads, 1, depth, device="cuda", dtype=torch.bfloat16)
    out, lse = attend.forward(q, k, k, scale=1.0)
    assert float(out[0, -1, 0, 0]) == 8.0
    np.testing.assert_allclose(float(lse[0, -1, 0]), 512.0, rtol=1e-6)
    np.testing.assert_allclose(float(lse[0, 0, 0]), np.log(rows), rtol=1e-6)


def test_bfloat16_of_numpy_is_not_needed():
    """Torch tensors need no bfloat16 anywhere else: addresses are all that kernels get."""
    torch = pytest.importorskip("torch")
    q = torch.ones(1, 1, 3, 16, device="cuda", dtype=torch.bfloat16)
    out, _ = attend.forward(q, q, q, scale=1.0)
    assert out.dtype == torch.bfloat16
    assert np.asarray(1, ml_dtypes.bfloat16) == float(out[0, 0, 0, 0])
