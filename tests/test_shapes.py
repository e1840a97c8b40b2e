"""Shape strings: parsing, checking, the words of their errors."""

import numpy as np
import pytest

from anymax import _shapes

ATTENTION = "q: ... [Hq] L D, k: ... [Hk] S D, v: ... [Hk] S Dv -> ... [Hq] L Dv"


def shaped(**shapes):
    return {name: np.empty(shape) for name, shape in shapes.items()}


def test_parse_keeps_batch_axes_names_and_options():
    spec = _shapes.parse(ATTENTION)
    assert [name for name, _ in spec.arguments] == ["q", "k", "v"]
    assert spec.arguments[0][1] == _shapes.Term(True, ("Hq", "L", "D"), 1)
    assert spec.results == (_shapes.Term(True, ("Hq", "L", "Dv"), 1),)


def test_sizes_come_back_by_name():
    arrays = shaped(q=(2, 4, 5, 8), k=(2, 2, 7, 8), v=(2, 2, 7, 3))
    sizes = _shapes.check("f", ATTENTION, arrays)
    assert sizes == {"Hq": 4, "L": 5, "D": 8, "Hk": 2, "S": 7, "Dv": 3}


def test_optional_axis_may_be_left_out():
    sizes = _shapes.check("f", ATTENTION, shaped(q=(5, 8), k=(7, 8), v=(7, 3)))
    assert sizes == {"L": 5, "D": 8, "S": 7, "Dv": 3}


def test_disagreement_names_function_sizes_and_shapes():
    arrays = shaped(q=(1, 5, 64), k=(1, 5, 64), v=(1, 6, 64))
    with pytest.raises(ValueError) as error:
        _shapes.check("attention", ATTENTION, arrays)
    assert str(error.value) == (
        "attention: k has 5 keys but v has 6; they must match. "
        "Shapes: k (..., 5, 64), v (..., 6, 64)"
    )


def test_a_number_in_the_string_is_a_size():
    with pytest.raises(ValueError, match="x has 3 elements along 2; 2 fit"):
        _shapes.check("f", "x: ... 2 -> ...", shaped(x=(4, 3)))


def test_too_few_axes():
    with pytest.raises(ValueError, match=r"f: q has 1 axes, shape \(8,\); at least 2 are needed"):
        _shapes.check("f", ATTENTION, shaped(q=(8,), k=(7, 8), v=(7, 3)))


def test_too_many_axes_without_batch():
    with pytest.raises(ValueError, match="2 are needed"):
        _shapes.check("f", "x: N C -> N", shaped(x=(1, 2, 3)))


@pytest.mark.parametrize("text", ["x: C", "C -> C"])
def test_a_malformed_string_is_refused(text):
    with pytest.raises(ValueError, match="shape string"):
        _shapes.parse(text)


def test_describe_writes_what_the_documentation_says():
    assert _shapes.describe("x: ... C -> ...") == "x (..., C) -> (...)"
    assert _shapes.describe("x: N -> ") == "x (N) -> scalar"
