"""`huffman_tree`: huffman's tree, with word2vec's rule for ties."""

import numpy as np

from anymax.testing import Case, Golden

_ZIPF = np.floor(1000.0 / np.arange(1, 12))

CASES = [
    Case("zipf", (_ZIPF,), wrt=(), compiled=True),
    Case("whole_numbers", (np.asarray([9, 7, 7, 4, 4, 4, 1, 0, 0]),), wrt=()),
    Case("unsorted", (np.asarray([3.0, 8.0, 1.0, 8.0, 2.0]),), wrt=()),
    Case("ties", (np.ones(6),), wrt=()),
    Case("two", (np.asarray([1.0, 3.0]),), wrt=()),
    Case("one", (np.asarray([5.0]),), wrt=()),
]


def ORACLE(counts):
    """One pair of nodes at a time, the path of one word at a time."""
    v = counts.size
    order = sorted(range(v), key=lambda i: -counts[i])
    rank = {word: place for place, word in enumerate(order)}
    # (weight, inner nodes first, leaves from the last and inner nodes from the first), node
    waiting = [(counts[w], 1, v - 1 - rank[w], w) for w in range(v)]
    above = {}
    for a in range(v - 1):
        waiting.sort(key=lambda entry: entry[:3])
        first, other = waiting[:2]
        above[first[3]], above[other[3]] = (v + a, 0), (v + a, 1)
        waiting = [*waiting[2:], (first[0] + other[0], 0, a, v + a)]
    paths = []
    for node in range(v):
        path = []
        while node in above:
            node, code = above[node]
            path.insert(0, (code, node - v))
        paths.append(path)
    lengths = np.asarray([len(path) for path in paths])
    codes, points = (np.zeros((v, lengths.max()), int) for _ in range(2))
    for word, path in enumerate(paths):
        for i, (code, point) in enumerate(path):
            codes[word, i], points[word, i] = code, point
    return codes, points, lengths


def DRAW(rng):
    return Case("drawn", (rng.integers(0, 9, size=rng.integers(1, 12)).astype(float),), wrt=())


def _kraft_sum_is_one(form, case):
    _, _, lengths = form(*case.args)
    return np.sum(2.0**-lengths), np.ones(())


def _within_a_bit_of_the_entropy(form, case):
    counts = case.args[0]
    if (counts == 0).any():
        return None
    p = counts / counts.sum()
    entropy = -np.sum(p * np.log2(p))
    mean = np.sum(p * form(counts)[2])
    return np.clip(mean, entropy, entropy + 1), mean


EAGER = True
IDENTITIES = (_kraft_sum_is_one, _within_a_bit_of_the_entropy)


def GOLDEN(load):
    for name in ("zipf", "ties", "two"):
        z = load(f"classic-hierarchical-softmax__huffman_{name}")
        expected = z["out_code"], z["out_point"], z["out_codelen"]
        yield Golden(Case(name, (z["in_counts"],), wrt=()), expected, rtol=0.0)
