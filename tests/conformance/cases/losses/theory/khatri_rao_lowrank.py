"""`khatri_rao_lowrank`: factors of an elementwise product of two low-rank matrices."""

import numpy as np

from anymax.testing import Case

_RNG = np.random.default_rng(1)
_ARGS = tuple(_RNG.normal(size=s) for s in ((2, 4, 3), (2, 5, 3), (2, 4, 2), (2, 5, 2)))

CASES = [
    Case("batch", _ARGS, compiled=True, smooth=True),
    Case("one", tuple(x[0] for x in _ARGS)),
    Case("no_rank", (_ARGS[0][..., :0], _ARGS[1][..., :0], *_ARGS[2:])),
]
INTEGERS = (0, 1, 2, 3)


def ORACLE(u1, u2, c, h):
    return tuple(
        np.stack(
            [u[..., i] * y[..., j] for i in range(u.shape[-1]) for j in range(y.shape[-1])], -1
        )
        if u.shape[-1]
        else np.zeros((*u.shape[:-1], 0))
        for u, y in ((u1, c), (u2, h))
    )


def elementwise_product(form, case):
    u1, u2, c, h = case.args
    left, right = form(u1, u2, c, h)
    t = lambda x: np.swapaxes(x, -1, -2)  # noqa: E731
    return left @ t(right), (u1 @ t(u2)) * (c @ t(h))


IDENTITIES = (elementwise_product,)
