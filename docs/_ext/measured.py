"""Tables of what bench/results holds; where that is nothing, they say so."""

from __future__ import annotations

import csv
import pathlib

from rst import table

from anymax._form import Form

ROOT = pathlib.Path(__file__).parents[2]
SHOWN = (
    "form", "size", "rival", "device", "backend", "ratio", "low", "high", "floor", "processor",
    "load", "date", "commit",
)  # fmt: skip


def results() -> list[dict]:
    """Every row of bench/results that names a form."""
    rows: list[dict] = []
    for path in sorted((ROOT / "bench" / "results").glob("*.csv")):
        with path.open(newline="") as file:
            rows += [row for row in csv.DictReader(file) if row.get("form")]
    return rows


def is_about(row: dict, form: Form) -> bool:
    """Results name a form by its first word: "cross_entropy forward", "attention causal"."""
    word = row["form"].split()[0]
    return form.name == {"attention": "dot_product_attention"}.get(word, word)


def measurements(rows: list[dict], nothing: str) -> str:
    if not rows:
        return nothing + "\n"
    names = [name for name in SHOWN if any(row.get(name) for row in rows)]
    cells = [[row.get(name) or "" for name in names] for row in rows]
    return table(names, cells) + "\nratio: the rival's time over ours, with its quartiles.\n"
