"""Machine code on disk, in a cache that never serves stale code.

Numba's own cache key knows neither the compiler flags nor the helpers a function calls, and its
numbered data files can be swapped when several processes start cold. Here every result is a file of
its own, named by all that went into it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

__all__ = ["KeyedCache", "cache_wanted", "warn_uncached"]

_warned = False


class _Files:
    """Compiled results on disk: one file per key, replaced atomically, checked when read."""

    def __init__(self, folder: str, stem: str) -> None:
        self.folder, self.stem = Path(folder), stem

    def path(self, key: Any) -> Path:
        return self.folder / f"{self.stem}.{_digest(repr(key).encode())}.nbc"

    def load(self, key: Any) -> Any:
        with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
            kept, data = pickle.loads(self.path(key).read_bytes())
            return pickle.loads(data) if kept == repr(key) else None
        return None

    def save(self, key: Any, data: Any) -> None:
        path = self.path(key)
        draft = path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}.tmp")
        try:
            draft.write_bytes(pickle.dumps((repr(key), dumps(data))))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def flush(self) -> None:
        for path in self.folder.glob(f"{self.stem}.*.nbc"):
            path.unlink(missing_ok=True)


class KeyedCache(FunctionCache):
    """Numba's cache with flags, line and the source of all kernels in the key."""

    def __init__(self, function: Callable[..., Any], settings: dict[str, Any]) -> None:
        super().__init__(function)
        flags = tuple(
            (name, sorted(v) if isinstance(v, set) else v) for name, v in sorted(settings.items())
        )
        stamp = self._impl.locator.get_source_stamp()
        self._extra = (
            flags,
            numba.__version__,
            function.__code__.co_firstlineno,
            repr(stamp),
            _source(),
        )
        stem = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self._cache_file: Any = _Files(self._cache_path, stem.replace("<", "").replace(">", ""))

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), self._extra)

    @contextlib.contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            warn_uncached(str(error))


def cache_wanted() -> bool:
    return os.environ.get("ANYMAX_CACHE", "1") != "0"


def warn_uncached(reason: str) -> None:
    global _warned
    if not _warned:
        msg = (
            "anymax: compiled kernels can't be kept on disk, every process compiles them anew "
            f"({reason}). Set NUMBA_CACHE_DIR to a writable folder, or ANYMAX_CACHE=0 to say that "
            "this is meant."
        )
        warnings.warn(msg, RuntimeWarning, stacklevel=2)
    _warned = True


@functools.cache
def _source() -> str:
    """Digest of this folder's source: an edit to any piece renews every kernel that may have
    inlined it."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return _digest(b"".join(file.name.encode() + file.read_bytes() for file in files))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
