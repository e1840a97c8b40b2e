"""The documentation builds without a warning, and what it shows is true."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest

import anymax as am
from anymax._catalogue import load_all

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
FORMS = list(load_all().values())
PAGES = sorted(DOCS.glob("*.md"))
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def _examples(name: str, text: str, names: dict | None = None) -> int:
    """Run the examples of a text and give their number; fails with doctest's report."""
    test = doctest.DocTestParser().get_doctest(text, dict(names or {}), name, name, 0)
    report = io.StringIO()
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.write)
    assert not report.getvalue(), report.getvalue()
    return len(test.examples)


# -- examples ----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_a_page(page):
    count = _examples(page.name, page.read_text())
    assert count == page.read_text().count(">>> ")


def test_pages_have_examples():
    assert sum(page.read_text().count(">>> ") for page in PAGES) > 30


# -- the README --------------------------------------------------------------------------------

BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_code_of_the_readme_runs(number):
    if "jax" in BLOCKS[number]:
        pytest.importorskip("jax")
        pytest.importorskip("torch")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(BLOCKS[number], f"README block {number}", "exec"), {})
    assert "nan" not in out.getvalue()


def test_readme_has_code():
    assert len(BLOCKS) >= 2


def test_readme_example_gives_what_its_comments_say():
    q, v = np.ones((2, 4)), np.asarray([[1.0], [3.0]])
    assert am.dot_product_attention(q, q, v, causal=True).tolist() == [[1.0], [2.0]]
    assert "# [[1.], [2.]]" in README


def test_readme_names_forms_that_exist():
    table = README.partition("## What goes in")[2].partition("`am.find")[0]
    named = set(re.findall(r"`(\w+)`", table))
    assert len(named) >= 7
    assert named <= {f.name for f in FORMS}


def test_readme_shows_results_once_there_are_some():
    block = README.partition("<!-- measured: begin -->")[2].partition("<!-- measured: end -->")[0]
    results = list((ROOT / "bench" / "results").glob("*.csv"))
    assert bool(results) == ("No results" not in block)


def _commands() -> list[str]:
    return [line for line in README.splitlines() if line.startswith("python3 -m venv")]


def test_readme_commands_install_what_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert len(_commands()) == 2
    for command in _commands():
        (wanted,) = re.findall(r'"\.\[([\w,]+)\]"', command)
        assert set(wanted.split(",")) <= set(extras)


def test_ci_runs_the_test_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    (pattern,) = re.findall(r"grep -m1 '([^']+)' README.md", script)
    assert [c for c in _commands() if re.search(pattern, c)] == _commands()[1:]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links)


# -- what the pages claim ----------------------------------------------------------------------


def test_masking_table_tells_the_truth_about_others():
    torch = pytest.importorskip("torch")
    special = pytest.importorskip("scipy.special")
    row = np.full(3, -np.inf)
    ignored = torch.full((2,), -100)
    with np.errstate(invalid="ignore"):
        assert np.isnan(special.softmax(row)).all()
    assert torch.isnan(torch.softmax(torch.from_numpy(row), dim=0)).all()
    assert torch.isnan(torch.nn.functional.cross_entropy(torch.zeros(2, 3), ignored))
    assert (am.softmax(row) == 0).all()
    assert float(am.cross_entropy(torch.zeros(2, 3), ignored)) == 0


# -- the build ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    out = tmp_path_factory.mktemp("html")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-q", "-b", "html",
         "-d", str(out / "trees"), str(DOCS), str(out)],
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_every_form_has_its_page(html):
    for form in FORMS:
        path = html / "forms" / form.module / form.family / f"{form.name}.html"
        text = path.read_text()
        assert "Parameters" in text
        assert "math" in text
        assert 'href="../../../_modules/' in text
        source = html / "_modules" / f"{form.function.__module__.replace('.', '/')}.html"
        assert source.exists()


@pytest.mark.slow
def test_softmax_page_has_graph_and_support(html):
    text = (html / "forms" / "softmaxes" / "exponential" / "softmax.html").read_text()
    assert "softmax.svg" in text
    assert "array library is dask" in text


@pytest.mark.slow
def test_family_page_lists_its_forms(html):
    text = (html / "forms" / "softmaxes" / "exponential.html").read_text()
    assert "Which one?" in text
    assert all(name in text for name in ("softmin", "logsumexp", "log_softmax"))


def test_pages_of_forms_that_are_no_more_go(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    formpages = importlib.import_module("formpages")
    for name in ("losses", "losses/kept", "losses/kept/a", "losses/kept/b", "losses/gone/c"):
        path = tmp_path / f"{name}.rst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    formpages.drop(tmp_path, {"losses/kept/a"})
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.rst"))
    assert left == ["losses.rst", "losses/kept.rst", "losses/kept/a.rst"]


def test_measurements_become_a_table(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    measured = importlib.import_module("measured")
    folder = tmp_path / "bench" / "results"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text(
        "form,size,rival,ratio,floor,seconds\n"
        "cross_entropy forward,4x8,torch,1.5,,9\nattention causal,2x2,torch,2,,9\n,,ignored,,,\n"
    )
    monkeypatch.setattr(measured, "ROOT", tmp_path)
    rows = measured.results()
    about = {f.name: [r["ratio"] for r in rows if measured.is_about(r, f)] for f in FORMS}
    assert about["cross_entropy"] == ["1.5"]
    assert about["dot_product_attention"] == ["2"]
    assert about["softmax"] == []
    text = measured.measurements(rows, "nothing")
    assert "- 1.5" in text
    assert "floor" not in text
    assert "seconds" not in text
    assert measured.measurements([], "nothing") == "nothing\n"
