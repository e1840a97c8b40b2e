"""Any softmax, any loss, any attention, on any array.

Forms are functions of arrays: ``anymax.softmax(x)``.  NumPy, CuPy, torch, JAX, dask and
array-api-strict arrays go in, the same kind comes out.  :func:`find` lists the forms.
"""

from __future__ import annotations

from typing import Any

from anymax import _names
from anymax._backends import explain, trace, use_backend
from anymax._catalogue import find, resolve
from anymax._version import __version__

_LAZY = {"value_and_grad": "anymax._grad", "vjp": "anymax._grad"}
_SUBMODULES = ("softmaxes", "losses", "attentions", "primitives", "testing")

__all__ = [
    "__version__",
    "attentions",
    "explain",
    "find",
    "losses",
    "softmaxes",
    "trace",
    "use_backend",
    "value_and_grad",
    "vjp",
    *_names.TOP,
]


def __getattr__(name: str) -> Any:
    import importlib

    if name in _SUBMODULES:
        return importlib.import_module(f"anymax.{name}")
    if name in _LAZY:
        found = getattr(importlib.import_module(_LAZY[name]), name)
    else:
        found = resolve(name)
    if found is None:
        raise AttributeError(f"anymax has no form {name!r}; anymax.find({name!r}) may help")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
