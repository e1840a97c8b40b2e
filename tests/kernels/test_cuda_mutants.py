"""Row kernels with one line spoiled: the checks of the host tests must notice every one.

This guards the tests, not the kernels: a barrier that can be removed without a test failing is
either superfluous or untested.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from anymax._cuda import row_cross_entropy, row_softmax
from anymax._cuda.source import flatten
from kernels import oracles
from kernels.shim import KernelError, ShimLauncher, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

MUTANTS = {
    "no barrier before a reduction": (
        "  __syncthreads();  // an earlier reduction may still be reading\n", "", "race",
    ),
    "no barrier within a reduction": (
        "of_warp[warp] = all;\n  __syncthreads();", "of_warp[warp] = all;", "race|uninitialised",
    ),
    "a row too many": ("if (r >= rows) return;", "if (r > rows) return;", "invalid|outside"),
    "a row too few": ("if (r >= rows) return;", "if (r + 1 >= rows) return;", "never written"),
    "packs reach past the row": (
        "packs = (size - lead) / VEC", "packs = (size - lead + VEC - 1) / VEC",
        "race|invalid|more than once",
    ),
    "packs ignore alignment": (
        "(VEC - past) % VEC", "0 * past", "misaligned",
    ),
    "the rest of a row is forgotten": (
        "if (i < size) visit(width<1>(), i);", "if (i < lead) visit(width<1>(), i);",
        "never written",
    ),
}  # fmt: skip


class MutantLauncher(ShimLauncher):
    """Launches a spoiled copy of the kernel it is asked for."""

    def __init__(self, folder, old, new):
        super().__init__()
        self.folder, self.old, self.new = folder, old, new

    def launch(self, spec, *args, **kwargs):
        text = flatten(spec.source)
        assert self.old in text, "the mutant no longer applies: the kernel has changed"
        copy = self.folder / spec.source.name
        copy.write_text(text.replace(self.old, self.new))
        super().launch(dataclasses.replace(spec, source=copy), *args, **kwargs)


def run_softmax(launcher):
    """Rows of a warp and of a block, neither aligned nor a multiple of anything."""
    rng = np.random.default_rng(0)
    for rows, cols in ((5, 67), (3, 1030)):
        x = rng.standard_normal((rows, cols)).astype("float32")
        p = row_softmax.softmax(x, None, axis=(1,), scale=1.0, launcher=launcher)
        expected = oracles.forward("softmax", x, None, (1,), 1.0, "float64")
        np.testing.assert_allclose(p, expected, rtol=1e-5)


def run_cross_entropy(launcher):
    """Several reductions one after another, so that their shared memory is used again."""
    x = np.random.default_rng(0).standard_normal((3, 1030)).astype("float32")
    operands = (x, np.zeros(3, "int64"), x > -1, None, None)
    row_cross_entropy.forward(*operands, label_smoothing=0.1, launcher=launcher)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_caught(mutant, tmp_path):
    old, new, message = MUTANTS[mutant]
    run = run_cross_entropy if "before a reduction" in mutant else run_softmax
    with pytest.raises(KernelError, match=message):
        run(MutantLauncher(tmp_path, old, new))


@pytest.mark.parametrize("run", [run_softmax, run_cross_entropy])
def test_unspoiled_kernel_passes(run, tmp_path):
    run(MutantLauncher(tmp_path, "#define", "#define"))
