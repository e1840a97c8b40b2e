"""`recall_at_k`: the share of true neighbours that were found."""

import numpy as np

from anymax.testing import Case

_FOUND = np.asarray([[4, 7, 1, -1], [3, 3, 3, 3], [-1, -1, -1, -1], [0, 1, 2, 3], [5, 6, 7, 8]])
_TRUE = np.asarray([[7, 4, 3, 9], [3, 1, 2, 0], [1, 2, 3, 4], [-1, -1, -1, -1], [8, 5, -1, 6]])

CASES = [
    Case("edges", (_FOUND, _TRUE), {}, wrt=(), compiled=True),
    Case("first_two", (_FOUND, _TRUE), {"k": 2}, wrt=()),
    Case("one_row", (_FOUND[0], _TRUE[0]), {"k": 3}, wrt=()),
    Case("broadcast", (_FOUND[:, None], _TRUE), {}, wrt=()),
    Case("longer", (np.concatenate([_FOUND, _TRUE], axis=-1), _TRUE), {}, wrt=()),
]


def ORACLE(found, true, *, k=None):
    lead = np.broadcast_shapes(found.shape[:-1], true.shape[:-1])
    found, true = (np.broadcast_to(x, (*lead, x.shape[-1]))[..., :k] for x in (found, true))
    y = np.zeros(lead)
    for row in np.ndindex(lead):
        wanted = set(true[row].tolist()) - {-1}
        y[row] = len(wanted & set(found[row].tolist())) / max(len(wanted), 1)
    return y


def DRAW(rng):
    n, k = rng.integers(1, 4), rng.integers(1, 6)
    true = np.stack([rng.permutation(9)[:k] for _ in range(n)])
    return Case("drawn", (rng.integers(-1, 9, size=(n, k)), true), {}, wrt=())


def _order_does_not_matter(form, case):
    if "k" in case.options:
        return None
    return form(case.args[0][..., ::-1], case.args[1]), form(*case.args)


IDENTITIES = (_order_does_not_matter,)
INTEGERS = ()
