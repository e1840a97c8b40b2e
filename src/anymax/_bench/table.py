"""Results as a table: a line per case, a column per rival, `2.40x` where we are faster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from anymax._bench.row import Row

NAME, CELL = 44, 15
NOISY = 0.25  # share of the cores that others may use before a ratio is marked


def head(rivals: Sequence[str]) -> str:
    """The first line."""
    return f"{'':{NAME}}" + "".join(f"{rival:>{CELL}}" for rival in (*rivals, "floor", "memory"))


def line(rows: Sequence[Row], rivals: Sequence[str], cores: int) -> str:
    """The line of a case: its rows are its contests."""
    by_rival = {row.rival: row for row in rows}
    cells = [cell(by_rival.get(rival), cores) for rival in rivals]
    name = f"{rows[0].form} {rows[0].size}"
    return f"{name:{NAME}}" + "".join(f"{c:>{CELL}}" for c in (*cells, floor(rows), memory(rows)))


def cell(row: Row | None, cores: int) -> str:
    """``2.40x +-3%``; a ``!`` behind it says that others were busy; n/a without a ratio."""
    if row is None or row.ratio is None:
        return "n/a"
    noisy = "!" if row.foreign > NOISY * cores else ""
    return f"{row.ratio:.2f}x ±{row.spread:.0%}{noisy}"


def floor(rows: Iterable[Row]) -> str:
    """How many times the least possible time we take, in the best of the contests."""
    known = [row.floor for row in rows if row.floor]
    return f"{min(known):.2f}x" if known else "-"


def memory(rows: Iterable[Row]) -> str:
    """Their peak over ours, for the first rival whose peak was measured."""
    for row in rows:
        if row.ours_peak and row.theirs_peak:
            return f"{row.theirs_peak / row.ours_peak:.2f}x"
    return "-"


def legend(rows: Iterable[Row]) -> str:
    """What the columns mean, and why cells are empty."""
    lines = [
        "2.40x: the rival takes 2.40 times our time (median of paired rounds ± half the quartiles'"
        " distance); ! others kept the cores busy.",
        "floor: our time over that of a copy of the bytes or a matmul of the FLOPs.  "
        "memory: the first rival's peak over ours.",
    ]
    reasons = sorted({row.reason for row in rows if row.reason})
    return "\n".join(lines + reasons)
