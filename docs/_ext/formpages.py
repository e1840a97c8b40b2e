"""One page per form, written from the catalogue when Sphinx starts; nothing of it is by hand."""

from __future__ import annotations

import dataclasses
import pathlib
from unittest import mock

from formplots import draw
from measured import is_about, measurements, results
from rst import replace, table, title, toctree

import anymax as am
from anymax import _backends, _shapes
from anymax._catalogue import MODULES, load_all
from anymax._cli import samples
from anymax._dispatch import PRIMITIVES
from anymax._form import Form

PLACES = (
    ("numpy", "cpu"), ("torch", "cpu"), ("torch", "cuda"), ("cupy", "cuda"), ("jax", "any"),
    ("dask", "cpu"), ("strict", "cpu"),
)  # fmt: skip


def setup(app) -> dict:
    app.connect("builder-inited", lambda app: write(pathlib.Path(app.srcdir) / "forms"))
    return {"parallel_read_safe": True}


def write(folder: pathlib.Path) -> None:
    """Write the page of every form, of every family and module, and the table of measurements."""
    forms, measured = sorted(load_all().values(), key=lambda f: f.name), results()
    drop(folder, {f"{f.module}/{f.family}/{f.name}" for f in forms})
    for form in forms:
        path = folder / form.module / form.family / f"{form.name}.rst"
        replace(path, *page(form, path.parent, measured))
    for module in MODULES:
        families = sorted({f.family for f in forms if f.module == module})
        for family in families:
            inside = [f for f in forms if (f.module, f.family) == (module, family)]
            replace(folder / module / f"{family}.rst", *family_page(family, inside))
        entries = toctree(f"{module}/{family}" for family in families)
        replace(folder / f"{module}.rst", title(module.capitalize()), entries)
    nothing = "No results are in bench/results yet."
    replace(folder / "measured.rst", title("Measured ratios"), measurements(measured, nothing))


def drop(folder: pathlib.Path, wanted: set[str]) -> None:
    """Remove the pages of forms and families that are no more: no table of contents lists them."""
    wanted = wanted | {name.rpartition("/")[0] for name in wanted} | {"measured", *MODULES}
    for path in folder.rglob("*.rst"):
        if path.relative_to(folder).with_suffix("").as_posix() not in wanted:
            path.unlink()


def page(form: Form, folder: pathlib.Path, measured: list[dict]) -> list[str]:
    """The docstring, then what the catalogue, dispatch and the benchmarks know."""
    public = f"anymax.{form.name}" if form.level == "top" else f"anymax.{form.module}.{form.name}"
    parts = [title(form.name), f".. autofunction:: {public}\n", facts(form)]
    caption = draw(form, folder / f"{form.name}.svg")
    if caption:
        image = f".. image:: {form.name}.svg\n   :alt: {caption}\n"
        parts += [title("Graph", "-"), image, caption + "\n"]
    mine = [row for row in measured if is_about(row, form)]
    return [
        *parts,
        title("Backends", "-"),
        support(form),
        title("Measured", "-"),
        measurements(mine, "This form has not been measured yet."),
    ]


def facts(form: Form) -> str:
    """What `@form` recorded: shapes, cost, sources, and where the code is."""
    source = form.function.__module__.replace(".", "/")
    papers = [f"`arXiv:{p} <https://arxiv.org/abs/{p}>`__" if "." in p else p for p in form.papers]
    lines = [
        title("Shapes and cost", "-"),
        f"| Shapes: ``{_shapes.describe(form.shapes)}``",
        f"| Cost: {form.cost}",
        f"| Sources: {', '.join(papers)}",
        f"| Code: `src/{source}.py <../../../_modules/{source}.html>`__",
    ]
    return "\n".join([*lines, ""])


def family_page(family: str, forms: list[Form]) -> list[str]:
    """Which one? A line for each form, and their pages."""
    rows = [
        [
            f":doc:`{f.name} <{family}/{f.name}>`",
            (f.function.__doc__ or "").partition("\n")[0],
            f"``{_shapes.describe(f.shapes)}``",
            f.cost,
        ]
        for f in forms
    ]
    return [
        title(family.replace("_", " ").capitalize()),
        title("Which one?", "-"),
        table(["form", "what it gives", "shapes", "cost"], rows),
        toctree(f"{family}/{f.name}" for f in forms),
    ]


def support(form: Form) -> str:
    """What the kernels answer to arrays of each library, as if everything were installed."""
    try:
        with am.use_backend("reference"), am.trace() as log:
            samples.run(form, None, "float32", lambda c: form.function(*c.args, **c.options))
    except samples.MISFITS as error:
        return f"Not known, as there is no test case that runs: {error}\n"
    parts = []
    for event in {e.primitive: e for e in log}.values():
        rows = [
            [library, device, "yes", *answers(event, library, device)] for library, device in PLACES
        ]
        parts += [
            f"Primitive ``{event.primitive}``, float32; yes, or why not:\n",
            table(["library", "device", "reference", "numba", "cuda"], rows),
        ]
    return "\n".join(parts) or "Plain array code on every library; no kernel is involved.\n"


def answers(event: _backends.Event, library: str, device: str) -> list[str]:
    """The answer of the numba and of the CUDA kernel."""
    said = dict.fromkeys(("numba", "cuda"), "there is no kernel")
    with mock.patch.object(_backends, "missing", return_value=None):
        for kernel in PRIMITIVES[event.primitive].kernels:
            seen = dataclasses.replace(event.facts, library=library, device=device, obstacle=None)
            said[kernel.backend] = kernel.reason(seen) or "yes"
    return list(said.values())
