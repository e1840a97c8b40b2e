"""The parameters of a gated mixture of Gaussian experts, and how they are checked."""

from __future__ import annotations

from typing import Any, NamedTuple

from anymax import _array
from anymax._array import Array

NAMES = ("beta0", "beta1", "a", "b", "variance")
Params = tuple[Array, Array, Array, Array, Array]


class Mixture(NamedTuple):
    """Gate beta0 (E,), beta1 (E, D); experts a (E, D), b (E,), variance (E,)."""

    beta0: Array
    beta1: Array
    a: Array
    b: Array
    variance: Array


def named(function: str, argument: str, params: Any) -> dict[str, Array]:
    """The parameters by name, for promotion together with other arrays."""
    if not isinstance(params, (tuple, list)) or len(params) != len(NAMES):
        raise TypeError(
            f"{function}: {argument} is no tuple of five arrays; ({', '.join(NAMES)}) fits"
        )
    arrays = {f"{argument}.{name}": x for name, x in zip(NAMES, params)}
    _array.required(function, **arrays)
    return arrays


def checked(function: str, argument: str, arrays: Any) -> Mixture:
    """Promoted parameters, of shapes that fit each other."""
    m = Mixture(*arrays)
    e = tuple(m.beta0.shape)
    wide = tuple(m.beta1.shape)
    if len(e) != 1 or len(wide) != 2 or wide[:1] != e:
        _complain(function, argument, m)
    for x, shape in ((m.a, wide), (m.b, e), (m.variance, e)):
        if tuple(x.shape) != shape:
            _complain(function, argument, m)
    if _array.values_known(m.variance) and 0 not in e:
        xp = _array.namespace(function, variance=m.variance)
        good = xp.all((m.variance > 0) | xp.isnan(m.variance))
        if _array.values_known(good) and not bool(good):
            raise ValueError(f"{function}: {argument} has a variance that isn't positive")
    return m


def _complain(function: str, argument: str, m: Mixture) -> None:
    said = ", ".join(f"{n} {_array.shape_text(x.shape)}" for n, x in zip(NAMES, m))
    raise ValueError(f"{function}: {argument} has {said}; (E,), (E, D), (E, D), (E,) and (E,) fit")
