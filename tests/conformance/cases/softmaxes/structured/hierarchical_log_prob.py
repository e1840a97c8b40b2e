"""`hierarchical_log_prob`: log-probability of a word of a binary tree."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(35)
_TREE = am.softmaxes.huffman_tree(np.asarray([40, 21, 9, 8, 8, 3, 1]))


def _case(name, batch=(2, 3), features=3, **rest):
    options = rest.pop("options", {})
    h = _RNG.normal(size=(*batch, features))
    target = _RNG.integers(0, 7, size=batch)
    return Case(name, (h, target, _RNG.normal(size=(6, features)), _TREE), options, **rest)


def _edges():
    """NaN on and off the path, a state of NaN, states of 0, scores of 1e4."""
    case = _case("edges", batch=(6,), compiled=True, condition=8.0)
    h, target, w, _ = case.args
    target[:] = 0, 0, 6, 3, 1, 6
    h[1, 0], h[2], h[3] = np.nan, 0.0, 4096.0
    w[0] = np.nan  # where the paths of all but one or two words end
    return case


CASES = [
    _case("smooth", smooth=True, compiled=True, condition=4.0),
    _edges(),
    _case("fasttext", options={"positive_code": 1}, smooth=True, condition=4.0),
    _case("one_state", batch=(), condition=4.0),
    _case("at_zero", batch=(4,)).with_("at_zero", np.zeros((4, 3)), np.asarray([0, 2, 5, 6]),
                                       np.ones((6, 3)), _TREE, smooth=True),
    _case("no_state", batch=(0,)),
    Case("one_word", (np.ones((2, 3)), np.zeros(2, int), np.zeros((0, 3)),
                      am.softmaxes.huffman_tree(np.asarray([4])))),
    Case("two_words", (np.ones((2, 3)), np.asarray([0, 1]), np.ones((1, 3)),
                       am.softmaxes.huffman_tree(np.asarray([4, 2]))), smooth=True),
]  # fmt: skip


def ORACLE(h, target, node_w, tree, *, positive_code=0):
    codes, points, lengths = tree
    out = np.zeros(target.shape, h.dtype)
    for row in np.ndindex(target.shape):
        word = target[row]
        for i in range(lengths[word]):
            u = np.sum(h[row] * node_w[points[word, i]])
            u = u if codes[word, i] == positive_code else -u
            out[row] += (0 if u >= 0 else u) - np.log1p(np.exp(-u if u >= 0 else u))
    return out


def DRAW(rng):
    v, features = int(rng.integers(1, 12)), int(rng.integers(1, 5))
    batch = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    tree = am.softmaxes.huffman_tree(rng.integers(0, 20, size=v))
    h, w = rng.normal(size=(*batch, features)), rng.normal(size=(v - 1, features))
    return Case("drawn", (h, rng.integers(0, v, size=batch), w, tree))


def _gathers_the_log_softmax(form, case):
    h, target, w, tree = case.args
    whole = am.hierarchical_log_softmax(h, w, tree, **case.options)
    expected = np.take_along_axis(whole, target[..., None], axis=-1)[..., 0]
    return form(*case.args, **case.options), expected


INTEGERS = (0, 2)
IDENTITIES = (_gathers_the_log_softmax,)
