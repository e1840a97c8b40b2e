"""`two_level_log_softmax`: classes, then words within a class."""

import numpy as np

import anymax as am
from anymax.testing import Case

_RNG = np.random.default_rng(37)
_CLASS = np.asarray([2, 0, 0, 4, 2, 2, 1, 0])  # of five classes one is empty


def _case(name, batch=(2, 3), features=3, class_of=_CLASS, classes=5, bias=False, **rest):
    v = class_of.size
    shapes = ((*batch, features), (classes, features), (v, features))
    args = (*(_RNG.normal(size=s) for s in shapes), class_of)
    options = {}
    if bias:
        options = {"class_bias": _RNG.normal(size=classes), "word_bias": _RNG.normal(size=v)}
    return Case(name, args, options, **rest)


def _edges():
    """A state of NaN, large logits, masked words, a masked class."""
    case = _case("edges", batch=(4,), bias=True, wrt=(0, 1, 2, "class_bias", "word_bias"),
                 compiled=True, condition=8.0)  # fmt: skip
    h = case.args[0]
    h[1, 0], h[2] = np.nan, 512.0
    case.options["word_bias"][[0, 4]] = -np.inf
    case.options["class_bias"][1] = -np.inf
    return case


def _bad_word():
    """NaN in one word spoils its class and no other."""
    case = _case("bad_word")
    case.args[2][4] = np.nan
    return case


CASES = [
    _case("smooth", smooth=True, compiled=True),
    _case("biases", bias=True, wrt=(0, 1, 2, "class_bias", "word_bias"), smooth=True),
    _edges(),
    _bad_word(),
    _case("one_state", batch=()),
    _case("one_class", class_of=np.zeros(5, int), classes=1, smooth=True),
    _case("one_word_each", class_of=np.asarray([1, 2, 0]), classes=3),
    _case("one_word", class_of=np.asarray([0]), classes=1),
    _case("no_state", batch=(0,)),
    _case("large", batch=(5,), class_of=np.arange(300) % 17, classes=17, large=True, condition=4.0),
]


def ORACLE(h, class_w, word_w, class_of, *, class_bias=None, word_bias=None):
    def log_softmax(x):
        keep = x != -np.inf
        top = np.max(x, axis=-1, keepdims=True, where=keep, initial=-np.inf)
        z = np.where(keep, x - np.where(top == -np.inf, 0, top), 0)
        s = np.sum(np.where(keep, np.exp(z), 0), axis=-1, keepdims=True)
        return np.where(keep, z - np.log(np.where(s == 0, 1, s)), -np.inf)

    def logits(w, bias):
        bias = 0 if bias is None else bias
        return np.where(bias == -np.inf, -np.inf, np.sum(h[..., None, :] * w, axis=-1) + bias)

    a, b = logits(class_w, class_bias), logits(word_w, word_bias)
    used = np.isin(np.arange(class_w.shape[0]), class_of)
    of_class = log_softmax(np.where(used, a, -np.inf))
    out = np.zeros(b.shape, b.dtype)
    for c in np.unique(class_of):
        inside = class_of == c
        share = of_class[..., c : c + 1]
        out[..., inside] = np.where(share == -np.inf, -np.inf, share + log_softmax(b[..., inside]))
    return out


def DRAW(rng):
    v, k, features = (int(n) for n in rng.integers(1, 8, size=3))
    batch = tuple(rng.integers(1, 4, size=rng.integers(0, 3)))
    shapes = ((*batch, features), (k, features), (v, features))
    return Case("drawn", (*(rng.normal(size=s) for s in shapes), rng.integers(0, k, size=v)))


def _sums_to_one(form, case):
    p = np.exp(form(*case.args, **case.options))
    if case.options or np.isnan(p).any():
        return None
    return np.sum(p, axis=-1), np.ones(p.shape[:-1])


def _one_class_is_a_softmax(form, case):
    h, class_w, w, _ = case.args
    if class_w.shape[0] != 1:
        return None
    return form(*case.args), am.log_softmax(h @ w.T)


def _words_that_are_classes(form, case):
    h, class_w, _, class_of = case.args
    if np.unique(class_of).size != class_of.size or class_w.shape[0] != class_of.size:
        return None
    return form(*case.args), am.log_softmax(h @ class_w.T)[..., class_of]


INTEGERS = (0, 1, 2)
IDENTITIES = (_sums_to_one, _one_class_is_a_softmax, _words_that_are_classes)
