"""The CUDA kernels of maps of rows on a device, through the real launcher."""

from __future__ import annotations

import pytest

from anymax._cuda import launch
from kernels import threshold_cases, weight_cases
from kernels.row_cases import DTYPES, logits, masks

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(launch.why_not() is not None, reason=str(launch.why_not())),
]


def on_device():
    cupy = pytest.importorskip("cupy")
    return {
        "to_device": lambda x: None if x is None else cupy.asarray(x),
        "to_host": lambda x: x.get(),
    }


@pytest.mark.parametrize("cols", [33, 1030])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", weight_cases.KINDS)
def test_weights(kind, dtype, cols):
    x = weight_cases.logits_for(kind, logits(cols, dtype))
    weight_cases.check(kind, x, masks(cols)["random"], None, (1,), dtype, **on_device())


@pytest.mark.parametrize("cols", [33, 1030, 13_000])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", threshold_cases.MAPS)
def test_thresholds(name, dtype, cols):
    x = logits(cols, dtype)
    threshold_cases.check(name, x, masks(cols)["random"], None, (1,), dtype, **on_device())
