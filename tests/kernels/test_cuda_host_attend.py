"""The CUDA attention kernels, run on the CPU with every memory access checked.

Every option on small ragged shapes against extended-precision NumPy, values and gradients; larger
shapes unchecked. The launch code and the kernels' source are the ones a device runs.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from anymax._cuda import attend
from kernels import attend_cases
from kernels.attend_cases import CASES, DTYPES, everything, numbers, operands_of, qkv, random_mask
from kernels.attend_oracle import NAMES, Attention, close
from kernels.oracles import TRUTH
from kernels.shim import KernelError, ShimLauncher, why_not
from kernels.test_cuda_mutants import MutantLauncher

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

CHECKED = ShimLauncher()
# One thread of the operating system: machines that run tests have few processors to spare.
FAST = ShimLauncher(check=False, threads=1)


def check(operands, launcher=CHECKED, **options):
    return attend_cases.check(operands, launcher, **options)


@pytest.mark.parametrize("name", CASES)
def test_options_on_tensor_cores(name):
    given, options = CASES[name]
    check(operands_of(qkv(ml_dtypes.bfloat16), **given), **options)


@pytest.mark.parametrize("name", ["plain", "window", "softcap", "bias of heads", "lengths"])
def test_options_on_cuda_cores(name):
    given, options = CASES[name]
    check(operands_of(qkv(np.float32, batch=(2,), heads=(2, 2)), **given), **options)


@pytest.mark.parametrize("options", [{"causal": True}, {"window": (9, 2), "softcap": 2.0}])
@pytest.mark.parametrize("dtype", DTYPES)
def test_everything_together(dtype, options):
    base = qkv(DTYPES[dtype], heads=(4, 2), rows=33, cols=45, depth=13, depth_v=9)
    check(everything(base), **options)


@pytest.mark.parametrize("depth", [64, 96, 128])
def test_tiles_of_every_head_dimension(depth):
    base = qkv(np.float16, batch=(), heads=(2, 1), rows=65, cols=67, depth=depth, depth_v=depth - 8)
    check(operands_of(base), scale=0.1, causal=True)


@pytest.mark.parametrize(
    ("dtype", "depth", "depth_v"),
    [
        ("float32", 100, 128), ("float32", 130, 256), ("float64", 200, 256), ("float16", 40, 160),
    ],
)  # fmt: skip
def test_large_heads_on_cuda_cores(dtype, depth, depth_v):
    base = qkv(
        DTYPES[dtype], batch=(), heads=(2, 1), rows=37, cols=50, depth=depth, depth_v=depth_v
    )
    check(everything(base), FAST, scale=0.1, softcap=3.0)


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"window": (64, 64)}])
@pytest.mark.parametrize(
    ("dtype", "depth"), [("bfloat16", 32), ("float16", 64), ("float16", 128), ("float32", 64)]
)
def test_larger_shapes(dtype, depth, options):
    base = qkv(DTYPES[dtype], heads=(2, 1), rows=150, cols=230, depth=depth, depth_v=depth)
    check(operands_of(base), FAST, scale=depth**-0.5, **options)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 70), (70, 1), (129, 31), (64, 128)])
def test_ragged_sizes(dtype, rows, cols):
    """With causal=True and more queries than keys, the first rows are empty."""
    base = qkv(DTYPES[dtype], batch=(1,), heads=(1, 1), rows=rows, cols=cols, depth=8, depth_v=8)
    out, lse, _ = check(operands_of(base), causal=True)
    empty = max(rows - cols, 0)
    assert not out[:, :, :empty].any()
    assert np.isneginf(lse[:, :, :empty]).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(("batch", "rows", "cols"), [((2,), 5, 0), ((2,), 0, 5), ((0,), 5, 5)])
def test_nothing_to_attend(dtype, batch, rows, cols):
    base = qkv(DTYPES[dtype], batch=batch, rows=rows, cols=cols)
    sink = numbers((2,), np.float32, 5)
    out, lse, _ = check(operands_of(base))
    assert not out.any()
    assert np.isneginf(lse).all() or cols != 0
    check(operands_of(base, sink=sink, slopes=np.ones(2), bias=numbers((1, rows, cols), "f4", 1)))


def poisoned(dtype):
    """NaN and infinities in q, k, v and the bias, some of which nobody sees."""
    q, k, v = qkv(DTYPES[dtype], heads=(2, 1), rows=40, cols=70)
    k[0, 0, 3, 1], v[0, 0, 66, 0], v[1, 0, 20, 5] = np.nan, np.inf, -np.inf
    k[1, 0, 65, 2] = -np.inf
    q[0, 1, 7, 0], q[1, 0, 39, 3] = np.nan, np.inf
    bias = numbers((2, 1, 40, 70), np.float32, 4)
    bias[0, 0, 10, 2], bias[0, 0, 11, 3], bias[0, 0, 12] = np.nan, np.inf, -np.inf
    mask = random_mask((2, 1, 40, 70))
    mask[0, :, :, 3] = np.arange(40)[:, None].T % 8 == 0
    mask[0, :, 10, 2] = mask[0, :, 11, 3] = False
    mask[1, :, 39] = False
    return q, k, v, mask, bias


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {"causal": True}, {"window": (12, 3)}, {"k_lengths": np.array([64, 20])},
        {"q_lengths": np.array([7, 39])}, {"sink": np.ones(2)},
    ],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
def test_bad_numbers_reach_those_who_see_them(dtype, options):
    q, k, v, mask, bias = poisoned(dtype)
    given = {n: options[n] for n in options if n in NAMES}
    rest = {n: x for n, x in options.items() if n not in NAMES}
    extras = ({}, {"mask": mask}, {"mask": mask, "bias": bias}, {"bias": bias})
    for extra in extras if dtype == "bfloat16" else extras[::2]:  # the scalar kernels are slow here
        out, _, _ = check(operands_of((q, k, v), **extra, **given), **rest)
        assert np.isnan(out.astype(np.float64)).any() or "mask" in extra or given


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_what_is_masked_leaves_no_trace(dtype):
    """Not a bit of the results depends on masked keys and padded queries, whatever they hold."""
    lengths = {"q_lengths": np.array([20, 37]), "k_lengths": np.array([66, 31])}
    results = []
    for bad in (0.0, np.nan, np.inf):
        q, k, v = qkv(DTYPES[dtype])
        for x, sizes in ((q, [20, 37]), (k, [66, 31]), (v, [66, 31])):
            for entry, size in enumerate(sizes):
                x[entry, :, size:] = bad
        out, lse, grads = check(operands_of((q, k, v), **lengths), causal=True)
        results.append([out, lse, *grads[:3]])
    for other in results[1:]:
        for x, y in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_batch_axes_broadcast(dtype):
    d = DTYPES[dtype]
    q, k, v = (
        numbers((3, 1, 2, 9, 8), d, 0),
        numbers((1, 4, 2, 11, 8), d, 1),
        numbers((4, 1, 11, 8), d, 2),
    )
    v = np.broadcast_to(v, (4, 2, 11, 8))
    check(
        operands_of(
            (q, k, v), bias=numbers((4, 1, 9, 1), np.float32, 3),
            mask=random_mask((3, 1, 1, 9, 11)), sink=numbers((3, 1, 1), np.float32, 4),
            slopes=np.array([0.1], np.float32),
            k_lengths=np.array([[4], [11], [7]]), q_lengths=np.array([9, 3, 8, 0]),
        )
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_layouts(dtype):
    """Transposed, stepped, reversed, repeated, read-only and misaligned operands."""
    d = DTYPES[dtype]
    q = numbers((2, 20, 3, 16), d, 0).transpose(0, 2, 1, 3)
    k = numbers((2, 3, 16, 30), d, 1).swapaxes(-1, -2)
    v = numbers((2, 3, 60, 33), d, 2)[:, ::-1, ::-2, 1:32:2]
    check(
        operands_of((q, k, v), bias=numbers((30, 20), d, 3).T, mask=random_mask((60, 20)).T[:, ::2])
    )
    repeated = np.broadcast_to(numbers((20, 16), d, 4), (2, 3, 20, 16))
    shifted = numbers((2 * 3 * 30 * 16 + 1,), d, 5)[1:].reshape(2, 3, 30, 16)
    check(operands_of((repeated, shifted, shifted)), causal=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_order_of_threads_does_not_matter(dtype):
    operands = everything(qkv(DTYPES[dtype], heads=(2, 1), rows=70, cols=90))
    launchers = [
        FAST, ShimLauncher(check=False, order="descending"),
        ShimLauncher(check=False, order="shuffled", seed=3, threads=1),
    ]  # fmt: skip
    results = [check(operands, launcher, causal=True, softcap=5.0) for launcher in launchers]
    first, *others = [
        (out, lse, *(g for g in grads if g is not None)) for out, lse, grads in results
    ]
    for other in others:
        for x, y in zip(first, other, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_only_what_is_needed(dtype):
    operands = operands_of(qkv(DTYPES[dtype]), sink=np.ones(2, np.float32), slopes=np.ones(2))
    out, lse = attend.forward(*operands, scale=0.3, launcher=CHECKED)
    for wanted in ({"q"}, {"k"}, {"v", "sink"}, {"slopes"}, set()):
        for cotangents in ((None, np.ones_like(lse)), (np.ones_like(out), None), (None, None)):
            needs = tuple(name in wanted for name in NAMES)
            grads = attend.backward(
                operands, (out, lse), cotangents, needs, scale=0.3, launcher=CHECKED
            )
            assert {n for n, g in zip(NAMES, grads, strict=True) if g is not None} == wanted
            truth = Attention(operands, TRUTH, scale=0.3)
            dout, dlse = (0 * x if g is None else g for x, g in zip((out, lse), cotangents))
            expected, size = truth.gradients(dout, dlse), truth.largest_terms(dout, dlse)
            for name, g in zip(NAMES, grads, strict=True):
                if g is not None:
                    close(g, expected[name], expected[name], out.dtype, name, size=size[name])


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    base = qkv(np.float32)
    q, k, v = (torch.from_numpy(x).bfloat16() for x in base)
    out, lse = attend.forward(q, k, v, scale=0.3, causal=True, launcher=CHECKED)
    assert out.dtype == torch.bfloat16
    assert lse.dtype == torch.float32
    grads = attend.backward(
        (q, k, v, *[None] * 6), (out, lse), (torch.ones_like(out), None),
        (True,) * 3 + (False,) * 6, scale=0.3, causal=True, launcher=CHECKED,
    )  # fmt: skip
    bits = [
        x.view(torch.int16).numpy().view(ml_dtypes.bfloat16) for x in (q, k, v, out, *grads[:3])
    ]
    truth = Attention(operands_of(bits[:3]), TRUTH, scale=0.3, causal=True)
    expected = truth.gradients(np.ones(out.shape), np.zeros(lse.shape))
    size = truth.largest_terms(np.ones(out.shape), np.zeros(lse.shape))
    close(bits[3], truth.out, truth.out, ml_dtypes.bfloat16, "out")
    for name, g in zip("qkv", bits[4:], strict=True):
        close(g, expected[name], expected[name], ml_dtypes.bfloat16, name, size=size[name])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"q": numbers((2, 2, 3, 300), np.float32, 0)}, "up to 256"),
        ({"k": numbers((2, 1, 70, 16), np.float64, 0)}, "different dtypes"),
        ({"mask": np.ones((37, 70), np.int8)}, "not boolean"),
        ({"bias": np.ones((37, 70), np.float64)}, "neither q's dtype nor float32"),
        ({"k_lengths": np.ones(2, np.uint8)}, "of keys are neither int32 nor int64"),
        ({"sink": np.ones(2, np.int64)}, "floating"),
        ({"q": numbers((2, 2, 37, 16), np.complex64, 0)}, "not complex64"),
    ],
)
def test_calls_that_kernels_cannot_take(change, reason):
    named = dict(zip(NAMES, operands_of(qkv(np.float32)), strict=True)) | change
    with pytest.raises(NotImplementedError, match=reason):
        attend.forward(*named.values(), scale=1.0, launcher=CHECKED)


def test_too_many_batch_axes():
    q = numbers((2, 1, 2, 1, 2, 1, 1, 3, 4), np.float32, 0)
    k = numbers((1, 2, 1, 2, 1, 2, 1, 3, 4), np.float32, 1)
    with pytest.raises(NotImplementedError, match="batch axes"):
        attend.forward(q, k, k, scale=1.0, launcher=CHECKED)


MUTANTS = {
    "a stage is overwritten while it is read": (
        ml_dtypes.bfloat16, "    __syncthreads();  // the stage is overwritten next\n", "", "race",
    ),
    "a copy is used before it has landed": (
        ml_dtypes.bfloat16, "copy_async_wait<1>();", "copy_async_wait<2>();", "uninitialised|race",
    ),
    "columns are not permuted alike": (
        ml_dtypes.bfloat16, "tile_at<HD>(row0 + m * 16 + (lane & 15), 2 * k + (lane >> 4))",
        "tile_at<HD>(row0 + m * 16 + (lane & 15), 2 * k)", None,
    ),
    "weights are used before all are there": (
        np.float32, "    put_weights<A, HD>(weights, scores);\n    __syncthreads();\n",
        "    put_weights<A, HD>(weights, scores);\n", "race",
    ),
    "the last key is forgotten": (np.float32, "j < k_length", "j + 1 < k_length", None),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_caught(mutant, tmp_path):
    """This guards the tests above: a spoiled kernel breaks a rule or gives wrong numbers."""
    dtype, old, new, message = MUTANTS[mutant]
    base = qkv(dtype, rows=70, cols=140)

    class OnlyForward(MutantLauncher):
        def launch(self, spec, *args, **kwargs):
            spoiled = "forward" in spec.name
            (super() if spoiled else CHECKED).launch(spec, *args, **kwargs)

    with pytest.raises(AssertionError if message is None else KernelError, match=message):
        check(operands_of(base), OnlyForward(tmp_path, old, new))
