"""Options of the test run: which array libraries and backends, and how hypothesis draws."""

from __future__ import annotations

import contextlib
import importlib.util

import pytest

if importlib.util.find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("anymax", derandomize=True, deadline=None, database=None)
    settings.load_profile("anymax")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("anymax")
    group.addoption("--xp", help="columns of the matrix, comma-separated, e.g. numpy,torch")
    group.addoption("--full", action="store_true", help="every cell of the matrix for every form")
    group.addoption("--backend", help="backends of the matrix, comma-separated, e.g. reference")


_TOGETHER = ("test_docs", "test_cpu_", "test_softmaxes_weights")  # share a build, or fresh kernels


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked gpu are skipped, with the reason, where there is no device.

    Tests of some files go to one worker: two would build and compile the same things.
    """
    for item in items:
        if item.path.stem.startswith(_TOGETHER):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    reason = _no_device() if marked else None
    if reason:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


def _no_device() -> str | None:
    from anymax._backends import missing

    reason = missing("cuda")
    if reason is None:
        return None
    with contextlib.suppress(ImportError):
        import torch

        if torch.cuda.is_available():
            return None
    return reason
