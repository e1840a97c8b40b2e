"""Runs a recording backwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anymax._tape.namespace import is_floating, library_of, recorder_of, tape_of
from anymax._tape.tree import flatten, map_leaves
from anymax._tape.var import Node, Tape, Var

__all__ = ["pull_all", "record", "value_and_grads", "vjp"]


def record(
    inputs: tuple[Any, ...],
    outputs: tuple[Any, ...],
    pullback: Callable[[tuple[Any, ...]], tuple[Any, ...]],
) -> tuple[Any, ...]:
    """Record one step that computed `outputs` from `inputs`, with its derivative in closed form.

    Parameters
    ----------
    inputs
        What went in: `Var`s, plain arrays, None.
    outputs
        Plain arrays that came out.
    pullback
        From the cotangents of `outputs` (None means zero) to one gradient per input (None: there is
        none). It is called with plain arrays.

    Returns
    -------
    tuple
        `outputs` on the tape.
    """
    live = [i for i, x in enumerate(inputs) if type(x) is Var and x.node is not None]
    xp = library_of(*outputs)
    node = None
    if live:
        parents = tuple((inputs[i].node, inputs[i].slot) for i in live)
        likes = [inputs[i].data for i in live]

        def pull(cotangents: tuple[Any, ...]) -> tuple[Any, ...]:
            grads = pullback(cotangents)
            if len(grads) != len(inputs):
                msg = f"a pullback returned {len(grads)} gradients for {len(inputs)} inputs"
                raise ValueError(msg)
            return tuple(_checked(xp, grads[i], like) for i, like in zip(live, likes, strict=True))

        node = Node(tape_of(parents), parents, pull, len(outputs))
    return recorder_of(xp).wrap(tuple(outputs), node)


def _checked(xp: Any, grad: Any, like: Any) -> Any:
    if grad is not None and tuple(grad.shape) != tuple(like.shape):
        msg = f"a pullback returned shape {tuple(grad.shape)} for an input of {tuple(like.shape)}"
        raise ValueError(msg)
    return grad if grad is None else xp.astype(grad, like.dtype, copy=False)


def pull_all(starts: Sequence[tuple[Node, int, Any]], leaves: Sequence[Node]) -> list[Any]:
    """Bring cotangents (node, slot, cotangent) back to `leaves`: one sum each, None for zero."""
    sums: dict[Node, list[Any]] = {}
    wanted = {leaf: i for i, leaf in enumerate(leaves)}
    found: list[Any] = [None] * len(leaves)
    for node, slot, cotangent in starts:
        _add(sums, node, slot, cotangent)
    for node in _newest_first([node for node, _, _ in starts]):
        cotangents = sums.pop(node, None)
        if cotangents is None:
            continue
        if node in wanted:
            found[wanted[node]] = cotangents[0]
        if node.pullback is None:
            continue
        for (parent, slot), grad in zip(
            node.parents, node.pullback(tuple(cotangents)), strict=True
        ):
            if grad is not None:
                _add(sums, parent, slot, grad)
    return found


def _add(sums: dict[Node, list[Any]], node: Node, slot: int, grad: Any) -> None:
    held = sums.setdefault(node, [None] * node.width)
    held[slot] = grad if held[slot] is None else held[slot] + grad


def _newest_first(roots: Sequence[Node]) -> list[Node]:
    seen = set(roots)
    waiting = list(seen)
    while waiting:
        for parent, _ in waiting.pop().parents:
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return sorted(seen, key=lambda node: node.serial, reverse=True)


def _start(leaves: Sequence[Any]) -> tuple[Tape, Any, list[Var]]:
    tape = Tape()
    recorder = recorder_of(library_of(*leaves))
    return tape, recorder, [Var(leaf, recorder, Node(tape)) for leaf in leaves]


def _detach(tape: Tape) -> Callable[[Any], Any]:
    """Return what takes values of `tape`, and constants, off it; foreign ones stay as they are."""

    def detach(x: Any) -> Any:
        mine = type(x) is Var and (x.node is None or x.node.tape is tape)
        return x.data if mine else x

    return detach


def _fresh(xp: Any, x: Any) -> Any:
    return xp.asarray(x, copy=True)


def _gradients(
    xp: Any, starts: list[tuple[Node, int, Any]], leaves: Sequence[Any], inputs: list[Var]
) -> list[Any]:
    """Return gradients nobody else holds: a cotangent may be a view, the caller's, or shared."""
    with np.errstate(all="ignore"):  # as the forms do
        found = pull_all(starts, [var.node for var in inputs if var.node is not None])
    held = {id(cotangent) for _, _, cotangent in starts}
    grads = []
    for grad, leaf in zip(found, leaves, strict=True):
        own = type(grad) is np.ndarray and grad.base is None and id(grad) not in held
        held.add(id(grad))
        if grad is None:
            grads.append(xp.zeros_like(leaf))
        else:
            grads.append(grad if own else _fresh(xp, grad))
    return grads


def _reaches(tape: Tape, out: Any) -> bool:
    """Tell whether `out` depends on the inputs of `tape`; refuse values of another recording."""
    if type(out) is not Var or out.node is None:
        return False
    tape_of([(out.node, 0), (Node(tape), 0)])
    return True


def value_and_grads(
    run: Callable[..., tuple[Any, Any]], leaves: Sequence[Any]
) -> tuple[Any, Any, list[Any]]:
    """Return both outputs of `run(*leaves)`, a scalar and any other, and the scalar's gradients."""
    tape, _, inputs = _start(leaves)
    xp = library_of(*leaves)
    out, aux = run(*inputs)
    value = out.data if type(out) is Var else out
    starts = [(out.node, out.slot, xp.ones_like(value))] if _reaches(tape, out) else []
    return value, map_leaves(_detach(tape), aux), _gradients(xp, starts, leaves, inputs)


def vjp(run: Callable[..., Any], leaves: Sequence[Any]) -> tuple[Any, Callable[[Any], list[Any]]]:
    """Return `run(*leaves)` and the function from cotangents of it to gradients of `leaves`."""
    tape, _, inputs = _start(leaves)
    xp = library_of(*leaves)
    out = run(*inputs)
    outs, _ = flatten(out)
    detach = _detach(tape)

    def pull(cotangent: Any) -> list[Any]:
        given, _ = flatten(cotangent)
        _match(outs, given)
        starts = [
            (o.node, o.slot, xp.astype(g, o.dtype, copy=False))
            for o, g in zip(outs, given, strict=True)
            if _reaches(tape, o) and is_floating(xp, o.dtype)
        ]
        return _gradients(xp, starts, leaves, inputs)

    value = map_leaves(lambda o: _fresh(xp, detach(o)) if hasattr(o, "shape") else o, out)
    return value, pull


def _match(outs: Sequence[Any], given: Sequence[Any]) -> None:
    shapes = [tuple(getattr(o, "shape", ())) for o in outs]
    came = [tuple(getattr(g, "shape", ())) for g in given]
    if shapes != came:
        msg = f"vjp: the pullback needs cotangents shaped like the output, {shapes}, got {came}"
        raise ValueError(msg)
