"""Cases of margin_softmax_loss."""

import numpy as np

import anymax as am
from anymax._conformance.examples import by_examples, log_softmax
from anymax.testing import Case, Golden, logits

_X, _W, _Y = logits(4, 3, seed=2), logits(5, 3, seed=7), np.asarray([0, 4, 2, 1])
_EDGES = np.concatenate([_X, [[0.0] * 3, [np.nan, 1.0, 0.0], [1.0, np.inf, 0.0]]])
_EDGE_Y = np.asarray([0, 4, 2, 1, 1, 1, 2])
_KEEP = np.asarray([True] * 5 + [False, True])[:, None] & (np.arange(5) != 3)
_BAD_W = np.where(np.arange(5)[:, None] == 3, np.nan, _W)
_COST = np.asarray([1.0, 0.5, 2.0, 0.25, 1.5])
_ROWS = {"scale": 8.0, "reduction": "none"}
_LEARNT = {"kind": "arcface", "scale": np.asarray(16.0)}

CASES = [
    Case("edges", (_EDGES[:5], _W, _EDGE_Y[:5]), {"kind": "cosface", **_ROWS}),
    Case(
        "masked", (_EDGES, _BAD_W, _EDGE_Y), {"kind": "arcface", "where": _KEEP, **_ROWS},
        compiled=True,
    ),
    Case("arcface", (_X, _W, _Y), _LEARNT, wrt=(0, 1, "scale"), smooth=True),
    Case("cosface", (_X, _W, _Y), {"kind": "cosface", "margin": 0.25, "weight": _COST}),
    Case("sphereface", (_X, _W, _Y), {"kind": "sphereface", "margin": 3}, smooth=True),
    Case("lsoftmax", (_X, _W, _Y), {"kind": "lsoftmax", "easy_margin": True}, compiled=True),
    Case("one", (_X[0], _W, np.asarray(4)), {"kind": "cosface", "scale": 8.0}),
]  # fmt: skip
CASES = [c.with_(c.name, condition=64.0) for c in CASES]
INTEGERS = (0, 1)


def DRAW(rng):
    shape = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    x, w = rng.normal(size=(*shape, 3)), rng.normal(size=(4, 3))
    case = Case("drawn", (x, w, rng.integers(0, 4, size=shape)), {"kind": "cosface", "scale": 8.0})
    return case.with_("drawn", condition=64.0)


def ORACLE(x, w, y, *, kind, margin=None, scale=64.0, easy_margin=False, where=None, **options):
    x_norm, w_norm = (np.sqrt(np.sum(a * a, axis=-1)) for a in (x, w))
    norms = x_norm[..., None] * w_norm
    c = np.where(norms > 0, x @ w.T / np.where(norms > 0, norms, 1), 0 * norms)
    c = np.where(np.isfinite(norms), c, np.nan)
    m = margin or {"cosface": 0.35, "arcface": 0.5, "sphereface": 4, "lsoftmax": 4}[kind]
    angle = np.arccos(np.clip(c, -1, 1))
    if kind == "cosface":
        new = c - m
    elif kind == "arcface":
        new = np.where(angle > np.pi - m, c - m * np.sin(m), np.cos(angle + m))
    else:
        k = np.nan_to_num(np.floor(m * angle / np.pi))
        new = (-1.0) ** k * np.cos(m * angle) - 2 * k
    if easy_margin and kind != "cosface":
        new = np.where(c > 0, new, c)
    s = {"sphereface": x_norm[..., None], "lsoftmax": norms}.get(kind, scale)
    z = np.where(np.arange(len(w)) == y[..., None], new, c) * s

    def cost(z, t, lost):
        return np.inf if lost else -log_softmax(z)[np.argmax(t)]

    return by_examples(cost, z, y, where=where, **options)


def _is_cross_entropy_of_the_margins(form, case):
    x, w, y = case.args
    if case.options["kind"] != "cosface" or set(case.options) - {"kind", "scale"}:
        return None
    c = (x @ w.T) / np.linalg.norm(x) / np.linalg.norm(w, axis=-1)
    z = am.apply_angular_margin(c, y, m3=0.35, scale=case.options["scale"])
    return form(x, w, y, **case.options), am.cross_entropy(z, y)


def _margins_cost(form, case):
    """A margin never makes an example cheaper."""
    if case.options["kind"] != "cosface" or case.options.get("reduction") != "none":
        return None
    plain = form(*case.args, **{**case.options, "margin": 0.0})
    return np.minimum(form(*case.args, **case.options) - plain, 0.0), np.zeros(plain.shape)


IDENTITIES = (_is_cross_entropy_of_the_margins, _margins_cost)


def GOLDEN(load):
    """pytorch-metric-learning: w is transposed there, ArcFace's margin in degrees."""
    z = load("classic-margin-softmax__margin")
    for kind in ("cosface", "arcface", "sphereface", "lsoftmax"):
        margin = float(z[f"in_margin_{kind}"])
        args = (z[f"in_x_{kind}"], z[f"in_W_{kind}"].T, z[f"in_y_{kind}"])
        options = {
            "kind": kind,
            "margin": float(np.deg2rad(margin)) if kind == "arcface" else margin,
            "scale": float(z[f"in_scale_{kind}"]),
        }
        gradients = {0: z[f"out_grad_x_{kind}"], 1: z[f"out_grad_W_{kind}"].T}
        yield Golden(Case(kind, args, options), z[f"out_loss_{kind}"], np.asarray(1.0), gradients)
