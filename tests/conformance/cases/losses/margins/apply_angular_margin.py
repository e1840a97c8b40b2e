"""Cases of apply_angular_margin."""

import numpy as np

from anymax.testing import Case

_C = np.cos(np.linspace(0.1, 3.0, 24)).reshape(2, 3, 4)[:, ::-1] * np.asarray([1.0, 0.8, 0.6, 0.9])
_Y = np.asarray([[0, 3, 1], [2, 0, 3]])
_ENDS = np.asarray([[1.0, -1.0, 0.5], [1.0, -1.0, np.nan], [-0.875, 0.0, 1.0], [0.25, 0.25, 0.75]])
_AT = np.asarray([0, 1, 2, 1])
_ARCFACE = {"m2": 0.5, "scale": 4.0 + np.arange(6.0).reshape(2, 3, 1) / 4.0}

CASES = [
    Case("ends", (_ENDS, _AT), {"m2": 0.5, "scale": 64.0}, wrt=(), compiled=True),
    Case("more_ends", (_ENDS, _AT), {"m1": 1.25, "m2": 0.25, "m3": 0.125}, wrt=(), condition=8.0),
    Case("cosface", (_C, _Y), {"m3": 0.35, "scale": 64.0}, smooth=True),
    Case("arcface", (_C, _Y), _ARCFACE, wrt=(0, "scale"), smooth=True, condition=8.0),
    Case("sphereface", (_C, _Y), {"m1": 4}, smooth=True, condition=64.0),
    Case("combined", (_C, _Y), {"m1": 0.9, "m2": 0.4, "m3": 0.15}, smooth=True, condition=32.0),
    Case("easy", (_C, _Y), {"m2": 0.5, "easy_margin": True}, compiled=True, condition=8.0),
    Case("no_row", (np.zeros((0, 4)), np.zeros(0, int)), {"m2": 0.5}),
]  # fmt: skip


def ORACLE(c, y, *, m1=1, m2=0.0, m3=0.0, scale=1.0, easy_margin=False, axis=-1):
    x = np.moveaxis(c, axis, -1)
    hot = np.arange(x.shape[-1]) == y[..., None]
    angle = np.arccos(x)
    a = m1 * angle + m2
    k = np.where(np.isnan(a), 0, np.floor(a / np.pi - 1e-15))
    y = (-1.0) ** k * np.cos(a) - 2 * k
    if m1 == 1:
        y = np.where(a <= np.pi, np.cos(a), x - m2 * np.sin(m2)) if m2 else x
    if easy_margin:
        y = np.where(x > 0, np.cos(a), x)
    return np.moveaxis(np.where(hot, y - m3, x), -1, axis) * scale


def _falls_with_the_angle(form, case):
    """The target's logit never rises with its angle, but where an easy margin begins."""
    if "easy_margin" in case.options:
        return None
    options = {k: v for k, v in case.options.items() if k != "scale"}
    angle = np.linspace(0.0, np.pi, 101)
    y = form(np.cos(angle)[:, None], np.zeros(101, int), **options)[:, 0]
    return np.maximum(np.diff(y), 0.0), np.zeros(100)


IDENTITIES = (_falls_with_the_angle,)
