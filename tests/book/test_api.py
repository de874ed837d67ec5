"""book/api.md is current, every public name has a docstring and a chapter; and the guards can fail."""

from __future__ import annotations

import inspect

import make_api
import plain_docstrings
import pytest

NAMES = make_api.public_names()
TAUGHT = make_api.teachers(NAMES, make_api.toc_notebooks())


def test_page_is_current():
    written = (make_api.ROOT / "book" / "api.md").read_text(encoding="utf-8")
    assert written == make_api.page(NAMES, TAUGHT), "book/api.md is stale: run make api"


def test_every_public_name_is_used_by_a_chapter():
    assert make_api.untaught(TAUGHT, NAMES) == []


@pytest.mark.parametrize("path", make_api.toc_notebooks(), ids=lambda path: path.name)
def test_chapters_use_public_names_only(path):
    assert make_api.private(make_api.used_names(path), NAMES) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_docstring(name):
    assert len(inspect.getdoc(NAMES[name]) or "") > 20


# ---- the guards ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import meanfield_sgd as mf\nmf.Polynomial('z1')", {"meanfield_sgd.Polynomial"}),
        ("import meanfield_sgd\nmeanfield_sgd.Activation", {"meanfield_sgd.Activation"}),
        ("from meanfield_sgd import Polynomial as P\nP('z1')", {"meanfield_sgd.Polynomial"}),
        ("from meanfield_sgd import Polynomial", set()),
        ("import meanfield_sgd as mf\nmf.simulate.sgd(h)", {"meanfield_sgd.simulate", "meanfield_sgd.simulate.sgd"}),
        ("from meanfield_sgd import simulate\nsimulate.sgd", {"meanfield_sgd.simulate", "meanfield_sgd.simulate.sgd"}),
        ("from meanfield_sgd.simulate import sgd\nsgd", {"meanfield_sgd.simulate.sgd"}),
        (
            "import meanfield_sgd as mf\nmf.decide('z1')",
            {"meanfield_sgd.decide", "meanfield_sgd.decide.decide"},
        ),
        ("import numpy as mf\nmf.Polynomial", set()),
        ("%matplotlib inline\n# mf.Polynomial\n'mf.Polynomial'", set()),
    ],
)
def test_uses_are_found_in_code_and_only_there(notebook, source, used):
    path = notebook(notebook.markdown("# Title\n\n`mf.Polynomial`"), notebook.code(source))
    assert make_api.used_names(path) - {"meanfield_sgd"} == used


def test_refuses_a_name_that_no_chapter_uses(notebook):
    class Result:
        pass

    class Failure(Exception):
        pass

    def taught() -> Result: ...

    def untaught(): ...

    names = {f"meanfield_sgd.{value.__name__}": value for value in (taught, untaught, Result, Failure)}
    path = notebook(notebook.markdown("# Title"), notebook.code("import meanfield_sgd as mf\nmf.taught()"))
    found = make_api.teachers(names, [path])
    assert make_api.untaught(found, names) == ["meanfield_sgd.untaught"]
    assert found["meanfield_sgd.Result"] == [path], "what a used function is annotated to return counts as used"


def test_what_an_attribute_of_a_used_class_holds_counts_as_used(notebook):
    class Part:
        pass

    class Whole:
        parts: tuple[Part, ...]

    def taught() -> Whole: ...

    names = {f"meanfield_sgd.{value.__name__}": value for value in (taught, Part, Whole)}
    path = notebook(notebook.markdown("# Title"), notebook.code("import meanfield_sgd as mf\nmf.taught()"))
    assert make_api.untaught(make_api.teachers(names, [path]), names) == []


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("mf.Polynomial('z1').degree; mf.simulate.sgd(h).times; mf.__version__", []),
        ("mf.polynomial.Polynomial", ["meanfield_sgd.polynomial"]),
        ("mf.simulate.hidden", ["meanfield_sgd.simulate.hidden"]),
        ("mf.Polynomial._terms", ["meanfield_sgd.Polynomial._terms"]),
    ],
)
def test_refuses_a_chapter_that_uses_what_is_not_public(notebook, source, private):
    path = notebook(notebook.code(f"import meanfield_sgd as mf\n{source}"))
    assert make_api.private(make_api.used_names(path), NAMES) == private


def test_page_changes_with_what_it_is_made_from(notebook):
    names = {"meanfield_sgd.Polynomial": NAMES["meanfield_sgd.Polynomial"]}
    path = notebook(notebook.markdown("# A chapter"), notebook.code("1"), name="chapter.ipynb")
    text = make_api.page(names, {"meanfield_sgd.Polynomial": [path]})
    assert "Taught in: [A chapter](chapter.ipynb)." in text
    assert text != make_api.page(names, {"meanfield_sgd.Polynomial": []})


# ---- docstrings as plain text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "escaped"),
    [
        ("E|f - f*|^2", r"E\|f - f\*\|^2"),
        ("the part w_ of w_V", r"the part w\_ of w_V"),
        ("``|a| * b_`` and a*b", r"``|a| * b_`` and a\*b"),
        ("see :func:`sgd` for *args", r"see :func:`sgd` for \*args"),
        ("a 'quoted' `name`", r"a 'quoted' \`name\`"),
    ],
)
def test_formulas_in_docstrings_are_not_markup(line, escaped):
    assert plain_docstrings.escape(line) == escaped


def test_literal_blocks_and_examples_are_left_alone():
    lines = ["f* is::", "", "    E|f*|", "", "and |f|", ">>> a * b", "2 * x", "", "c*d"]
    expected = ["f\\* is::", "", "    E|f*|", "", "and \\|f\\|", ">>> a * b", "2 * x", "", "c\\*d"]
    assert plain_docstrings.escape_lines(lines) == expected


def test_a_role_may_run_over_the_end_of_a_line():
    assert plain_docstrings.escape_lines(["a* :math:`x*", "y*` b*"]) == ["a\\* :math:`x*", "y*` b\\*"]


def test_raises_sections_may_be_sentences_and_paragraphs_end_a_section():
    lines = """Does.

Parameters
----------
x : a

y, z : b

Raises
------
InputError for a bad
shape.
ToleranceError, where it
    fails.

Source: here."""
    assert plain_docstrings.numpy_style(lines.splitlines())[8:] == [
        *("Raises", "------"),
        *("InputError", "    for a bad", "    shape."),
        *("ToleranceError", "    where it", "    fails."),
        *("", "", "Source: here."),
    ]
