"""Results as tables: a bar while they come, a table in the terminal, a page of HTML."""

from __future__ import annotations

import contextlib
import html
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from anymax import __version__

if TYPE_CHECKING:
    from anymax._conformance.matrix import Result

Report = Callable[[int, int, "Result"], None]
Group = dict[tuple[str, str], list["Result"]]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0 2rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: left; }
td { font-variant-numeric: tabular-nums; }
.pass { color: #176d34; } .fail { color: #b3261e; font-weight: 600; } .skip { color: #888; }
pre { background: #f6f6f6; padding: .6rem; overflow-x: auto; white-space: pre-wrap; }
@media (prefers-color-scheme: dark) {
  body { background: #181818; color: #ddd; } th, td { border-color: #444; }
  pre { background: #222; } .pass { color: #6fcf87; } .fail { color: #ff8a80; }
}
"""


@contextlib.contextmanager
def silent() -> Iterator[Report]:
    yield lambda done, total, result: None


@contextlib.contextmanager
def bar(total: int) -> Iterator[Report]:
    """A bar with the form and aspect under way, and failures as they come."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("[bold]{task.description:42.42}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("[red]{task.fields[failed]}"),
    )  # fmt: skip
    with Progress(*columns) as progress:
        task = progress.add_task("", total=total, failed="")
        failed = 0

        def report(done: int, total: int, result: Result) -> None:
            nonlocal failed
            failed += result.outcome == "fail"
            progress.update(
                task, completed=done, failed=f"{failed} failed" if failed else "",
                description=f"{result.form} {result.column} {result.aspect}",
            )  # fmt: skip

        yield report


def grouped(results: Iterable[Result], brief: bool = False) -> tuple[list[str], list[str], Group]:
    """Forms, columns (with the kernel backends as columns of their own), results per pair.

    `brief` puts the variants of a library together, and all libraries of a kernel backend.
    """
    forms: dict[str, None] = {}
    columns: dict[str, None] = {}
    cells: Group = {}
    for r in results:
        library = r.column.partition(":")[0] if brief else r.column
        kernels = r.backend if brief else f"{r.column} {r.backend}"
        column = library if r.backend == "reference" else kernels
        forms[r.form] = columns[column] = None
        cells.setdefault((r.form, column), []).append(r)
    return list(forms), list(columns), cells


def summary(cell: list[Result]) -> tuple[str, str]:
    """How a cell of the table is coloured, and what it says."""
    count = {o: sum(r.outcome == o for r in cell) for o in ("pass", "fail", "skip")}
    if count["fail"]:
        return "fail", f"{count['fail']} of {count['fail'] + count['pass']} failed"
    if not count["pass"]:
        return "skip", "–"
    return "pass", str(count["pass"])


def show(results: list[Result]) -> None:
    """Print the table, reasons of skips, and failures."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = 120
    forms, columns, cells = grouped(results, brief=True)
    table = Table(title=f"anymax {__version__}: checks passed per form and array library")
    table.add_column("form", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    colours = {"pass": "green", "fail": "bold red", "skip": "dim"}
    for form in forms:
        row = []
        for column in columns:
            outcome, text = summary(cells.get((form, column), []))
            row.append(f"[{colours[outcome]}]{text}[/]")
        table.add_row(form.partition(".")[2], *row)
    console.print(table)
    for what, reason in skips(results):
        console.print(f"[dim]{what}: {reason}[/]", highlight=False)
    for r in results:
        if r.outcome == "fail":
            console.print(f"[bold red]{title(r)}[/]", highlight=False)
            console.print(r.reason, markup=False, highlight=False)
    console.print(totals(results), highlight=False)


def title(r: Result) -> str:
    return f"{r.form} · {r.column} · {r.dtype} · {r.backend} · {r.aspect}"


def skips(results: Iterable[Result]) -> list[tuple[str, str]]:
    """Each reason once, with what it holds back."""
    seen: dict[str, dict[str, None]] = {}
    for r in results:
        if r.outcome == "skip":
            absent = r.aspect == "absent"
            what = r.column if absent else f"{r.form} {r.column} {r.backend} {r.aspect}"
            seen.setdefault(r.reason, {})[what] = None
    return [(", ".join(what), reason) for reason, what in seen.items()]


def totals(results: list[Result]) -> str:
    count = {o: sum(r.outcome == o for r in results) for o in ("pass", "fail", "skip")}
    seconds = sum(r.seconds for r in results)
    return (
        f"{count['pass']} passed, {count['fail']} failed, {count['skip']} skipped "
        f"in {seconds:.0f} s"
    )


def write_html(results: list[Result], path: str) -> None:
    """Write the table as one self-contained page."""
    pathlib.Path(path).write_text(page(results), encoding="utf-8")


def page(results: list[Result]) -> str:
    """The table as HTML, with dtypes, errors and failures."""
    forms, columns, cells = grouped(results)
    head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
    rows = [
        f"<tr><th>{html.escape(form)}</th>"
        + "".join(_html_cell(cells.get((form, column), [])) for column in columns)
        + "</tr>"
        for form in forms
    ]
    reasons = "".join(
        f"<li>{html.escape(what)}: {html.escape(reason)}</li>" for what, reason in skips(results)
    )
    failures = "".join(
        f"<h3>{html.escape(title(r))}</h3><pre>{html.escape(r.reason)}</pre>"
        for r in results
        if r.outcome == "fail"
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>anymax {__version__}: conformance</title><style>{_STYLE}</style></head><body>"
        f"<h1>anymax {__version__}</h1><p>Checks passed per form and array library: "
        f"{html.escape(totals(results))}.</p>"
        f"<table><thead><tr><th>form</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        + (f"<h2>Failures</h2>{failures}" if failures else "")
        + (f"<h2>Left out</h2><ul>{reasons}</ul>" if reasons else "")
        + "</body></html>\n"
    )


def _html_cell(cell: list[Any]) -> str:
    outcome, text = summary(cell)
    errors = {}
    for r in cell:
        if r.aspect == "value" and r.error is not None:
            errors[r.dtype] = f"{r.dtype}: worst error {r.error:.1e}"
    tip = html.escape("\n".join(errors.values()))
    return f"<td class='{outcome}' title='{tip}'>{html.escape(text)}</td>"
