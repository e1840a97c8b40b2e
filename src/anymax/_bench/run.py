"""The runner: every case against every rival that is here, one line at a time."""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from collections.abc import Sequence

import anymax as am
from anymax._bench import case as cases
from anymax._bench import csv, floors, load, memory, table
from anymax._bench.case import Case
from anymax._bench.rivals import RIVALS, absent
from anymax._bench.row import Row
from anymax._bench.sides import sides
from anymax._bench.timing import paired

BUDGET, QUICK = 1.5, 0.15  # seconds a contest is timed for


def main(args: Sequence[str] | None = None) -> int:
    """Run the benchmarks that the command line asks for, and print their table."""
    options = _parser().parse_args(args)
    chosen = cases.load(tuple(options.case or ()))
    if not chosen:
        print(f"bench: no case matches {options.case}; there are:")
        print("\n".join(f"  {c.name}" for c in cases.load()))
        return 2
    if options.list:
        print("\n".join(c.name for c in chosen))
        return 0
    _warn()
    machine = csv.machine()
    rivals = [r for r in RIVALS if any(r in c.theirs for c in chosen)]
    print(table.head(rivals), flush=True)
    rows: list[Row] = []
    for case in chosen:
        found = contests(case, options.device, quick=options.quick)
        print(table.line(found, rivals, load.cores()), flush=True)
        rows += found
        if options.csv:
            csv.write(options.csv, [r for r in found if r.ratio is not None], machine)
    print(table.legend(rows))
    _warn()
    return int(any(row.reason.startswith("FAILED") for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("anymax bench", description=__doc__)
    parser.add_argument(
        "--case", action="append", help="only cases whose name contains this (again for more)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--csv", metavar="FILE", help="append the results to this file")
    parser.add_argument(
        "--quick", action="store_true", help="short rounds, no torch.compile, no memory peaks"
    )
    parser.add_argument("--list", action="store_true", help="only name the cases")
    return parser


def _warn() -> None:
    """A ratio from a busy machine is worth little, and must not be printed without saying so."""
    busy, cores = load.average(), load.cores()
    if busy > cores:
        print(f"WARNING: the load is {busy:.1f} on {cores} cores; these ratios are noise.")


def contests(case: Case, device: str, *, quick: bool) -> list[Row]:
    """A row per rival of a case."""
    return [_contest(case, rival, device, quick=quick) for rival in case.theirs]


def _contest(case: Case, rival: str, device: str, *, quick: bool) -> Row:
    row = Row(case.form, case.size, rival, device)
    reason = absent(rival, device)
    if reason is None and quick and rival == "torch.compile":
        reason = "torch.compile is left out of a quick run"
    if reason is not None:
        return dataclasses.replace(row, reason=reason)
    try:
        row = _timed(case, row, quick)
    except Exception as error:  # one side failed: the table says so and goes on
        words = f"{type(error).__name__}: {error}".splitlines()[0][:100]
        return dataclasses.replace(row, reason=f"FAILED {case.name} against {rival}: {words}")
    if case.memory and not quick and rival != "torch.compile":
        row = dataclasses.replace(
            row,
            ours_peak=memory.peak(case.name, rival, device, ours=True),
            theirs_peak=memory.peak(case.name, rival, device, ours=False),
        )
    return row


def _timed(case: Case, row: Row, quick: bool) -> Row:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = sides(case, row.rival, row.device)
        with am.trace() as log:
            ours()
        with load.Watch() as watch:
            ratio = paired(ours, theirs, QUICK if quick else BUDGET)
    floor = None
    if case.bytes or case.flops:
        floor = ratio.ours / floors.seconds(row.device, case.bytes, case.flops)
    return dataclasses.replace(
        row,
        backend="+".join(sorted({event.backend for event in log})),
        ratio=ratio.median,
        low=ratio.low,
        high=ratio.high,
        rounds=ratio.rounds,
        ours_seconds=ratio.ours,
        theirs_seconds=ratio.theirs,
        floor=floor,
        foreign=watch.foreign,
    )
