"""Nested tuples, lists and dicts of arrays: taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["flatten", "map_leaves"]


def flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """Return the leaves of `tree` in order, and a function that rebuilds it from as many leaves.

    Tuples (named ones too), lists and dicts are branches, None is an empty branch, all else is a
    leaf.
    """
    leaves: list[Any] = []
    map_leaves(leaves.append, tree)

    def rebuild(new: Sequence[Any]) -> Any:
        if len(new) != len(leaves):
            msg = f"expected {len(leaves)} arrays, got {len(new)}"
            raise ValueError(msg)
        source = iter(new)
        return map_leaves(lambda _: next(source), tree)

    return leaves, rebuild


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply `function` to each leaf of `tree`, in order, and keep the structure."""
    if tree is None:
        return None
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_leaves(function, part) for part in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(map_leaves(function, part) for part in tree)
    if isinstance(tree, dict):
        return {key: map_leaves(function, part) for key, part in tree.items()}
    return function(tree)
