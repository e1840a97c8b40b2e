"""The graph of a form on two classes, drawn when the documentation is built."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import matplotlib
import numpy as np
from matplotlib.figure import Figure

import anymax as am
from anymax import _shapes
from anymax._form import Form

CAPTIONS = {
    "softmaxes": "The result for the logits (t, 0).",
    "losses": "The loss for the logits (t, 0), with target class 0 and with target class 1.",
}


def draw(form: Form, path: pathlib.Path) -> str | None:
    """Draw a softmax or a classification loss; gives the caption, or None where it has no graph."""
    t = np.linspace(-6.0, 6.0, 241)
    with am.use_backend("reference"):
        found = curves(form, t)
    if found is None:
        return None
    figure = Figure(figsize=(5.0, 2.8), layout="constrained")
    axes = figure.add_subplot(xlabel="t")
    for label, curve in found:
        axes.plot(t, curve, label=label)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "anymax"}):  # the same bytes at every build
        figure.savefig(path, metadata={"Date": None})
    return CAPTIONS[form.module]


def curves(form: Form, t: np.ndarray) -> Iterable[tuple[str, np.ndarray]] | None:
    """Named curves over t, or None for a form that needs more than logits (and class labels)."""
    (_, first), *others = _shapes.parse(form.shapes).arguments
    if first.axes != ("C",):
        return None
    x = np.stack([t, np.zeros_like(t)], axis=-1)
    try:
        if form.module == "softmaxes" and not others:
            return _columns(form.name, form.function(x), t.size)
        if form.module == "losses" and [name for name, _ in others] == ["target"]:
            labels = [np.full(t.shape, c) for c in (0, 1)]
            losses = [np.asarray(form.function(x, c, reduction="none")) for c in labels]
            if all(y.shape == t.shape and np.isfinite(y).all() for y in losses):
                return [(f"target {c}", y) for c, y in enumerate(losses)]
    except (TypeError, ValueError, IndexError):  # it needs more than logits
        return None
    return None


def _columns(name: str, y: object, length: int) -> list[tuple[str, np.ndarray]] | None:
    """A result for each logit as two curves, a result for the pair as one; None for others."""
    shape = getattr(y, "shape", None)
    if shape == (length,):
        return [(name, np.asarray(y))]
    if shape == (length, 2):
        return [("first", np.asarray(y)[:, 0]), ("second", np.asarray(y)[:, 1])]
    return None
