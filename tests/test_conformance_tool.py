"""The matrix itself: it finds what is wrong, and says where and by how much."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

import anymax as am
from anymax import _conformance
from anymax._conformance import cli, matrix, table
from anymax._conformance.cell import Cell, Skip, oracle_of
from anymax._conformance.columns import COLUMNS
from anymax._conformance.compare import error, overflowed
from anymax._conformance.entries import cases_folder, entries, entry_of, to_eight_bits
from anymax._conformance.numeric import cotangent, slopes
from anymax._conformance.poison import poisoned_empties
from anymax._conformance.tolerances import tolerance
from anymax.testing import Case, assert_close, logits, row_cases, run_case, strategies


def softmax_oracle(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


RAMP = Case("ramp", (np.arange(12.0).reshape(3, 4),))


# -- comparing ------------------------------------------------------------------------------------


def test_assert_close_gives_the_worst_error():
    assert assert_close(np.asarray([1.0, 2.0 + 3e-13]), np.asarray([1.0, 2.0])) == pytest.approx(
        1e-13, rel=1e-2
    )


@pytest.mark.parametrize("wrong", [1.5, np.nan, np.inf, -np.inf])
def test_assert_close_finds_one_wrong_cell(wrong):
    a, b = np.ones((2, 3)), np.ones((2, 3))
    a[1, 2] = wrong
    with pytest.raises(AssertionError, match=r"gate: 1 of 6 cells .* at \(1, 2\)"):
        assert_close(a, b, what="gate")


def test_assert_close_wants_the_same_shape():
    with pytest.raises(AssertionError, match=r"shape \(1, 3\), expected \(3,\)"):
        assert_close(np.ones((1, 3)), np.ones(3))


def test_infinities_of_one_sign_agree():
    inf = np.asarray([np.inf, -np.inf, np.nan])
    assert (error(inf, inf, 1.0) == 0).all()
    assert (error(inf, -inf, 1.0)[:2] == np.inf).all()


def test_too_large_for_float16_is_infinite():
    np.testing.assert_array_equal(overflowed(np.asarray([7e4, -7e4, 1.0]), "float16"),
                                  [np.inf, -np.inf, 1.0])  # fmt: skip


def test_eight_bits_survive_every_dtype():
    x = to_eight_bits(np.asarray([np.pi, -1e4, 0.0, np.inf, np.nan]))
    for dtype in ("float32", "bfloat16"):
        np.testing.assert_array_equal(COLUMNS["numpy"].convert(x, dtype).astype(float), x)
    assert x[0] == 3.140625


def test_halves_are_allowed_one_rounding():
    t = tolerance("row_softmax", "float16")
    assert 2.0**-11 < t.rtol < 1.05 * 2.0**-11


# -- run_case --------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["numpy", "strict", "dask"])
def test_run_case_passes_what_is_right(column):
    assert run_case(am.softmax, RAMP, softmax_oracle, column=column, dtype="float32") < 1e-6


def test_run_case_finds_a_wrong_value():
    with pytest.raises(AssertionError, match="result 0: 12 of 12 cells"):
        run_case(am.softmax, RAMP, lambda x: softmax_oracle(x) * 1.001)


def test_run_case_finds_a_wrong_dtype():
    with pytest.raises(AssertionError, match="dtype float64, not float32"):
        run_case(lambda x: am.softmax(x).astype(float), RAMP, softmax_oracle, dtype="float32")


def test_run_case_finds_a_wrong_library():
    with pytest.raises(AssertionError, match="the result is a ndarray"):
        run_case(lambda x: np.asarray(am.softmax(x)), RAMP, softmax_oracle, column="strict")


def test_run_case_finds_a_graph_that_computes_itself():
    with pytest.raises(AssertionError, match="computed while it was being built"):
        run_case(lambda x: am.softmax(x / float(x.sum())), RAMP, softmax_oracle, column="dask")


def test_run_case_names_the_columns():
    with pytest.raises(ValueError, match=r"no column 'pandas'; one of numpy, .* fits"):
        run_case(am.softmax, RAMP, softmax_oracle, column="pandas")


# -- gradients by differences ----------------------------------------------------------------------


def test_slopes_of_a_square():
    x = np.asarray([1.0, -2.0, 0.5])
    found = slopes(lambda x: x**2, Case("square", (x,)), silent=False)[0]
    np.testing.assert_allclose(found.value, 2.0 * x * cotangent((3,), 0), rtol=1e-10)
    assert found.known.all()
    assert not found.inert.any()


def test_cells_that_nothing_depends_on_are_inert():
    def lse(x, *, where):
        return np.log(np.sum(np.exp(np.where(where, x, -np.inf)), axis=-1))

    x = np.asarray([[1.0, np.nan, -np.inf], [np.nan, 2.0, 3.0]])
    where = np.asarray([[True, False, True], [True, True, False]])
    found = slopes(lse, Case("lse", (x,), {"where": where}), silent=False)[0]
    np.testing.assert_array_equal(found.inert, [[0, 1, 1], [0, 0, 1]])
    np.testing.assert_array_equal(found.known, [[1, 0, 0], [0, 0, 0]])


# -- entries ---------------------------------------------------------------------------------------


def test_every_form_has_cases_that_compilers_run():
    for entry in entries():
        assert any(case.compiled for case in entry.cases), entry.key
        derived = any(case.differentiated() for case in entry.cases)
        chooses = any(y.dtype.kind == "i" for y in oracle_of(entry.oracle, entry.cases[0]))
        assert any(case.smooth for case in entry.cases) or chooses or not derived, entry.key
        names = [case.name for case in entry.cases]
        assert len(set(names)) == len(names), entry.key


def test_cases_mirror_the_forms():
    files = {p.relative_to(cases_folder()) for p in cases_folder().rglob("*.py")}
    homes = {f"{e.form.module}/{e.form.family}/{e.form.name}.py" for e in entries()}
    assert {p.as_posix() for p in files} == homes


def test_cases_are_the_same_on_every_import():
    one, two = row_cases(), row_cases()
    for a, b in zip(one, two, strict=True):
        for (slot, x), (_, y) in zip(a.slots(), b.slots(), strict=True):
            np.testing.assert_array_equal(x, y, err_msg=f"{a.name}, {slot!r}")
    np.testing.assert_array_equal(logits(4, 5), logits(4, 5))


def test_entries_by_family_and_unknown_names():
    assert {e.form.name for e in entries(["exponential"])} >= {"softmax", "softmin", "logsumexp"}
    with pytest.raises(ValueError, match="no form is called sofmax"):
        entries(["sofmax"])


@pytest.mark.parametrize("key", ["losses.cross_entropy", "attentions.dot_product_attention"])
def test_strategies_draw_calls_that_run(key):
    from hypothesis import given, settings

    function = entry_of(key).form.function

    @settings(max_examples=10, deadline=None)
    @given(strategies(key))
    def runs(case):
        y = np.asarray(function(*case.args))
        assert y.dtype == np.float64

    runs()


# -- kernels ---------------------------------------------------------------------------------------


def test_unwritten_memory_is_nan_inside_and_real_outside():
    before = np.empty
    with poisoned_empties():
        assert np.isnan(np.empty((2, 3))).all()
        assert np.isnan(np.empty_like(np.ones(2, np.float32))).all()
        assert (np.empty(2, np.int32) == np.iinfo(np.int32).max // 3).all()
    assert np.empty is before


# -- the matrix ------------------------------------------------------------------------------------


def test_jobs_are_chosen_by_name():
    chosen = list(matrix.jobs(["softmax"], ["strict"], ["reference"], ["value"]))
    assert {j.cell.column.name for j in chosen} == {"strict", "strict:strictest"}
    assert {j.cell.dtype for j in chosen} == {"float64", "float32"}
    with pytest.raises(ValueError, match="no column nunpy"):
        list(matrix.jobs(columns=["nunpy"]))


def test_results_pass_here():
    results = _conformance.run(["softmax"], ["numpy"], ["reference"], ["value", "identities"])
    assert {r.outcome for r in results} == {"pass"}
    assert all(r.error is None or r.error < 1e-2 for r in results)


def test_a_wrong_oracle_fails_everywhere(monkeypatch):
    entry = entry_of("softmaxes.softmax")
    right = entry.oracle
    monkeypatch.setattr(entry.module, "ORACLE", lambda x, **o: right(x, **o) * 1.25)
    monkeypatch.setattr("anymax._conformance.cell._truths", {})
    monkeypatch.setattr("anymax._conformance.aspects.gradient._truths", {})
    results = matrix.run(["softmax"], ["numpy"], ["reference"], ["value", "gradient", "random"])
    assert {r.outcome for r in results} == {"fail"}
    assert any("edges: result 0" in r.reason for r in results)


def test_a_missing_library_skips_with_its_reason():
    cell = Cell(entry_of("softmaxes.softmax"), COLUMNS["cupy"], "float64", "reference")
    with pytest.raises(Skip, match="cupy sees no device"):
        matrix.check(matrix.Job(cell, "absent", "cupy sees no device"))


RESULTS = [
    matrix.Result("softmaxes.a", "numpy", "float64", "reference", "value", "pass", "", 0.5, 1e-16),
    matrix.Result("softmaxes.a", "torch", "float64", "reference", "value", "fail", "x < y & z"),
    matrix.Result("softmaxes.a", "cupy", "float64", "reference", "absent", "skip", "no device"),
]


def test_the_page_holds_results_reasons_and_escapes():
    page = table.page(RESULTS)
    assert "1 passed, 1 failed, 1 skipped" in page
    assert "1 of 1 failed" in page
    assert "x &lt; y &amp; z" in page
    assert "cupy: no device" in page
    assert "worst error 1.0e-16" in page


def test_the_command_prints_and_fails_when_a_check_does(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "run", lambda **_: RESULTS)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert cli.main(["softmax"]) == 1
    assert "softmaxes.a" in out.getvalue()
    assert "x < y & z" in out.getvalue()
    monkeypatch.setattr(cli, "run", lambda **_: RESULTS[:1])
    with contextlib.redirect_stdout(out):
        assert _conformance.main([]) == 0


def test_the_command_lists_and_refuses(capsys):
    assert cli.main(["softmax", "--xp", "numpy", "--aspect", "value", "--list"]) == 0
    assert "softmaxes.softmax-numpy-float64-reference-value" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["sofmax"])
    assert "no form is called sofmax" in capsys.readouterr().err


def test_a_page_is_written(tmp_path):
    path = tmp_path / "matrix.html"
    matrix.run(["softmin"], ["numpy"], ["reference"], ["identities"], html=str(path))
    assert "softmaxes.softmin" in path.read_text(encoding="utf-8")
