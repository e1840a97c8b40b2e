"""The benchmark runner: sides that compute the same, paired ratios, honest tables and CSV."""

from __future__ import annotations

import csv as standard_csv
import time

import numpy as np
import pytest

from anymax._bench import case as cases
from anymax._bench import csv, load, main, memory, rivals, table
from anymax._bench.case import Case, normal
from anymax._bench.row import FIELDS, Row
from anymax._bench.sides import sides
from anymax._bench.timing import paired

ALL = {c.name: c for c in cases.load()}
SMALL = [
    (c, rival)
    for c in ALL.values()
    for rival in c.theirs
    if rival != "torch.compile"
    and ("4x8" in c.name or c.name == "attention causal forward+backward 1x8x1024x64")
]


@pytest.mark.parametrize(("case", "rival"), SMALL, ids=lambda x: getattr(x, "name", x))
def test_both_sides_compute_the_same(case, rival):
    if rivals.absent(rival, "cpu"):
        pytest.skip(rivals.absent(rival, "cpu"))
    for a, b in zip(*(flat(run()) for run in sides(case, rival, "cpu")), strict=True):
        b = b if a.shape == b.shape else np.swapaxes(b, 1, 2)  # jax puts the heads third
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def flat(y):
    if isinstance(y, (tuple, list)):
        return [z for x in y for z in flat(x)]
    return [np.asarray(y.detach() if hasattr(y, "detach") else y)]


def test_names_are_unique_and_files_are_found():
    assert len(ALL) == len(cases.load())
    assert {"softmax 4x8", "attention causal forward 1x8x1024x64"} <= set(ALL)
    assert all(set(c.theirs) <= set(rivals.RIVALS) for c in ALL.values())
    assert [c.name for c in cases.load(("logsumexp 4x8",))] == ["logsumexp 4x8"]


def test_ratio_is_theirs_over_ours():
    ratio = paired(lambda: time.sleep(0.002), lambda: time.sleep(0.006), budget=0.05)
    assert 1.5 < ratio.median < 5
    assert ratio.low <= ratio.median <= ratio.high
    assert ratio.rounds >= 7


def test_table_says_what_is_missing_and_what_is_noise():
    quiet = Row("softmax", "4x8", "torch", "cpu", ratio=2.4, low=2.3, high=2.5, floor=1.25)
    noisy = Row("softmax", "4x8", "jax.jit", "cpu", ratio=0.5, low=0.5, high=0.5, foreign=1.5)
    none = Row("softmax", "4x8", "SciPy", "cpu", reason="scipy is not installed")
    text = table.line([quiet, noisy, none], ["SciPy", "torch", "jax.jit", "numpy"], cores=2)
    assert text.split() == [
        "softmax", "4x8", "n/a", "2.40x", "±4%", "0.50x", "±0%!", "n/a", "1.25x", "-",
    ]  # fmt: skip
    assert "scipy is not installed" in table.legend([quiet, noisy, none])


def test_csv_has_the_machine_in_every_row(tmp_path):
    file = tmp_path / "results" / "x.csv"
    rows = [Row("softmax", "4x8", "torch", "cpu", ratio=2.0), Row("softmax", "4x8", "SciPy", "cpu")]
    for _ in range(2):
        csv.write(str(file), rows, csv.machine())
    with file.open() as stream:
        read = list(standard_csv.DictReader(stream))
    assert len(read) == 4
    assert set(FIELDS) < set(read[0])
    assert read[0]["ratio"] == "2"
    assert read[1]["ratio"] == ""
    assert all(r["processor"] and r["date"] and r["numpy"] for r in read)


def test_busy_machines_are_warned_of(monkeypatch, capsys):
    one = Case("toy", "1", np.exp, {"SciPy": lambda: np.exp}, lambda: (normal(3),))
    monkeypatch.setattr(cases, "load", lambda wanted=(): [one])
    monkeypatch.setattr(load, "average", lambda: 99.0)
    assert main(["--quick"]) == 0
    assert capsys.readouterr().out.startswith("WARNING: the load is 99.0")


def test_a_failing_side_is_reported_and_the_run_goes_on(monkeypatch, capsys):
    def broken(x):
        raise RuntimeError("no luck")

    two = [
        Case("bad", "1", broken, {"SciPy": lambda: np.exp}, lambda: (normal(3),)),
        Case("good", "1", np.exp, {"SciPy": lambda: np.exp}, lambda: (normal(3),)),
    ]
    monkeypatch.setattr(cases, "load", lambda wanted=(): two)
    assert main(["--quick"]) == 1
    out = capsys.readouterr().out
    assert "FAILED bad 1 against SciPy: RuntimeError: no luck" in out
    assert "good 1" in out


def test_unknown_case_lists_what_there_is(capsys):
    assert main(["--case", "no such case"]) == 2
    assert "softmax 4x8" in capsys.readouterr().out


def test_others_load_is_seen_and_ours_is_not():
    with load.Watch() as watch:
        end = time.perf_counter() + 0.2
        while time.perf_counter() < end:
            pass
    assert watch.foreign <= load.cores()


def test_memory_peak_of_one_call():
    peak = memory.peak("softmax 512x32000", "SciPy", "cpu", ours=False)
    if peak is None:
        pytest.skip("this system does not let a process forget its peak")
    array = 512 * 32000 * 4
    assert 0.9 * array < peak < 10 * array
