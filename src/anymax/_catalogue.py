"""Where each public name lives, found by looking at the form files; nothing is imported for it."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from anymax._form import FORMS, Form

MODULES = ("softmaxes", "losses", "attentions")


@functools.cache
def load_all() -> dict[str, Form]:
    """Import every form, and give the catalogue."""
    for module in MODULES:
        package = importlib.import_module(f"anymax.{module}")
        for info in pkgutil.walk_packages(package.__path__, f"anymax.{module}."):
            if not info.name.rpartition(".")[2].startswith("_"):
                importlib.import_module(info.name)
    return FORMS


def find(text: str = "") -> list[str]:
    """Names of the forms whose name, family, first line or papers contain `text`.

    Parameters
    ----------
    text : str
        Looked for without regard to case; the empty string finds every form.

    Examples
    --------
    >>> import anymax as am
    >>> am.find("softmin")
    ['softmaxes.softmin']
    """
    needle = text.lower()
    return sorted(
        key
        for key, form in load_all().items()
        if needle
        in " ".join(
            (key, form.family, (form.function.__doc__ or "").partition("\n")[0], *form.papers)
        ).lower()
    )


def resolve(name: str, module: str | None = None):
    """The form called `name`, in the whole library or in one module; None if there is none."""
    from anymax import _names

    table = _names.TOP if module is None else _names.MODULES[module]
    home = table.get(name)
    if home is not None:
        return getattr(importlib.import_module(home), name)
    if name.startswith("_"):
        return None
    for form in load_all().values():  # a form newer than the generated table
        inside = form.level == "top" if module is None else form.module == module
        if form.name == name and inside:
            return form.function
    return None
