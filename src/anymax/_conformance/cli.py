"""``python -m anymax matrix``: run the matrix and print it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from anymax._conformance import table
from anymax._conformance.columns import COLUMNS
from anymax._conformance.matrix import ASPECTS, BACKENDS, jobs, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 1 when a check failed."""
    parser = _parser()
    args = parser.parse_args(argv)
    chosen = {
        "forms": args.forms or None,
        "columns": _split(args.xp),
        "backends": _split(args.backend),
        "aspects": _split(args.aspect),
        "full": args.full,
    }
    try:
        if args.list:
            print("\n".join(job.name for job in jobs(**chosen)))
            return 0
        results = run(**chosen, progress=sys.stdout.isatty(), html=args.html)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    table.show(results)
    return int(any(r.outcome == "fail" for r in results))


def _split(text: str | None) -> list[str] | None:
    return text.split(",") if text else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anymax matrix",
        description="Check forms on every array library, dtype and backend of this machine.",
    )
    parser.add_argument("forms", nargs="*", help="names, modules or families (default: all)")
    parser.add_argument("--xp", help=f"array libraries, comma-separated: {', '.join(COLUMNS)}")
    parser.add_argument("--backend", help=f"backends: {', '.join(BACKENDS)}")
    parser.add_argument("--aspect", help=f"aspects: {', '.join(ASPECTS)}")
    parser.add_argument("--full", action="store_true", help="every cell of every form")
    parser.add_argument("--html", metavar="FILE", help="write the table as a page, too")
    parser.add_argument("--list", action="store_true", help="name the checks, run none")
    return parser
