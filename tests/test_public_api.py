"""The public surface: names, documentation, signatures, generated files, examples."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pathlib
import pkgutil
import re
import types

import numpy as np
import pytest

import anymax as am
import fresh
from anymax import _shapes, _stubs
from anymax._catalogue import MODULES, load_all
from anymax._conformance import entries
from anymax._dispatch import PRIMITIVES

FORMS = load_all()
EVERY = pytest.mark.parametrize("key", sorted(FORMS))
SECTIONS = ("Parameters", "Returns", "Raises", "Notes", "Examples", "References")
COMMON = (
    "scale", "mask", "bias", "causal", "window", "softcap", "sink", "alibi_slopes", "lengths",
    "return_lse",
)  # fmt: skip
DEFAULTS = {
    "axis": -1, "where": None, "weight": None, "temperature": 1.0, "ignore_index": -100,
    "mask": None, "bias": None, "causal": False, "window": None, "softcap": None, "sink": None,
    "alibi_slopes": None, "lengths": None, "return_lse": False, "keepdims": False,
}  # fmt: skip
STACKED = {"merge_softmax_states"}  # parts lie along the first axis
OWN = {  # temperatures that papers and their codes start from
    name: {"temperature": temperature}
    for name, temperature in {
        "potential_resampling_weights": 0.1,
        "decoupled_contrastive_loss": 0.1,
        "info_nce": 0.07,
        "info_nce_hard_negatives": 0.02,
        "nt_xent": 0.5,
        "sampled_info_nce": 0.07,
        "siglip_loss": 0.1,
        "supervised_contrastive_loss": 0.07,
    }.items()
}
BY_SEQUENCE = {"gspo_loss"}  # reduction "seq-mean-token-mean" by default
SUMMED = {"attention_regression_loss", "node_parity_penalty"}  # reduction "sum" by default


def document(key):
    return inspect.getdoc(FORMS[key].function)


def section(text, title):
    """The body of a numpydoc section; empty if there is none."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2])).get(title, "")


# -- names -------------------------------------------------------------------------------------


@EVERY
def test_name_is_a_function_in_its_namespaces(key):
    form = FORMS[key]
    assert isinstance(form.function, types.FunctionType)
    spaces = [getattr(am, form.module)] + [am] * (form.level == "top")
    for space in spaces:
        assert getattr(space, form.name) is form.function
        assert form.name in dir(space)
    assert (form.name in am.__all__) == (form.level == "top")


def test_no_submodule_shadows_a_form():
    names = "; ".join(f"assert callable(am.{k}), '{k}'" for k in FORMS)
    tops = "; ".join(f"assert callable(am.{f.name})" for f in FORMS.values() if f.level == "top")
    fresh.run(f"""
import importlib, pkgutil, anymax as am
for module in {MODULES!r}:
    package = importlib.import_module("anymax." + module)
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(info.name)
{names}
{tops}
""")


def test_star_import_and_dir():
    space: dict = {}
    exec("from anymax import *", space)
    assert set(am.__all__) <= set(space)
    assert sorted(am.__all__) == dir(am)
    assert len(set(am.__all__)) == len(am.__all__)


def test_families_are_not_named_like_forms():
    names = {f.name for f in FORMS.values()}
    assert names.isdisjoint({f.family for f in FORMS.values()} | set(MODULES))


def test_top_names_are_unique():
    tops = [f.name for f in FORMS.values() if f.level == "top"]
    assert len(tops) == len(set(tops))


def test_find_sees_every_form():
    assert am.find() == sorted(FORMS)
    assert am.find("1706.03762") == [
        "attentions.attention_weights", "attentions.dot_product_attention",
    ]  # fmt: skip
    assert am.find("no such thing") == []


def test_version_is_a_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", am.__version__)


def test_generated_files_are_up_to_date():
    for path, text in _stubs.generate().items():
        assert path.read_text() == text, f"run python -m anymax._stubs: {path.name} is old"


# -- what a form says of itself ----------------------------------------------------------------


@EVERY
def test_document_is_complete(key):
    text = document(key)
    first = text.partition("\n")[0]
    assert first.endswith(".")
    assert len(first) <= 96
    assert ".. math::" in text
    for title in SECTIONS:
        assert section(text, title).strip(), f"{key}: no section {title}"
    assert ">>>" in section(text, "Examples")
    assert re.search(r"\.\. \[1\]", section(text, "References"))


@EVERY
def test_document_names_every_parameter_and_shape(key):
    form = FORMS[key]
    body = section(document(key), "Parameters")
    heads = re.findall(r"^(\w[\w, ]*?)(?: :.*)?$", body, flags=re.MULTILINE)
    said = [name for head in heads for name in head.split(", ")]
    parameters = list(inspect.signature(form.function).parameters)
    assert said == parameters
    arrays = [name for name, _ in _shapes.parse(form.shapes).arguments]
    assert arrays == parameters[: len(arrays)]
    for name in arrays:
        assert re.search(rf"\b{name}\b.* : .*\(.*\)", body), f"{key}: no shape of {name}"


@EVERY
def test_references_name_the_papers(key):
    text = section(document(key), "References")
    for paper in FORMS[key].papers:
        assert paper == "classic" or f"arXiv:{paper}" in text


@EVERY
def test_record_is_sound(key):
    form = FORMS[key]
    assert form.cost.startswith("O(")
    assert form.level in ("top", "module")
    assert set(form.primitives) <= set(PRIMITIVES)
    assert _shapes.describe(form.shapes)


@EVERY
def test_conformance_case_exists(key):
    entry = entries.entry_of(key)
    assert entry.cases
    assert FORMS[key].name in pathlib.Path(entry.module.__file__).read_text()  # says whose it is
    assert callable(entry.oracle)
    assert any(case.compiled for case in entry.cases)


# -- signatures --------------------------------------------------------------------------------


@EVERY
def test_signature_follows_the_conventions(key):
    form = FORMS[key]
    parameters = inspect.signature(form.function).parameters
    required = [p for p in parameters.values() if p.default is p.empty]
    options = [p for p in parameters.values() if p.default is not p.empty]
    arrays = [p for p in required if str(p.annotation) == "Array"]
    assert all(p.kind is p.POSITIONAL_ONLY for p in arrays)
    assert all(p.kind is not p.POSITIONAL_OR_KEYWORD for p in required)
    assert all(p.kind is p.KEYWORD_ONLY for p in options)
    assert 1 <= sum(p.kind is p.POSITIONAL_ONLY for p in required) <= 6
    for p in options:
        if p.name in DEFAULTS and (form.module == "attentions" or p.name not in COMMON):
            first = p.name == "axis" and form.name in STACKED
            wanted = 0 if first else OWN.get(form.name, DEFAULTS).get(p.name, DEFAULTS[p.name])
            assert p.default == wanted, f"{key}: default of {p.name}"
        if p.name == "reduction":
            usual = "seq-mean-token-mean" if form.name in BY_SEQUENCE else "mean"
            assert p.default == ("sum" if form.name in SUMMED else usual)
    common = [p.name for p in options if p.name in COMMON]
    if form.module == "attentions":
        assert common == [name for name in COMMON if name in common]
    for p in parameters.values():
        assert p.annotation is not p.empty


@EVERY
def test_function_is_annotated_with_its_result(key):
    assert inspect.signature(FORMS[key].function).return_annotation is not inspect.Signature.empty


# -- examples ----------------------------------------------------------------------------------

NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")


class Near(doctest.OutputChecker):
    """Examples match when their words do and their numbers agree to eight digits."""

    def check_output(self, want, got, optionflags):
        if super().check_output(want, got, optionflags):
            return True
        words = ("".join(NUMBER.sub("#", text).split()) for text in (want, got))
        if len(set(words)) != 1:
            return False
        numbers = (np.asarray(NUMBER.findall(text), float) for text in (want, got))
        return np.allclose(*numbers, rtol=1e-8, atol=1e-15)


def examples():
    """Every example of the package, but for the kernels': public modules' import what they use."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for info in pkgutil.walk_packages(am.__path__, "anymax."):
        if not re.search(r"\._(cpu|cuda|bench|conformance|tour|tape)\b|__main__", info.name):
            module = importlib.import_module(info.name)
            private = "._" in info.name
            found = finder.find(module, globs=vars(module) if private else {})
            yield from (test for test in found if test.examples)


EXAMPLES = {test.name: test for test in examples()}


def test_every_form_has_its_example_run():
    homes = {f"{f.function.__module__}.{f.name}" for f in FORMS.values()}
    assert homes <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_example(name, backend):
    runner = doctest.DocTestRunner(Near(), optionflags=doctest.NORMALIZE_WHITESPACE)
    with am.use_backend(backend):
        said: list[str] = []
        result = runner.run(EXAMPLES[name], out=said.append, clear_globs=False)
    assert result.failed == 0, "".join(said)
