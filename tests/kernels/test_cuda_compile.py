"""Every CUDA kernel compiles, for every architecture, with no device and no driver.

Spills and warnings fail. Ceilings of registers are checked in; they hold for one compiler version.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil

import pytest

from anymax._cuda import cache, nvrtc, source, spec
from kernels import registers


def _why_not() -> str | None:
    try:
        if nvrtc.version() != registers.PINNED_NVRTC:
            return f"NVRTC is {nvrtc.version()}; the gate holds for {registers.PINNED_NVRTC}"
    except OSError as error:
        return str(error)
    return None


needs_nvrtc = pytest.mark.skipif(_why_not() is not None, reason=str(_why_not()))
each_source = pytest.mark.parametrize("path", registers.sources(), ids=lambda path: path.stem)


@needs_nvrtc
def test_compiler_is_the_pinned_one():
    try:
        installed = importlib.metadata.version("nvidia-cuda-nvrtc")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("NVRTC does not come from the nvidia-cuda-nvrtc wheel")
    assert installed == "13.0.88"


@pytest.mark.skipif("CI" not in os.environ, reason="only continuous integration must have all")
def test_the_gate_runs():
    """A gate that skips for want of a compiler is no gate."""
    assert _why_not() is None
    assert shutil.which("g++") is not None


def test_every_file_has_kernels():
    files = {path.name for path in source.FOLDER.glob("*.cu")}
    assert files == {path.name for path in registers.sources()}


@needs_nvrtc
@each_source
def test_compiles_without_spills_or_warnings(path):
    for (name, arch), (_, used, log) in registers.compile_strictly(path).items():
        assert used.spill_stores == used.spill_loads == 0, (name, arch)
        assert "warning" not in log.lower(), (name, arch, log)


@needs_nvrtc
@each_source
def test_registers_stay_below_their_ceilings(path):
    compiled, ceilings = registers.compile_strictly(path), registers.ceilings(path)
    assert ceilings.keys() == compiled.keys(), f"run tests/kernels/registers.py {path.stem}"
    heavier = {
        key: (used.registers, ceilings[key])
        for key, (_, used, _) in compiled.items()
        if used.registers > ceilings[key]
    }
    assert not heavier


@needs_nvrtc
@each_source
def test_blocks_fit_on_every_architecture(path):
    """64 K registers a multiprocessor, 1024 threads a block, the shared memory of each device."""
    most_shared = {"sm_80": 163, "sm_90a": 227, "sm_100": 227, "sm_120": 99}
    for (_, arch), (kernel, used, _) in registers.compile_strictly(path).items():
        assert kernel.block <= 1024
        assert used.registers * kernel.block <= 65536
        assert kernel.shared <= most_shared[arch] * 1024, (kernel.name, arch)


@needs_nvrtc
def test_a_spill_is_an_error():
    text = (
        "__global__ void __launch_bounds__(1024, 2) hungry(float* x) {\n"
        "  float a[200];\n"
        "#pragma unroll\n"
        "  for (int i = 0; i < 200; i++) a[i] = x[i * threadIdx.x];\n"
        "#pragma unroll\n"
        "  for (int i = 0; i < 200; i++) x[i * threadIdx.x + int(a[199 - i] * a[7])] = a[i];\n"
        "}\n"
    )
    nvrtc.compile_source(text, ["hungry"], "sm_90a", nvrtc.OPTIONS)
    with pytest.raises(nvrtc.CompileError, match="spilled"):
        nvrtc.compile_source(text, ["hungry"], "sm_90a", (*nvrtc.OPTIONS, *nvrtc.STRICT))


@needs_nvrtc
def test_errors_name_the_file_and_line():
    text = source.flatten(source.FOLDER / "row_softmax.cu") + "__global__ void broken() { oops; }\n"
    with pytest.raises(nvrtc.CompileError, match=r'row_softmax.cu\(\d+\): error: .*"oops"'):
        nvrtc.compile_source(text, ["broken"], "sm_80", nvrtc.OPTIONS)


@needs_nvrtc
def test_targets():
    """Exact machine code where NVRTC knows the device, PTX of the nearest older one where not."""
    assert nvrtc.target(80) == "sm_80"
    assert nvrtc.target(90) == "sm_90a"
    assert nvrtc.target(120) == "sm_120"
    assert nvrtc.target(199) == f"compute_{max(nvrtc.supported_archs())}"
    with pytest.raises(nvrtc.CompileError, match="no code for"):
        nvrtc.target(30)
    ptx = nvrtc.compile_source("__global__ void k(int* x) { *x = 1; }", ["k"], "compute_90").image
    assert ptx.lstrip().startswith(b"//")
    assert b".target sm_90" in ptx


def test_headers_are_inlined_once_and_in_place(tmp_path):
    main = tmp_path / "main.cu"
    main.write_text('#include "rows.cuh"\n#include "device.cuh"\nint after;\n')
    text = source.flatten(main)
    assert not re.search(r"^\s*#\s*include", text, re.MULTILINE)
    assert text.count("struct ExpSum {") == 1
    assert text.count("#define AMX_FULL_WARP") == 1
    assert text.endswith('#line 3 "main.cu"\nint after;\n')


def test_only_two_headers_know_what_they_are_compiled_for():
    """Kernels are plain C++: PTX and conditional code live in device.cuh and mma.cuh."""
    for path in sorted(source.FOLDER.rglob("*.cu*")):
        code = re.sub(r"//.*", "", path.read_text())
        included = set(re.findall(r"#\s*include\s+(\S+)", code))
        assert all(name.startswith('"') for name in included), f"{path.name} includes {included}"
        if path.name not in ("device.cuh", "mma.cuh"):
            assert not re.search(r"\basm\b|#\s*if", code), path.name


# ------------------------------------------------------------------------------------- the cache
def test_cache_keeps_and_doubts(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ANYMAX_CACHE", raising=False)
    key = cache.key("a", "bc")
    assert key != cache.key("ab", "c")
    assert cache.load(key) is None
    cache.store(key, ("x", {"y": b"z"}))
    assert cache.load(key) == ("x", {"y": b"z"})
    (file,) = (tmp_path / "anymax").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert cache.load(key) is None


def test_cache_can_be_off_or_unwritable(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("no folder can be made here")
    cache.store("key", 1)
    assert cache.load("key") is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("ANYMAX_CACHE", "0")
    cache.store("key", 1)
    assert cache.load("key") is None


def test_signatures_become_native_structs():
    params = spec.parse_signature("const float* x, int n, double s, float* y, int* z", inout=("z",))
    assert [p.role for p in params] == ["in", "value", "value", "out", "inout"]
    kernel = spec.KernelSpec("k", source.FOLDER / "k.cu", "k", params, 32)
    assert kernel.offsets == (0, 8, 16, 24, 32)
    with pytest.raises(TypeError, match="5 parameters, 1 values"):
        kernel.pack([1])
    with pytest.raises(ValueError, match="no packing rule"):
        spec.parse_signature("short n")
