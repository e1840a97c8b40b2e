"""Every form on every array library, dtype and backend: see `anymax._conformance`."""

from __future__ import annotations

import pytest

from anymax._conformance.cell import Skip
from anymax._conformance.matrix import Job, check, forget, jobs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    def chosen(option: str) -> list[str] | None:
        value = metafunc.config.getoption(option)
        return value.split(",") if value else None

    full = metafunc.config.getoption("--full")
    todo = jobs(columns=chosen("--xp"), backends=chosen("--backend"), full=full)
    metafunc.parametrize("job", [pytest.param(j, id=j.name, marks=_marks(j)) for j in todo])


def _marks(job: Job) -> list[pytest.MarkDecorator]:
    """All cells of a form go to one worker, which then computes its truths once."""
    marks = [pytest.mark.xdist_group(job.cell.entry.key)]
    return [*marks, pytest.mark.gpu] if job.cell.column.device == "cuda" else marks


def test_cell(job: Job) -> None:
    forget(before=job.cell.entry.key)
    try:
        check(job)
    except Skip as skip:
        pytest.skip(str(skip))
