"""A library wrapped so that each of its functions records what is done to a `Var`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from types import ModuleType
from typing import Any

import array_api_compat as compat

from anymax._tape import elementwise, indexing, linalg, reductions, shapes  # noqa: F401 (they register rules)
from anymax._tape.composites import COMPOSITES
from anymax._tape.rules import RULES, no_rule
from anymax._tape.var import Node, Tape, Var

__all__ = ["Recorder", "is_floating", "library_of", "recorder_of", "tape_of"]

_EXTENSIONS = ("linalg", "fft")
# Arguments that may be arrays under differentiation although callers can name them.
_NAMED = {"clip": ("min", "max"), "full_like": ("fill_value",), "full": ("fill_value",)}


@lru_cache(maxsize=256)
def is_floating(xp: Any, dtype: Any) -> bool:
    """Tell whether `dtype` is real floating; dtypes that `xp` doesn't know go by their name."""
    try:
        return bool(xp.isdtype(dtype, "real floating"))
    except (TypeError, ValueError):
        return "float" in str(dtype)


@lru_cache(maxsize=256)
def _is_discrete(xp: Any, dtype: Any) -> bool:
    try:
        return bool(xp.isdtype(dtype, ("bool", "integral")))
    except (TypeError, ValueError):
        return False


@lru_cache(maxsize=32)
def recorder_of(xp: Any) -> Recorder:
    """Return the recording namespace of the library `xp`."""
    return Recorder(xp)


def tape_of(parents: Iterable[tuple[Node, int]]) -> Tape:
    """Return the tape that all `parents` are on."""
    first, *others = {node.tape for node, _ in parents}
    if others:
        msg = (
            "value_and_grad: an array of one recording met an array of another. Gradients of "
            "gradients (nested value_and_grad) aren't offered on the tape, which is first order "
            "only; use torch or JAX arrays"
        )
        raise TypeError(msg)
    return first


def _plain(value: Any) -> Any:
    if type(value) is Var:
        return value.data
    if type(value) in (tuple, list) and any(type(part) is Var for part in value):
        return type(value)(_plain(part) for part in value)
    return value


def _is_live(value: Any) -> bool:
    return type(value) is Var and value.node is not None


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, type)


class Recorder:
    """The namespace of a `Var`: it has what the library `xp` has, and its functions record."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self.__name__ = xp.__name__

    def __repr__(self) -> str:
        return f"<recording namespace of {self.__name__}>"

    def __dir__(self) -> list[str]:
        return dir(self._xp)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._xp, name)
        if isinstance(found, ModuleType) and name in _EXTENSIONS:
            found = _Extension(self, found, name)
        else:
            found = self.recording(name, found)
        setattr(self, name, found)  # asked once
        return found

    def recording(self, name: str, function: Any) -> Any:
        """Return what calls `function` and records it; dtypes, constants and such stay plain."""
        if not callable(function) or isinstance(function, type) or name.startswith("__"):
            return function
        composite = COMPOSITES.get(name)
        if composite is not None:

            def recorded(*args: Any, **kwargs: Any) -> Any:
                return composite(self, *args, **kwargs)
        else:

            def recorded(*args: Any, **kwargs: Any) -> Any:
                return self.call(name, function, args, kwargs)

        recorded.__name__ = recorded.__qualname__ = name
        recorded.__doc__ = function.__doc__
        return recorded

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call `function` on the arrays behind `args`; record it if one is differentiated."""
        kwargs = {} if kwargs is None else kwargs
        if name in _NAMED and kwargs:
            args, kwargs = _positional(name, args, kwargs)
        if kwargs.get("out") is not None:
            msg = f"value_and_grad: {name} with out= can't be recorded; use what it returns"
            raise TypeError(msg)
        plain = tuple(_plain(arg) for arg in args)
        named = {key: _plain(value) for key, value in kwargs.items()}
        out = function(*plain, **named)
        live = [
            part
            for arg in (*args, *kwargs.values())
            for part in (arg if type(arg) in (tuple, list) else (arg,))
            if _is_live(part)
        ]
        if not live or self._is_constant(out):
            return self.wrap(out)
        if name not in RULES or any(_is_live(value) for value in kwargs.values()):
            no_rule(name)
        if _is_array(out) and not is_floating(self._xp, out.dtype):
            no_rule(name, f" with a result of dtype {out.dtype}")
        return self._record(name, args, out, RULES[name](self._xp, out, *plain, **named))

    def _is_constant(self, out: Any) -> bool:
        """Tell whether `out` is piecewise constant by its kind; complex numbers are not."""
        if isinstance(out, (tuple, list)):
            return all(self._is_constant(part) for part in out)
        return not _is_array(out) or _is_discrete(self._xp, out.dtype)

    def _record(self, name: str, args: tuple[Any, ...], out: Any, entries: tuple[Any, ...]) -> Any:
        parents, pulls = [], []
        for i, arg in enumerate(args):
            entry = (
                entries[i] if i < len(entries) else no_rule(name, f" with respect to argument {i}")
            )
            listed = type(arg) in (tuple, list) and any(map(_is_live, arg))
            if listed and not isinstance(entry, list):
                no_rule(name, f" with respect to argument {i}")
            pairs = zip(arg, entry, strict=True) if listed else ((arg, entry),)
            for part, pull in pairs:
                if _is_live(part) and pull is not None:
                    parents.append((part.node, part.slot))
                    pulls.append(pull)
        if not parents:
            return self.wrap(out)
        single = not isinstance(out, (tuple, list))

        def pullback(cotangents: tuple[Any, ...]) -> tuple[Any, ...]:
            g = cotangents[0] if single else cotangents
            return tuple(pull(g) for pull in pulls)

        width = 1 if single else len(out)
        node = Node(tape_of(parents), tuple(parents), pullback, width)
        return self.wrap(out, node)

    def wrap(self, out: Any, node: Node | None = None) -> Any:
        """Make arrays `Var`s: outputs of `node`, or constants."""
        if isinstance(out, (tuple, list)):
            parts = [
                self._wrap_one(part, None if self._is_constant(part) else node, slot)
                for slot, part in enumerate(out)
            ]
            return type(out)(*parts) if hasattr(out, "_fields") else type(out)(parts)
        return self._wrap_one(out, node, 0)

    def _wrap_one(self, out: Any, node: Node | None, slot: int) -> Any:
        return Var(out, self, node, slot) if _is_array(out) else out


class _Extension:
    """An extension of a library (linalg, fft) behind its recorder."""

    def __init__(self, recorder: Recorder, module: ModuleType, name: str) -> None:
        self._recorder = recorder
        self._module = module
        self._name = name

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        return self._recorder.recording(f"{self._name}.{name}", found)


def _positional(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Move arguments that may be differentiated from their names to their places."""
    places = _NAMED[name]
    given = args[1:]
    rest = {key: value for key, value in kwargs.items() if key not in places}
    named = {key: value for key, value in kwargs.items() if key in places}
    if not named or set(named) & set(places[: len(given)]):
        return args, kwargs
    tail = (*given, *(named.get(key) for key in places[len(given) :]))
    return (*args[:1], *tail), rest


def library_of(*arrays: Any) -> Any:
    """Return the plain namespace behind `arrays`, through any `Var`."""
    return compat.array_namespace(*(_plain(a) for a in arrays if _is_array(a)))
