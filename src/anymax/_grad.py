"""Gradients for every library: `value_and_grad` and `vjp`.

torch tensors and JAX arrays are differentiated by torch and JAX; NumPy, CuPy and other arrays of
the array API standard by a tape (`anymax._tape`). Primitives put their own derivatives on that tape
with `record`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import array_api_compat as compat

from anymax._tape import engine, native
from anymax._tape.engine import record
from anymax._tape.namespace import is_floating, library_of, recorder_of
from anymax._tape.tree import flatten
from anymax._tape.var import Var

__all__ = [
    "is_var",
    "namespace_of",
    "needs_grad",
    "record",
    "stop_gradient",
    "value",
    "value_and_grad",
    "vjp",
]


def is_var(x: Any) -> bool:
    """Tell whether `x` is an array under the tape (a constant there included)."""
    return type(x) is Var


def needs_grad(x: Any) -> bool:
    """Tell whether `x` is an array under the tape that is being differentiated."""
    return type(x) is Var and x.node is not None


def value(x: Any) -> Any:
    """Return the plain array behind `x`; anything that isn't under the tape comes back as it is."""
    return x.data if type(x) is Var else x


def stop_gradient(x: Any) -> Any:
    """Return `x` as a constant of the tape; what isn't under the tape comes back as it is."""
    return Var(x.data, x._namespace) if needs_grad(x) else x


def namespace_of(*arrays: Any) -> Any:
    """Return the namespace of `arrays`: the recording one if any of them is under the tape."""
    xp = library_of(*arrays)
    return recorder_of(xp) if any(type(a) is Var for a in arrays) else xp


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    r"""Return the function that gives :math:`f(x)` together with its gradient :math:`\nabla f(x)`.

    Parameters
    ----------
    f : callable
        Returns a floating 0-d array (with `has_aux`, a pair of it and anything else). For arrays
        without autodiff of their own it is written with functions of this package and of the
        arrays' namespace, ``xp = array_api_compat.array_namespace(x)``.
    argnums : int or sequence of ints
        The positional arguments to differentiate: floating arrays, or nested tuples, lists and
        dicts of them.
    has_aux : bool
        Whether `f` returns a second output, which is passed on and not differentiated.

    Returns
    -------
    callable
        Takes the arguments of `f` and returns ``(value, gradient)``, or ``((value, aux),
        gradient)``. The gradient is shaped and nested like the argument; with a sequence `argnums`
        it is a tuple, one entry an argument.

    Raises
    ------
    TypeError
        If an argument isn't a floating array, if `f` returns no scalar, if it uses a function whose
        derivative isn't known, or if calls are nested where the library has no autodiff.

    Notes
    -----
    torch tensors and JAX arrays are left to torch and JAX. Other arrays go through a tape that is
    first order only: it can't be nested. Where a maximum is shared, its gradient is shared evenly.
    Gradients are new arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from anymax import value_and_grad
    >>> value, gradient = value_and_grad(lambda x: x @ x)(np.array([1.0, 2.0]))
    >>> float(value), gradient
    (5.0, array([2., 4.]))
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @wraps(f)
    def with_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        places = _places(numbers, len(args))
        leaves, rebuild = flatten(tuple(args[i] for i in places))

        def run(*new: Any) -> tuple[Any, Any]:
            full = list(args)
            for i, arg in zip(places, rebuild(new), strict=True):
                full[i] = arg
            out = f(*full, **kwargs)
            out, aux = _split(out) if has_aux else (out, None)
            return _scalar(out), aux

        out, aux, grads = _engine("value_and_grad", leaves)[0](run, leaves)
        gradient = rebuild(grads)
        return (out, aux) if has_aux else out, gradient[0] if isinstance(argnums, int) else gradient

    return with_gradient


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    r"""Return :math:`f(x)` and the pullback :math:`u \mapsto u^\top \partial f / \partial x`.

    Parameters
    ----------
    f : callable
        Takes `primals` and returns an array or a nested tuple, list or dict of arrays.
    *primals
        Floating arrays, or nested tuples, lists and dicts of them.

    Returns
    -------
    out
        What `f` returned.
    pullback : callable
        From a cotangent, nested and shaped like `out`, to a tuple of one gradient per primal. It
        may be called again.

    Notes
    -----
    As :func:`value_and_grad`: torch and JAX arrays are left to their libraries, others go through a
    tape, first order only.

    Examples
    --------
    >>> import numpy as np
    >>> from anymax import vjp
    >>> out, pullback = vjp(lambda x: 3.0 * x, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 3., 30.]),)
    """
    leaves, rebuild = flatten(primals)
    out, pull = _engine("vjp", leaves)[1](lambda *new: f(*rebuild(new)), leaves)
    return out, lambda cotangent: rebuild(pull(cotangent))


def _places(numbers: tuple[int, ...], count: int) -> tuple[int, ...]:
    if any(not -count <= n < count for n in numbers):
        msg = (
            f"value_and_grad: argnums {numbers} don't fit a call with {count} positional arguments"
        )
        raise TypeError(msg)
    places = tuple(n % count for n in numbers)
    if len(set(places)) != len(places):
        msg = f"value_and_grad: argnums {numbers} name an argument twice"
        raise TypeError(msg)
    return places


def _engine(name: str, leaves: Sequence[Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the two functions of the autodiff that fits `leaves`, after checking them."""
    if not leaves:
        msg = f"{name}: there is no array to differentiate"
        raise TypeError(msg)
    for leaf in leaves:
        _check_leaf(name, leaf)
    if any(compat.is_jax_array(leaf) for leaf in leaves):
        return native.jax_value_and_grads, native.jax_vjp
    if any(compat.is_torch_array(leaf) for leaf in leaves):
        return native.torch_value_and_grads, native.torch_vjp
    return engine.value_and_grads, engine.vjp


def _check_leaf(name: str, leaf: Any) -> None:
    if type(leaf) is Var:
        msg = (
            f"{name}: the argument is already being differentiated. Gradients of gradients aren't "
            "offered on the tape, which is first order only; use torch or JAX arrays"
        )
        raise TypeError(msg)
    if not compat.is_array_api_obj(leaf):
        msg = f"{name}: differentiates floating arrays, got {type(leaf).__name__} {leaf!r:.60}"
        raise TypeError(msg)
    if not is_floating(compat.array_namespace(leaf), leaf.dtype):
        msg = (
            f"{name}: differentiates floating arrays, got dtype {leaf.dtype}; convert it with "
            "xp.astype, or leave it out of the differentiated arguments"
        )
        raise TypeError(msg)


def _split(out: Any) -> tuple[Any, Any]:
    if not isinstance(out, tuple) or len(out) != 2:
        msg = f"value_and_grad: has_aux needs a pair (scalar, aux), got {type(out).__name__}"
        raise TypeError(msg)
    return out


def _scalar(out: Any) -> Any:
    if not hasattr(out, "shape"):
        msg = f"value_and_grad needs a scalar output, got {type(out).__name__}; return a 0-d array"
        raise TypeError(msg)
    if tuple(out.shape) != ():
        shape = tuple(out.shape)
        msg = (
            f"value_and_grad needs a scalar output, got shape {shape}; reduce it, e.g. with xp.sum"
        )
        raise TypeError(msg)
    if not is_floating(library_of(out), out.dtype):
        msg = f"value_and_grad needs a floating output, got dtype {out.dtype}"
        raise TypeError(msg)
    return out
