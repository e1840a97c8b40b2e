"""Cases whose arrays sit in nested tuples, as trees and layers of weights come."""

from __future__ import annotations

import numpy as np

from anymax._conformance.calls import placed
from anymax.testing import Case

X, A, B, N = (np.full((2,), v) for v in (1.0, 2.0, 3.0, 4))
CASE = Case("nested", (X, (A, (B, 5)), "word"), {"pair": (N, None), "number": 7})


def test_slots_are_paths():
    assert [slot for slot, _ in CASE.slots()] == [0, (1, 0), (1, 1, 0), ("pair", 0)]
    assert all(CASE.at(slot) is x for slot, x in CASE.slots())


def test_positional_floating_arrays_are_differentiated():
    assert CASE.differentiated() == (0, (1, 0), (1, 1, 0))
    constant = CASE.with_("constant", wrt=())
    assert constant.differentiated() == ()
    assert constant.floating() == (0, (1, 0), (1, 1, 0))


def test_mapped_keeps_the_structure():
    new = CASE.mapped(lambda slot, x: (slot, x + 1))
    (first, (a, (b, five)), word), pair = new.args, new.options["pair"]
    assert (first[0], a[0], b[0], pair[0][0]) == (0, (1, 0), (1, 1, 0), ("pair", 0))
    assert float(b[1][0]) == 4.0
    assert (five, word, pair[1], new.options["number"]) == (5, "word", None, 7)


def test_placed_replaces_by_path():
    new = placed(CASE, [(1, 1, 0), ("pair", 0)], ["b", "n"])
    assert new.at((1, 1, 0)) == "b"
    assert new.at(("pair", 0)) == "n"
    assert new.at((1, 0)) is A
