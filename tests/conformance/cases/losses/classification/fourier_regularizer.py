"""`fourier_regularizer`: energy of the slope of a Fourier density."""

import numpy as np

from anymax._conformance.examples import reduced
from anymax.testing import Case, Golden

_PI = np.longdouble("3.14159265358979323846264338327950288")
_RNG = np.random.default_rng(45)
_T = _RNG.normal(size=(2, 3, 6))
_KEEP = np.asarray([[True, False, True], [True, True, False]])
_EDGES = np.stack([np.zeros(6), _T[0, 0] * 2.0**5, _T[0, 1] * 2.0**-5, _T[0, 2], _T[1, 0]])
_EDGES[3, 1], _EDGES[4, 2] = np.nan, np.nan
_PART = np.arange(5) < 4
_ALL = {
    "where": _KEEP, "weight": np.asarray([0.5, 1.0, 2.0]), "coeff": np.asarray([[0.25], [0.5]]),
}  # fmt: skip

CASES = [
    Case("edges", (_EDGES,), {"where": _PART, "reduction": "none"}, wrt=(), compiled=True,
         condition=16.0),
    Case("edges_normalized", (_EDGES,), {"normalized": True, "where": _PART, "reduction": "none"},
         wrt=(), compiled=True, condition=16.0),
    Case("mean", (_T,), {"coeff": 0.125}, smooth=True, condition=64.0),
    Case("masked", (_T,), _ALL, wrt=(0, "weight", "coeff"), smooth=True, condition=64.0),
    Case("normalized", (_T,), {"normalized": True, **_ALL}, smooth=True, condition=64.0),
    Case("row", (_T[0, 0],), {"normalized": True}, condition=64.0),
    Case("constant", (_T[0, :, :2],), {"reduction": "sum"}),
]  # fmt: skip


def ORACLE(theta, *, normalized=False, coeff=1.0, where=None, weight=None, reduction="mean"):
    n = theta.shape[-1] // 2
    a = theta[..., :n] + 1j * theta[..., n:]
    c = [np.sum(np.conj(a[..., : n - lag]) * a[..., lag:], axis=-1) for lag in range(n)]
    energy = np.sum([lag**2 * np.abs(z) ** 2 for lag, z in enumerate(c)], axis=0)
    if normalized:
        first = np.abs(c[0]) ** 2
        energy = energy / np.where(first == 0, 1, first)
    return reduced(4 * _PI**2 * coeff * energy, reduction, live=where, weight=weight)


def DRAW(rng):
    b, n = rng.integers(1, 4, size=2)
    return Case("drawn", (rng.normal(size=(b, 2 * n)),), condition=256.0)


def _scale_drops_out(form, case):
    if not case.options.get("normalized"):
        return None
    return form(-3.0 * case.args[0], **case.options), form(*case.args, **case.options)


IDENTITIES = (_scale_drops_out,)


def GOLDEN(load):
    """The official term, a mean times gamma."""
    for name in ("bigparams", "odd", "one_freq"):
        z = load(f"fourier-head__{name}")
        case = Case(name, (z["in_params"],), {"coeff": float(z["in_gamma"])})
        yield Golden(case, z["out_reg_loss"])
