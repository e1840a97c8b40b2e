"""A folder of compiled results, one file per key, safe against other processes and broken disks."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any


def folder() -> Path | None:
    """Where results are kept; None when ``ANYMAX_CACHE=0`` says not to."""
    if os.environ.get("ANYMAX_CACHE") == "0":
        return None
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "anymax"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "anymax"
    return Path.home() / ".cache" / "anymax"


def key(*parts: str) -> str:
    """Digest of everything that decides a result."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:40]


def load(name: str) -> Any:
    """Return what `store` kept under `name`, or None; a damaged file counts as absent."""
    place = folder()
    if place is None:
        return None
    try:
        checksum, _, data = (place / f"{name}.bin").read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(data).hexdigest().encode() != checksum:
        return None
    return pickle.loads(data)


def store(name: str, value: Any) -> None:
    """Keep `value`; does nothing where the folder cannot be written."""
    place = folder()
    if place is None:
        return
    data = pickle.dumps(value)
    checksum = hashlib.sha256(data).hexdigest().encode()
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place)
        with os.fdopen(handle, "wb") as file:
            file.write(checksum + b"\n" + data)
        os.replace(temporary, place / f"{name}.bin")
