"""Tables on a terminal: by rich where it is installed, in plain columns elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def show(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    notes: Sequence[str] = (),
) -> None:
    """Print a table of text, then its notes, one a line.

    Parameters
    ----------
    columns : sequence of str
        Headings; a heading that ends in a space belongs to a column aligned to the right.
    rows : sequence of sequences of str
        As many texts as there are headings.
    """
    try:
        _rich(columns, rows, title)
    except ImportError:
        print(plain(columns, rows, title))
    for note in notes:
        print(note)


def plain(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> str:
    """The table as lines of text.

    Examples
    --------
    >>> print(plain(["name", "ms "], [["softmax", "1.5"]]))
    name      ms
    -------  ---
    softmax  1.5
    """
    cells = [[heading.replace("\n", " ") for heading in columns], *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = [
        "  ".join(
            text.strip().rjust(width) if heading.endswith(" ") else text.ljust(width)
            for text, width, heading in zip(row, widths, columns)
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(([title, ""] if title else []) + lines)


def _rich(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for heading in columns:
        right = heading.endswith(" ")
        table.add_column(heading.strip(), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    # Through a pipe rich takes a width of 80 and breaks words; nothing needs breaking there.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
