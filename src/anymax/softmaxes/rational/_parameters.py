"""Numbers that the spherical family takes: an epsilon, and the order of a Taylor polynomial."""

from __future__ import annotations


def not_negative(function: str, eps: float) -> float:
    """`eps` as a float, refused if negative or not finite."""
    value = float(eps)
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{function}: eps is {eps}; a finite number of at least 0 fits")
    return value


def even(function: str, order: int) -> float:
    """`order` as a float, refused unless it is an even int of at least 2."""
    if isinstance(order, bool) or not hasattr(order, "__index__"):
        raise TypeError(f"{function}: order is {order!r}; an even int fits")
    if order < 2 or order % 2:
        raise ValueError(f"{function}: order is {order}; an even number of at least 2 fits")
    return float(order)
