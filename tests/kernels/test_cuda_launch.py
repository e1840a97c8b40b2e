"""The launcher for devices, as far as it can be tested without one."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from anymax._cuda import launch, nvrtc, row_softmax
from kernels import oracles
from kernels.shim import ShimLauncher, why_not


def _without_nvrtc() -> str | None:
    try:
        nvrtc.version()
    except OSError as error:
        return str(error)
    return None


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


@pytest.mark.skipif(_without_nvrtc() is not None, reason=str(_without_nvrtc()))
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
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
