"""`hierarchical_log_softmax`: log-probabilities of all words of a binary tree."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(36)
_TREE = am.softmaxes.huffman_tree(np.asarray([40, 21, 9, 8, 8, 3, 1]))


def _case(name, batch=(2, 3), features=3, **rest):
    options = rest.pop("options", {})
    h, w = _RNG.normal(size=(*batch, features)), _RNG.normal(size=(6, features))
    return Case(name, (h, w, _TREE), options, **rest)


def _edges():
    """A state of NaN, one of 0, scores of 1e4."""
    case = _case("edges", batch=(4,), compiled=True, condition=8.0)
    h = case.args[0]
    h[1, 0], h[2], h[3] = np.nan, 0.0, 4096.0
    return case


def _bad_node():
    """NaN at one node spoils the words below it and no other."""
    case = _case("bad_node", condition=4.0)
    case.args[1][0] = np.nan
    return case


CASES = [
    _case("smooth", smooth=True, compiled=True, condition=4.0),
    _edges(),
    _bad_node(),
    _case("fasttext", options={"positive_code": 1}, smooth=True, condition=4.0),
    _case("one_state", batch=(), condition=4.0),
    Case("at_zero", (np.zeros((2, 3)), np.ones((6, 3)), _TREE), smooth=True),
    _case("no_state", batch=(0,)),
    Case("one_word", (np.ones((2, 3)), np.zeros((0, 3)),
                      am.softmaxes.huffman_tree(np.asarray([4])))),
    Case("two_words", (np.ones((2, 3)), np.ones((1, 3)),
                       am.softmaxes.huffman_tree(np.asarray([2, 4]))), smooth=True),
]  # fmt: skip


def ORACLE(h, node_w, tree, *, positive_code=0):
    codes, points, lengths = tree
    out = np.zeros((*h.shape[:-1], codes.shape[0]), h.dtype)
    for word in range(codes.shape[0]):
        for i in range(lengths[word]):
            u = np.sum(h * node_w[points[word, i]], axis=-1)
            u = u if codes[word, i] == positive_code else -u
            tail = np.log1p(np.exp(np.where(u >= 0, -u, u)))
            out[..., word] += np.where(u >= 0, 0, u) - tail
    return out


def DRAW(rng):
    v, features = int(rng.integers(1, 12)), int(rng.integers(1, 5))
    batch = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    tree = am.softmaxes.huffman_tree(rng.integers(0, 20, size=v))
    h, w = rng.normal(size=(*batch, features)), rng.normal(size=(v - 1, features))
    return Case("drawn", (h, w, tree))


def _sums_to_one(form, case):
    p = np.exp(form(*case.args, **case.options))
    if np.isnan(p).any():
        return None
    return np.sum(p, axis=-1), np.ones(p.shape[:-1])


def _other_sign(form, case):
    """fastText's sign is word2vec's with all node vectors turned round."""
    h, w, tree = case.args
    code = case.options.get("positive_code", 0)
    return form(h, -w, tree, positive_code=1 - code), form(*case.args, **case.options)


INTEGERS = (0, 1)
IDENTITIES = (_sums_to_one, _other_sign)
