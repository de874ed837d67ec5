"""No notebook of the book passes unexecuted, uncompared or undescribed; and the guards that say so can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import check_book
import make_api
import nbformat
import pytest
import refresh

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(ROOT.glob("book/*.ipynb"))

ALT = {"image": {"alt": "Loss against time: one curve, falling."}, "figure": {"caption": "The loss."}}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_executed_compared_and_described(path):
    assert check_book.notebook_complaints(path) == []


def test_every_notebook_is_in_the_table_of_contents():
    assert sorted(make_api.toc_notebooks()) == NOTEBOOKS


# ---- each guard, on a notebook that it must refuse -------------------------------------------------------------------


def complaints(path: Path) -> str:
    return "\n".join(check_book.notebook_complaints(path))


def test_a_good_notebook_is_accepted(notebook):
    path = notebook(
        notebook.markdown("# Title"),
        notebook.code("print(1)", notebook.printed("1\n")),
        notebook.code("ax.plot(t, loss)", notebook.figure(), count=2, mystnb=ALT),
        notebook.code("", count=None),
    )
    assert complaints(path) == ""


def test_refuses_an_unexecuted_cell(notebook):
    path = notebook(notebook.code("print(1)", notebook.printed("1\n")), notebook.code("print(2)", count=None))
    assert "not executed, run make refresh: code cells 2" in complaints(path)


def test_refuses_cells_executed_out_of_order(notebook):
    path = notebook(notebook.code("print(1)", notebook.printed("1\n"), count=7))
    assert "out of order (7 instead of 1)" in complaints(path)


@pytest.mark.parametrize(
    "cell",
    [
        ("x = 1", [], {}),
        ("plot()", ["figure"], {"mystnb": ALT}),
        ("x", ["object"], {}),
        ("print(1)", ["text"], {"tags": ["nbval-ignore-output"]}),
        ("# NBVAL_IGNORE_OUTPUT\nprint(1)", ["text"], {}),
        ("# NBVAL_SKIP\nprint(1)", ["text"], {}),
    ],
    ids=["silent", "figure only", "address only", "tag ignores", "comment ignores", "comment skips"],
)
def test_refuses_a_notebook_without_compared_output(notebook, cell):
    source, kinds, metadata = cell
    outputs = {
        "figure": notebook.figure(),
        "text": notebook.printed("1\n"),
        "object": {
            "output_type": "execute_result",
            "execution_count": 1,
            "data": {"text/plain": "<meanfield_sgd.Thing object at 0x7f3a>"},
            "metadata": {},
        },
    }
    path = notebook(notebook.code(source, *[outputs[kind] for kind in kinds], **metadata))
    assert "nothing that would be compared" in complaints(path)


@pytest.mark.parametrize("kind", ["text/plain", "image/png", "image/svg+xml", "application/papermill.record/image/png"])
@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({}, "without alt text"),
        ({"image": {"alt": " "}, "figure": {"caption": "The loss."}}, "without alt text"),
        ({"image": {"alt": "figure"}, "figure": {"caption": "The loss."}}, "without alt text"),
        ({"image": ALT["image"]}, "without a caption"),
    ],
)
def test_refuses_a_figure_without_alt_text_or_caption(notebook, kind, shown, expected):
    path = notebook(
        notebook.code("print(1)", notebook.printed("1\n")),
        notebook.code("plot()", notebook.figure(kind), count=2, mystnb=shown),
    )
    assert expected in complaints(path)


def test_refuses_stored_errors_and_stderr(notebook):
    error = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}
    path = notebook(notebook.code("f()", notebook.printed("1\n"), notebook.printed("careful\n", "stderr"), error))
    assert "prints to stderr" in complaints(path)
    assert "ends in ValueError" in complaints(path)


def test_accepts_an_error_that_is_announced(notebook):
    error = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}
    path = notebook(notebook.code("f()", notebook.printed("1\n"), error, tags=["raises-exception"]))
    assert complaints(path) == ""


@pytest.mark.parametrize("text", ["/home/someone/x.npz\n", "File /tmp/a.py\n", "lib/site-packages/numpy\n"])
def test_refuses_paths_of_a_machine(notebook, text):
    path = notebook(notebook.code("print(p)", notebook.printed(text)))
    assert "a path of the machine" in complaints(path)


def test_accepts_fractions_and_rates_that_look_like_paths(notebook):
    assert complaints(notebook(notebook.code("print(p)", notebook.printed("slope 1/2, loss/usr 3/tmp\n")))) == ""


# ---- nbval as `make test` runs it ------------------------------------------------------------------------------------


def nbval(path: Path) -> subprocess.CompletedProcess:
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "--confcutdir", str(path.parent)]
    settings += ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(ROOT / "tests" / "book" / "nbval.cfg")]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *settings, str(path)]
    environment = os.environ | {"PYTEST_ADDOPTS": ""}
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, env=environment)


def test_nbval_compares_text_and_passes_over_stderr_and_figures(notebook):
    cells = [
        notebook.code("print('loss 0.5')", notebook.printed("loss 0.5\n")),
        notebook.code("import sys\nprint('careful', file=sys.stderr)", count=2),
        notebook.code(
            "import matplotlib.pyplot as plt\nplt.plot([0, 1])\nplt.show()", notebook.figure(), count=3, mystnb=ALT
        ),
        notebook.code("object()", {
            "output_type": "execute_result", "execution_count": 4, "metadata": {},
            "data": {"text/plain": "<object at 0x7fdeadbeef10>"}}, count=4),
    ]  # fmt: skip
    path = notebook(*cells)
    (path.parent / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    good = nbval(path)
    assert good.returncode == 0, good.stdout

    cells[0]["outputs"][0]["text"] = "loss 0.6\n"
    bad = nbval(notebook(*cells))
    assert bad.returncode == 1
    assert "1 failed, 3 passed" in bad.stdout


# ---- `make refresh` --------------------------------------------------------------------------------------------------


def test_refresh_makes_a_notebook_that_the_guards_accept_and_does_so_again(notebook):
    path = notebook(
        notebook.markdown("# Title"),
        notebook.code("print(6 * 7)", count=None, execution={"iopub.execute_input": "2026-01-01"}),
        notebook.code("import matplotlib.pyplot as plt\nplt.plot([0, 1])\nplt.show()", count=None, mystnb=ALT),
    )
    assert refresh.main([str(path)]) == 0
    first = path.read_bytes()
    assert complaints(path) == ""
    stored = nbformat.read(path, as_version=4)
    assert stored.cells[1].outputs[0].text == "42\n"
    assert list(stored.cells[2].outputs[0].data) == ["text/plain"], "figures are left out"
    assert stored.cells[1].metadata == {} and "version" not in stored.metadata.language_info

    assert refresh.main([str(path)]) == 0
    assert path.read_bytes() == first


def test_refresh_leaves_a_notebook_alone_when_a_cell_fails(notebook, capsys):
    path = notebook(notebook.code("print(1)", count=None), notebook.code("1 / 0", count=None))
    before = path.read_bytes()
    assert refresh.main([str(path)]) == 1
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().err
