"""Pieces of reStructuredText."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable


def title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (names, *rows):
        lines += [f"   {' ' if i else '*'} - {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join([*lines, ""])


def toctree(entries: Iterable[str]) -> str:
    return "\n".join([".. toctree::", "   :maxdepth: 1", "", *(f"   {e}" for e in entries), ""])


def replace(path: pathlib.Path, *parts: str) -> None:
    """Write a page, unless it says so already: then Sphinx need not read it again."""
    text = "\n".join(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
