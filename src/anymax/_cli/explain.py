"""Run a form on random arrays and say which backend took each primitive, and why."""

from __future__ import annotations

import argparse
import difflib
import sys
from typing import Any

import numpy as np

import anymax as am
from anymax import _backends, _shapes
from anymax._catalogue import load_all
from anymax._cli import arrays
from anymax._form import Form

SIZES = {"L": 16, "S": 16, "D": 32, "Dv": 32, "Hq": 2, "Hk": 2, "C": 8, "N": 16}
DEFAULT_SIZE = 8
LABELS = ("target", "labels", "index", "indices")


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
        data = operands(form, args.shape, args.dtype)
        given = [arrays.put(args.library, x) for x in data.values()]
        with _backends.use_backend(args.backend or _backends.wanted()):
            text = am.explain(form.function, *given)
    except (ValueError, TypeError, IndexError) as error:
        print(f"anymax explain: {error}", file=sys.stderr)
        return 1
    said = ", ".join(f"{name} {_shapes.shape_text(x.shape)}" for name, x in data.items())
    print(f"{form.name}: {said}\n{text}")
    return 0


def lookup(name: str) -> Form | None:
    """The form called ``softmax``, ``softmaxes.softmax`` or ``anymax.softmax``."""
    name = name.removeprefix("anymax.").removeprefix("am.")
    forms = load_all()
    return forms.get(name) or next((f for f in forms.values() if f.name == name), None)


def operands(form: Form, shape: tuple[int, ...] | None, dtype: str) -> dict[str, np.ndarray]:
    """Random arrays for a form's positional arguments, sized after the first one's `shape`."""
    spec = _shapes.parse(form.shapes)
    (_, first), *_ = spec.arguments
    batch: tuple[int, ...] = (3,)
    sizes, bare = dict(SIZES), False
    if shape is not None:
        bare = len(shape) < len(first.axes)
        names = _present(first, bare)
        if len(shape) < len(names):
            wanted = ", ".join(names)
            raise ValueError(f"{form.name}: --shape has {len(shape)} sizes; ({wanted}) are needed")
        cut = len(shape) - len(names)
        batch, given = shape[:cut], dict(zip(names, shape[cut:]))
        sizes |= given
        if "Hq" in given:  # heads are shared unless they are given
            sizes["Hk"] = given["Hq"]
    rng = np.random.default_rng(0)
    out = {}
    for name, term in spec.arguments:
        inner = tuple(_size(sizes, axis) for axis in _present(term, bare))
        full = (*batch, *inner) if term.batch else inner
        if name in LABELS:
            out[name] = rng.integers(0, _size(sizes, "C"), full)
        else:
            out[name] = np.asarray(rng.standard_normal(full), dtype=dtype)
    return out


def _present(term: _shapes.Term, bare: bool) -> tuple[str, ...]:
    return term.axes[term.optional :] if bare else term.axes


def _size(sizes: dict[str, int], axis: str) -> int:
    return int(axis) if axis.isdigit() else sizes.get(axis, DEFAULT_SIZE)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.replace("x", ",").split(",") if n)


def _unknown(name: str) -> str:
    names = sorted({f.name for f in load_all().values()})
    near = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
    found = [key.partition(".")[2] for key in am.find(name)]
    guesses: list[Any] = list(dict.fromkeys([*near, *found]))[:6]
    hint = f"did you mean {', '.join(guesses)}?" if guesses else "anymax.find() lists all forms."
    return f"anymax explain: there is no form {name!r}; {hint}"
