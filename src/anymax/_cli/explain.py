"""Run a form on random arrays and say which backend took each primitive, and why."""

from __future__ import annotations

import argparse
import difflib
import sys
from functools import partial
from typing import Any

import numpy as np

import anymax as am
from anymax import _array, _backends
from anymax._catalogue import load_all
from anymax._cli import arrays, samples
from anymax._form import Form


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``explain``."""
    parser.add_argument("form", metavar="FORM", help="name of a form, such as cross_entropy")
    parser.add_argument("--library", choices=list(arrays.LIBRARIES), default="numpy")
    parser.add_argument("--dtype", choices=["float16", "float32", "float64"], default="float32")
    parser.add_argument("--shape", type=_shape, help="shape of the first array, such as 4,8")
    parser.add_argument(
        "--backend",
        choices=list(_backends.NAMES),
        help="as anymax.use_backend (default: what ANYMAX_BACKEND says, or auto)",
    )


def run(args: argparse.Namespace) -> int:
    """Print what `anymax.explain` says; 2 for an unknown form, 1 when the call fails."""
    form = lookup(args.form)
    if form is None:
        print(_unknown(args.form), file=sys.stderr)
        return 2
    reason = arrays.absent(args.library)
    if reason:
        print(f"anymax explain: {args.library}: {reason}", file=sys.stderr)
        return 1
    try:
        print(samples.run(form, args.shape, args.dtype, partial(_explained, form, args)))
    except samples.MISFITS as error:
        print(f"anymax explain: {error}", file=sys.stderr)
        return 1
    return 0


def _explained(form: Form, args: argparse.Namespace, call: samples.Call) -> str:
    """The call in words, and what dispatch says of it."""
    shapes: list[str] = []

    def put(x: np.ndarray) -> Any:
        shapes.append(_array.shape_text(x.shape))
        return arrays.put(args.library, x)

    there = call.mapped(put)
    with _backends.use_backend(args.backend or _backends.wanted()):
        text = am.explain(form.function, *there.args, **there.options)
    return f"{form.name} of {', '.join(shapes)}\n{text}"


def lookup(name: str) -> Form | None:
    """The form called ``softmax``, ``softmaxes.softmax`` or ``anymax.softmax``."""
    name = name.removeprefix("anymax.").removeprefix("am.")
    forms = load_all()
    return forms.get(name) or next((f for f in forms.values() if f.name == name), None)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.replace("x", ",").split(",") if n)


def _unknown(name: str) -> str:
    names = sorted({f.name for f in load_all().values()})
    near = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
    found = [key.partition(".")[2] for key in am.find(name)]
    guesses: list[Any] = list(dict.fromkeys([*near, *found]))[:6]
    hint = f"did you mean {', '.join(guesses)}?" if guesses else "anymax.find() lists all forms."
    return f"anymax explain: there is no form {name!r}; {hint}"
