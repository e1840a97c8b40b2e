"""The one module that knows the libraries' quirks."""

import subprocess
import sys

import array_api_strict
import dask.array
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from anymax import _array

MAKERS = {
    "numpy": np.asarray,
    "torch": torch.asarray,
    "jax": jnp.asarray,
    "dask": dask.array.asarray,
    "strict": array_api_strict.asarray,
}


@pytest.mark.parametrize("name", MAKERS)
def test_library_and_namespace(name):
    x = MAKERS[name](np.zeros(3, np.float32))
    xp = _array.namespace("f", x=x, y=None, z=1.0)
    assert _array.library(x) == name
    assert _array.library(xp.zeros(2)) == name
    assert _array.dtype_name(x) == "float32"


def test_subclasses_belong_to_their_library():
    assert _array.library(np.ma.zeros(2)) == "numpy"
    assert _array.library(torch.nn.Parameter(torch.zeros(2))) == "torch"
    assert _array.library(np.float32(1)) == "numpy"


def test_libraries_do_not_mix():
    with pytest.raises(TypeError, match="f: arrays of different libraries: x is a numpy array, y"):
        _array.namespace("f", x=np.zeros(2), y=torch.zeros(2))


def test_a_list_is_no_array():
    with pytest.raises(TypeError, match="f: x is a list, not an array; wrap it first"):
        _array.namespace("f", x=[1.0])


def test_an_array_is_needed():
    with pytest.raises(TypeError, match="no array among x, y"):
        _array.namespace("f", x=1.0, y=None)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["float32", "float64"], "float64"),
        (["float32", "int64"], "float32"),
        (["int32", "int64"], "float64"),
        (["bool"], "float64"),
        (["float16", "float16"], "float16"),
        (["float16", "float32"], "float32"),
    ],
)
def test_promotion_on_numpy(dtypes, expected):
    arrays = {f"x{i}": np.zeros(2, d) for i, d in enumerate(dtypes)}
    xp = _array.namespace("f", **arrays)
    assert {x.dtype.name for x in _array.promote(xp, "f", **arrays)} == {expected}


def test_promotion_of_both_halves_is_float32():
    a, b = torch.zeros(2, dtype=torch.float16), torch.zeros(2, dtype=torch.bfloat16)
    xp = _array.namespace("f", a=a, b=b)
    assert [x.dtype for x in _array.promote(xp, "f", a=a, b=b)] == [torch.float32] * 2


def test_zero_dimensional_tensors_promote_like_others():
    a, b = torch.zeros(2, dtype=torch.float32), torch.zeros((), dtype=torch.float64)
    xp = _array.namespace("f", a=a, b=b)
    assert [x.dtype for x in _array.promote(xp, "f", a=a, b=b)] == [torch.float64] * 2


def test_complex_is_refused():
    with pytest.raises(TypeError, match="f: x has dtype complex128; a real floating"):
        _array.promote(_array.namespace("f", x=np.zeros(2)), "f", x=np.zeros(2, complex))


@pytest.mark.parametrize(
    ("axis", "ndim", "expected"),
    [
        (-1, 3, (2,)),
        ((0, -1), 3, (0, 2)),
        (None, 2, (0, 1)),
        ((), 2, ()),
        (-1, 0, (0,)),
        (0, 0, (0,)),
    ],
)
def test_axes(axis, ndim, expected):
    assert _array.axes("f", axis, ndim) == expected


def test_axes_refuse():
    with pytest.raises(IndexError, match="f: axis 3 is out of bounds for an array of 3"):
        _array.axes("f", 3, 3)
    with pytest.raises(IndexError, match="-1, 0, None or"):
        _array.axes("f", 1, 0)
    with pytest.raises(TypeError, match=r"f: axis is 1\.0"):
        _array.axes("f", 1.0, 3)
    with pytest.raises(ValueError, match="names one axis twice"):
        _array.axes("f", (1, -2), 3)


def test_masks_must_be_boolean_and_broadcast():
    with pytest.raises(TypeError, match="f: where has dtype int64; a boolean array fits"):
        _array.check_mask("f", "where", np.ones(3, int), (3,), "x")
    with pytest.raises(ValueError, match=r"f: where has shape \(2,\), which does not broadcast"):
        _array.check_mask("f", "where", np.ones(2, bool), (4, 3), "x")
    _array.check_mask("f", "where", np.ones((4, 1), bool), (4, 3), "x")


def test_values_are_known_only_where_python_may_look():
    assert _array.values_known(np.zeros(2), torch.zeros(2), jnp.zeros(2))
    assert not _array.values_known(torch.zeros(2, device="meta"))
    assert not _array.values_known(dask.array.zeros(2))
    seen = []
    torch.func.vmap(lambda x: seen.append(_array.values_known(x)) or x)(torch.zeros(2, 2))
    assert seen == [False]


def test_no_library_is_imported_to_recognise_another():
    code = (
        "import sys, numpy as np\n"
        "from anymax import _array\n"
        "_array.library(np.zeros(2))\n"
        "heavy = {'torch', 'jax', 'cupy', 'dask', 'numba', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
