"""Generated files: the table of public names and the stubs for editors.

``python -m anymax._stubs`` writes them; a test compares them with the forms.
"""

from __future__ import annotations

import pathlib

from anymax._catalogue import MODULES, load_all

HERE = pathlib.Path(__file__).parent
_CORE = """from anymax import attentions as attentions
from anymax import losses as losses
from anymax import softmaxes as softmaxes
from anymax._backends import explain as explain
from anymax._backends import trace as trace
from anymax._backends import use_backend as use_backend
from anymax._catalogue import find as find
from anymax._grad import value_and_grad as value_and_grad
from anymax._grad import vjp as vjp
from anymax._version import __version__ as __version__
"""


def generate() -> dict[pathlib.Path, str]:
    """The text of every generated file."""
    forms = sorted(load_all().values(), key=lambda f: (f.module, f.name))
    top = [f for f in forms if f.level == "top"]
    names = [
        '"""Public names and the files they live in; written by ``python -m anymax._stubs``."""',
        "",
    ]
    names += [_table("TOP: dict[str, str]", top), "MODULES: dict[str, dict[str, str]] = {"]
    for module in MODULES:
        inside = [f for f in forms if f.module == module]
        names.append(f'    "{module}": {{')
        names += [f'        "{f.name}": "{f.function.__module__}",' for f in inside]
        names.append("    },")
    files = {HERE / "_names.py": "\n".join([*names, "}", ""])}
    files[HERE / "__init__.pyi"] = _CORE + _imports(top)
    for module in MODULES:
        files[HERE / module / "__init__.pyi"] = _imports([f for f in forms if f.module == module])
    return files


def _table(title: str, forms: list) -> str:
    rows = [f'    "{f.name}": "{f.function.__module__}",' for f in forms]
    return "\n".join([f"{title} = {{", *rows, "}"])


def _imports(forms: list) -> str:
    lines = sorted(f"from {f.function.__module__} import {f.name} as {f.name}" for f in forms)
    return "\n".join([*lines, ""])


def main() -> None:
    for path, text in generate().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
