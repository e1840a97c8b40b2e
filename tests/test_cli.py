"""The command line: exit codes, messages, and the tour from end to end."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from anymax.__main__ import COMMANDS, DELEGATED, main
from anymax._catalogue import load_all
from anymax._cli import arrays, explain, race, regression, samples, tables, warm


def _python(*args: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "anymax", *args],
        capture_output=True, text=True, timeout=500, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


# -- the parser --------------------------------------------------------------------------------


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in (*COMMANDS, *DELEGATED))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: anymax {command}" in capsys.readouterr().out


def test_unknown_command_is_an_error(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["frobnicate"])
    assert stop.value.code == 2
    assert "frobnicate" in capsys.readouterr().err


@pytest.mark.parametrize("command", DELEGATED)
def test_delegated_commands_get_the_remaining_arguments(command, monkeypatch):
    seen = []

    class Stand:
        @staticmethod
        def main(argv):
            seen.append(argv)
            return 3

    monkeypatch.setitem(sys.modules, DELEGATED[command][0], Stand)
    assert main([command, "--help", "x"]) == 3
    assert seen == [["--help", "x"]]


@pytest.mark.parametrize("command", DELEGATED)
def test_a_delegated_command_that_is_absent_says_what_to_install(command, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, DELEGATED[command][0], None)
    assert main([command]) == 1
    assert "pip install 'anymax[" in capsys.readouterr().err


def test_starting_costs_no_array_library():
    heavy = "('torch', 'jax', 'numba', 'cupy')"
    code = f"import sys, anymax.__main__; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_closed_pipe_is_no_error_of_ours():
    command = f'"{sys.executable}" -m anymax info | head -n 1'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("anymax ")
    assert done.stderr == ""


# -- info --------------------------------------------------------------------------------------


def test_info_says_what_is_there_and_why_not(capsys, monkeypatch):
    monkeypatch.setenv("ANYMAX_NUM_THREADS", "2")
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"numpy +{re.escape(np.__version__)}", said)
    assert re.search(r"reference +yes", said)
    assert "2 threads for kernels" in said
    assert re.search(r"ANYMAX_NUM_THREADS +2", said)


# -- explain -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", load_all())
def test_explain_runs_every_form(key, capsys):
    assert main(["explain", key, "--backend", "reference"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{key.partition('.')[2]} of (")
    assert " on numpy/cpu float32" in said or "plain array code" in said


def test_explain_gives_required_settings_their_value_from_the_cases(capsys):
    needs = [k for k, f in load_all().items() if samples._required(f)]
    for key in needs[:1]:
        assert main(["explain", key, "--shape", "4,8", "--backend", "reference"]) == 0
        assert "(4, 8)" in capsys.readouterr().out


def test_a_form_without_cases_is_run_by_its_shape_string(monkeypatch, capsys):
    monkeypatch.setattr(samples, "_case", lambda form: None)
    assert main(["explain", "softmax", "--backend", "reference"]) == 0
    assert "softmax of (3, 8)" in capsys.readouterr().out


def test_explain_takes_library_dtype_and_shape(capsys):
    args = ["explain", "softmax", "--dtype", "float64", "--shape", "4,8", "--backend", "reference"]
    assert main([*args, "--library", "strict"]) == 0
    assert "row_softmax on strict/cpu float64 (4, 8) -> reference" in capsys.readouterr().out


def test_shape_binds_the_other_arrays():
    form = explain.lookup("dot_product_attention")
    data = samples.operands(form, (7, 6, 5, 4), "float32")
    assert data["q"].shape == (7, 6, 5, 4)
    assert data["k"].shape == (7, 6, 16, 4)
    assert data["v"].shape[:3] == (7, 6, 16)
    bare = samples.operands(form, (5, 4), "float32")
    assert bare["q"].shape == (5, 4)
    assert bare["k"].shape == (16, 4)


def test_labels_are_class_numbers():
    data = samples.operands(explain.lookup("cross_entropy"), (50, 3), "float32")
    assert data["target"].dtype.kind == "i"
    assert set(np.unique(data["target"])) == {0, 1, 2}


@pytest.mark.parametrize("name", ["softmax", "softmaxes.softmax", "anymax.softmax", "am.softmax"])
def test_forms_are_found_by_any_name(name):
    assert explain.lookup(name).name == "softmax"


def test_unknown_form_is_met_with_names_that_exist(capsys):
    assert main(["explain", "sofmax"]) == 2
    said = capsys.readouterr().err
    assert "no form 'sofmax'" in said
    assert "softmax" in said.partition("did you mean")[2]


def test_unknown_form_without_likeness_points_to_find(capsys):
    assert main(["explain", "zzzz"]) == 2
    assert "anymax.find()" in capsys.readouterr().err


def test_explain_reports_what_does_not_fit(capsys):
    assert main(["explain", "dot_product_attention", "--shape", "4"]) == 1
    assert "--shape has 1 sizes; (L, D) are needed" in capsys.readouterr().err


def test_explain_reports_a_backend_that_cannot_run(capsys):
    assert main(["explain", "softmax", "--library", "dask", "--backend", "numba"]) == 1
    assert "array library is dask" in capsys.readouterr().err


# -- warm --------------------------------------------------------------------------------------


def test_warm_reports_each_kernel(monkeypatch, capsys):
    monkeypatch.setattr(warm._backends, "missing", lambda backend: None)
    monkeypatch.setattr(
        "anymax._cpu.jit.warm", lambda dtypes: ((f"k {d}", 0.5) for d in dtypes), raising=True
    )
    assert main(["warm", "--dtype", "float32", "--arch"]) == 0
    said = capsys.readouterr().out
    assert "0.50 s  k float32" in said
    assert "numba: 1 kernels" in said


def test_warm_fails_when_there_is_nothing_to_compile(monkeypatch, capsys):
    monkeypatch.setattr(warm._backends, "missing", lambda backend: f"{backend} is away")
    assert main(["warm", "--arch"]) == 1
    assert "numba is away" in capsys.readouterr().out


# -- tables and timing -------------------------------------------------------------------------


def test_plain_table_aligns_numbers_right():
    text = tables.plain(["name", "ms "], [["softmax", "1.5"], ["x", "10.25"]], "Times")
    assert text.splitlines() == [
        "Times", "", "name        ms", "-------  -----", "softmax    1.5", "x        10.25",
    ]  # fmt: skip


def test_tables_do_without_rich(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich", None)
    tables.show(["a"], [["[b]"]], notes=["note"])
    assert capsys.readouterr().out == "a\n---\n[b]\nnote\n"


def test_rich_prints_brackets_as_they_are(capsys):
    pytest.importorskip("rich")
    tables.show(["a"], [["[bold]"]])
    assert "[bold]" in capsys.readouterr().out


def test_ratio_is_theirs_over_ours(monkeypatch):
    clock = iter(range(10**6))
    pace = {"ours": 1, "theirs": 3}

    def run(who):
        for _ in range(pace[who]):
            next(clock)

    monkeypatch.setattr(race.time, "perf_counter", lambda: next(clock))
    value = race.ratio(lambda: run("ours"), lambda: run("theirs"), pairs=4)
    assert value == pytest.approx(4 / 2)  # reading the clock ticks it once


# -- the tour ----------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "dask", "strict"])
def test_regression_learns_and_agrees(library):
    pytest.importorskip("sklearn")
    if arrays.absent(library):
        pytest.skip(f"{library}: {arrays.absent(library)}")
    digits = regression.load()
    few = regression.Digits(
        digits.images[:300], digits.labels[:300], digits.test_images, digits.test_labels
    )
    result = regression.train(library, few, steps=5)
    expected = regression.train("numpy", few, steps=5)
    assert result.loss == pytest.approx(expected.loss, abs=1e-5)
    assert result.loss < 1.5 < np.log(10)
    assert result.accuracy > 0.6
    assert result.backends


@pytest.mark.slow
def test_tour_trains_on_every_library_and_agrees():
    pytest.importorskip("sklearn")
    done = _python()
    assert done.returncode == 0, done.stderr
    here = [name for name in arrays.LIBRARIES if not arrays.absent(name)]
    assert f"The {len(here)} final losses agree" in done.stdout
    for name in here:
        line = next(
            x for x in done.stdout.splitlines() if re.match(rf"\s+{arrays.TITLES[name]} .*%", x)
        )
        assert float(re.search(r"([\d.]+)%", line)[1]) > 95


def test_tour_fails_when_losses_differ(monkeypatch, capsys):
    pytest.importorskip("sklearn")
    losses = iter([0.5, 0.6])

    def fake(library, digits, steps):
        return regression.Run(library, "tape", ("reference",), next(losses), 0.97, 0.0)

    monkeypatch.setattr("anymax._cli.tour.train", fake)
    assert main(["tour", "--library", "numpy", "strict", "--no-race"]) == 1
    assert "DIFFER" in capsys.readouterr().out


def test_tour_without_scikit_learn_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main([]) == 1
    assert "pip install 'anymax[tour]'" in capsys.readouterr().err
