"""Forms x array libraries x dtypes x backends: one engine for pytest and the command line.

:func:`run` gives results, :func:`main` prints them; the tests run `matrix.check` cell by cell.
"""

from __future__ import annotations

__all__ = ["main", "run"]


def run(*args, **kwargs):
    """See :func:`anymax._conformance.matrix.run`."""
    from anymax._conformance import matrix

    return matrix.run(*args, **kwargs)


def main(argv=None) -> int:
    """See :func:`anymax._conformance.cli.main`."""
    from anymax._conformance import cli

    return cli.main(argv)
