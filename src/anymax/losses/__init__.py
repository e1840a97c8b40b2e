"""Losses."""

from __future__ import annotations

from typing import Any

from anymax import _catalogue, _names


def __getattr__(name: str) -> Any:
    found = _catalogue.resolve(name, "losses")
    if found is None:
        raise AttributeError(f"anymax.losses has no form {name!r}; anymax.find({name!r}) may help")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(_names.MODULES["losses"])
