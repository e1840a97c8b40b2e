"""Which backend runs: what the user asked for, what is installed, what was chosen."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

NAMES = ("auto", "reference", "numba", "cuda")


@dataclass(frozen=True, slots=True)
class Event:
    """One call of a primitive: which backend ran it, and why the others did not."""

    primitive: str
    backend: str
    reasons: dict[str, str | None]
    facts: Any

    def __str__(self) -> str:
        f = self.facts
        shapes = ", ".join(str(s) for s in f.shapes if s is not None)
        lines = [f"{self.primitive} on {f.library}/{f.device} {f.dtype} {shapes} -> {self.backend}"]
        lines += [f"  {b:10s}{'ok' if r is None else 'no: ' + r}" for b, r in self.reasons.items()]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _State:
    backend: str | None = None
    log: list[Event] | None = None


# The mapping beneath os.environ: asking it costs a twentieth of asking os.environ, which encodes.
_ENVIRONMENT: Any = getattr(os.environ, "_data", os.environ)
_VARIABLE: Any = "ANYMAX_BACKEND"
if _ENVIRONMENT is not os.environ:
    _VARIABLE = os.environ.encodekey("ANYMAX_BACKEND")

_AUTO = _State()
_state: ContextVar[_State] = ContextVar("anymax", default=_AUTO)


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run the calls inside on one backend; also a decorator.

    Parameters
    ----------
    name : {"auto", "reference", "numba", "cuda"}
        "auto" lets dispatch choose (the default; the environment variable ``ANYMAX_BACKEND`` sets
        it for a process), "reference" runs plain array-API code, "numba" and "cuda" run kernels.

    Raises
    ------
    ValueError
        For another name; and by the calls inside, when the backend cannot take one of them.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> with am.use_backend("reference"):
    ...     am.softmax(np.zeros(4))
    array([0.25, 0.25, 0.25, 0.25])
    """
    _check(name, "use_backend")
    token = _state.set(_State(name, _state.get().log))
    try:
        yield
    finally:
        _state.reset(token)


@contextlib.contextmanager
def trace() -> Iterator[list[Event]]:
    """Record which backend ran each primitive inside, and why the others did not.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> with am.use_backend("reference"), am.trace() as log:
    ...     p = am.softmax(np.zeros(4))
    >>> [(event.primitive, event.backend) for event in log]
    [('row_softmax', 'reference')]
    """
    log: list[Event] = []
    token = _state.set(_State(_state.get().backend, log))
    try:
        yield log
    finally:
        _state.reset(token)


def explain(function: Any, /, *args: Any, **kwargs: Any) -> str:
    """Run ``function(*args, **kwargs)`` and say which backend took each primitive, and why.

    Examples
    --------
    >>> import numpy as np, anymax as am
    >>> with am.use_backend("reference"):
    ...     print(am.explain(am.softmax, np.zeros((2, 3))))
    row_softmax on numpy/cpu float64 (2, 3) -> reference
      numba     no: the reference was asked for
      cuda      no: the reference was asked for
    """
    with trace() as log:
        function(*args, **kwargs)
    return "\n".join(map(str, log)) or "no primitive was called: plain array code"


def automatic() -> bool:
    """Whether nothing was asked for, by context or environment (the fast lane's one question)."""
    return _state.get() is _AUTO and _VARIABLE not in _ENVIRONMENT


def wanted() -> str:
    """The backend asked for."""
    name = _state.get().backend
    if name is not None:
        return name
    name = os.environ.get("ANYMAX_BACKEND") or "auto"
    _check(name, "ANYMAX_BACKEND")
    return name


def log() -> list[Event] | None:
    return _state.get().log


def _check(name: str, source: str) -> None:
    if name not in NAMES:
        raise ValueError(f"{source}: no backend {name!r}; one of {', '.join(NAMES)} fits")


# -- what each backend needs of any call -------------------------------------------------------

_NOT_INSTALLED = {
    "numba": "numba is not installed (pip install anymax[cpu])",
    "cuda": "CuPy is not installed (pip install anymax[cuda])",
}
_LIBRARIES = {"numba": ("numpy", "torch"), "cuda": ("cupy", "torch")}
_DEVICES = {"numba": "cpu", "cuda": "cuda"}
_DTYPES = ("float16", "bfloat16", "float32", "float64")


@functools.cache
def missing(backend: str) -> str | None:
    """Why a backend is absent from this machine; None when it is there."""
    if backend == "reference":
        return None
    if importlib.util.find_spec("numba" if backend == "numba" else "cupy") is None:
        return _NOT_INSTALLED[backend]
    if backend == "cuda":
        import cupy

        if not cupy.is_available():
            return "no CUDA device is available"
    return None


def why_not(backend: str, facts: Any) -> str | None:
    """The sentence of a backend about any primitive; the kernel's own comes after it."""
    lib = facts.library
    if lib == "tape":
        lib = "numpy" if facts.device == "cpu" else "cupy"
    if facts.obstacle is not None:
        return facts.obstacle
    if lib not in _LIBRARIES[backend]:
        return f"array library is {lib}"
    if facts.device != _DEVICES[backend]:
        return f"device is {facts.device}"
    if facts.dtype not in _DTYPES:
        return f"dtype is {facts.dtype}"
    return missing(backend)


# -- warnings ----------------------------------------------------------------------------------

_SILENT = contextlib.nullcontext()


def quiet(x: Any) -> Any:
    """NumPy's floating-point warnings off: -inf, +inf and NaN are legal here and have a policy."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np.errstate(all="ignore")
    return _SILENT
