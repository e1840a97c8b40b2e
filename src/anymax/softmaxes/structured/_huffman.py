"""Huffman's tree on the host: two queues, then the paths of all words at once."""

from __future__ import annotations

import numpy as np


def tree(counts: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes (V, L), points (V, L) and lengths (V,) of words with these counts."""
    v = len(counts)
    order = np.argsort(-np.asarray(counts), kind="stable")  # word2vec's vocabularies are sorted
    parent, second = _merged([counts[i] for i in order])
    turns, nodes, lengths = [], [], np.zeros(v, np.int32)
    at = np.arange(v)
    root = 2 * v - 2
    while np.any(at != root):  # one step up for every word that is not at the root yet
        moving = at != root
        lengths += moving
        turns.append(second[at])
        nodes.append(parent[at] - v)
        at = parent[at]
    codes, points = (np.zeros((v, len(turns)), np.int32) for _ in range(2))
    for i, (turn, node) in enumerate(zip(turns, nodes)):  # step i from the leaf, backwards
        on_path = lengths > i
        place = lengths[on_path] - 1 - i
        codes[order[on_path], place] = turn[on_path]
        points[order[on_path], place] = node[on_path]
    unsorted = np.zeros_like(lengths)
    unsorted[order] = lengths
    return codes, points, unsorted


def _merged(counts: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Parent of every node, and whether it is the second of its two siblings; counts descend.

    Leaves are 0 to V-1 and inner nodes follow in the order of their making.  The root is its own
    parent.
    """
    v = len(counts)
    weight = list(counts) + [0.0] * (v - 1)
    parent, second = list(range(2 * v - 1)), [0] * (2 * v - 1)
    leaf, inner = v - 1, v  # the smallest not taken yet
    for made in range(v, 2 * v - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and (inner == made or weight[leaf] < weight[inner]):
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(inner)
                inner += 1
        weight[made] = weight[pair[0]] + weight[pair[1]]
        parent[pair[0]] = parent[pair[1]] = made
        second[pair[1]] = 1
    return np.asarray(parent), np.asarray(second)
