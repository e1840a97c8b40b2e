"""The command line: ``python -m anymax``, or ``anymax``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from anymax import __version__

# Each has a module with arguments(parser) and run(args) -> exit code, imported when asked for.
COMMANDS = {
    "tour": "train on real digits with every array library installed, and compare (the default)",
    "info": "versions, backends and why one is missing, cache, threads",
    "explain": "run a form on random arrays and say which backend took it, and why",
    "warm": "compile the kernels now, so that no later call waits for it",
}
# These have a command line of their own and get the remaining arguments.
DELEGATED = {
    "matrix": ("anymax._conformance", "check every form on every library, dtype and backend"),
    "bench": ("anymax._bench", "time forms against other libraries, side by side"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 when all went well, 1 when a check failed or something is missing, 2 when the arguments
        make no sense.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _run(argv: list[str]) -> int:
    if argv and argv[0] in DELEGATED:
        return _delegate(argv[0], argv[1:])
    if not argv:
        argv = ["tour"]
    parser = _parser()
    if argv[0] in COMMANDS:
        command = importlib.import_module(f"anymax._cli.{argv[0]}")
        sub = argparse.ArgumentParser(prog=f"anymax {argv[0]}", description=command.__doc__)
        command.arguments(sub)
        return int(command.run(sub.parse_args(argv[1:])) or 0)
    parser.parse_args(argv)  # --help, --version, or an error
    return 0


def _parser() -> argparse.ArgumentParser:
    lines = COMMANDS | {name: text for name, (_, text) in DELEGATED.items()}
    width = max(map(len, lines))
    parser = argparse.ArgumentParser(
        prog="anymax",
        description="Any softmax, any loss, any attention, on any array.",
        epilog="commands:\n"
        + "\n".join(f"  {name:{width}}  {text}" for name, text in lines.items())
        + "\n\n'anymax COMMAND --help' says more. Without a command the tour runs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="anymax [-h] [--version] [COMMAND] ...",
    )
    parser.add_argument("--version", action="version", version=f"anymax {__version__}")
    parser.add_argument("command", nargs="?", choices=lines, help=argparse.SUPPRESS)
    return parser


def _delegate(name: str, argv: list[str]) -> int:
    module = DELEGATED[name][0]
    try:
        command = importlib.import_module(module)
    except ModuleNotFoundError as error:
        extra = "test" if name == "matrix" else "bench"
        print(
            f"anymax {name}: {error.name} is not installed; pip install 'anymax[{extra}]'",
            file=sys.stderr,
        )
        return 1
    return int(command.main(argv) or 0)


if __name__ == "__main__":
    sys.exit(main())
