"""Kernel sources as one text: headers inlined, so that a cache key on the text is always right."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent
INCLUDE = FOLDER / "include"

_INCLUDE_LINE = re.compile(r'^\s*#\s*include\s+"([\w./]+)"\s*$')


def flatten(source: Path) -> str:
    """Return the text of `source` with every ``#include "x.cuh"`` replaced by that file, once.

    ``#line`` directives keep compiler messages, and the checker's reports, in terms of the files.
    """
    return "\n".join(_lines(source, set())) + "\n"


def _lines(path: Path, seen: set[Path]) -> list[str]:
    seen.add(path)
    lines = [f'#line 1 "{path.name}"']
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        match = _INCLUDE_LINE.match(line)
        if match is None:
            lines.append(line)
            continue
        header = INCLUDE / match[1]
        if header not in seen:
            lines += _lines(header, seen)
        lines.append(f'#line {number + 1} "{path.name}"')
    return lines
