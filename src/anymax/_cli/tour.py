"""Train softmax regression on the 1,797 handwritten digits of scikit-learn, once with every array
library installed; compare the results, and the speed with each library's own functions."""

from __future__ import annotations

import argparse
import os
import sys

from anymax._cli import arrays, race
from anymax._cli.regression import STEPS, Run, load, train
from anymax._cli.tables import show

COLUMNS = (
    "library", "gradient", "backend", "loss ", "accuracy ", "cross_entropy\nspeed ",
    "softmax\nspeed ",
)  # fmt: skip
TOLERANCE = 1e-5  # float32 sums in another order: about 1e-6 after training


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``tour``."""
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps ({STEPS})")
    parser.add_argument(
        "--library",
        nargs="+",
        choices=list(arrays.LIBRARIES),
        default=list(arrays.LIBRARIES),
        help="which libraries (default: all)",
    )
    parser.add_argument("--no-race", action="store_true", help="leave the timings out")


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 when the losses of two libraries differ or scikit-learn is missing."""
    try:
        digits = load()
    except ImportError:
        print(
            "anymax: the tour needs scikit-learn for its digits; pip install 'anymax[tour]'",
            file=sys.stderr,
        )
        return 1
    print(
        f"Softmax regression on handwritten digits: {len(digits.labels)} to train on, "
        f"{len(digits.test_labels)} to test, {args.steps} steps, float32.\n"
        "Kernels compile on their first use ever; later runs load them.\n",
        flush=True,
    )
    runs, speeds, left_out = [], [], []
    for library in args.library:
        title, reason = arrays.TITLES[library], arrays.absent(library)
        if reason:
            left_out.append(f"{title} is left out: {reason}.")
            continue
        runs.append(train(library, digits, args.steps))
        speeds.append(None if args.no_race else race.against(library))
        print(f"  {title}: {runs[-1].seconds:.1f} s", flush=True)
    agree, spread = _agreement(runs)
    print()
    show(
        COLUMNS,
        [_row(result, speed) for result, speed in zip(runs, speeds)],
        notes=[_verdict(agree, spread, len(runs)), *left_out, *_notes(speeds)],
    )
    return 0 if agree else 1


def _row(result: Run, speed: race.Speed | None) -> list[str]:
    return [
        arrays.TITLES[result.library],
        result.gradient,
        ", ".join(result.backends),
        f"{result.loss:.6f}",
        f"{result.accuracy:.1%}",
        _ratio(speed.cross_entropy if speed else None),
        _ratio(speed.softmax if speed else None),
    ]


def _ratio(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}x"


def _agreement(runs: list[Run]) -> tuple[bool, float]:
    losses = [r.loss for r in runs]
    spread = max(losses) - min(losses) if losses else 0.0
    return spread <= TOLERANCE, spread


def _verdict(agree: bool, spread: float, count: int) -> str:
    word = "agree" if agree else "DIFFER"
    sign = "within" if agree else "more than"
    return f"The {count} final losses {word}: they spread {spread:.1e}, {sign} {TOLERANCE:.0e}."


def _notes(speeds: list[race.Speed | None]) -> list[str]:
    rivals = [speed.rivals for speed in speeds if speed]
    if not rivals:
        return []
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # Windows has none
    processors = os.cpu_count() or 1
    busy = f"The machine is busy (load {load:.1f} on {processors} processors): don't trust speeds."
    return [
        *([busy] if load > processors + 1 else []),  # the tour itself makes a load of about 1
        f"Speed: time of {', '.join(rivals)} over anymax's, median of {race.PAIRS} interleaved "
        "pairs; above 1x anymax is faster.",
        f"It was taken on {race.ROWS} x {race.CLASSES} float32, cross_entropy with its gradient, "
        "JAX under jax.jit on both sides;",
        "n/a where the library has no such function.",
    ]
