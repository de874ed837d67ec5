"""tools/build_book.py: an edit of the library reaches the pages, a warning fails every build, stale pages go."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import build_book
import pytest

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
title: Mini
only_build_toc_files: true
exclude_patterns: [lib]
repository: {url: ""}
execute: {execute_notebooks: cache, stderr_output: remove-warn}
"""
TOC = "format: jb-book\nroot: book/intro\nchapters: [{file: book/page}]\n"


@pytest.fixture
def mini(tmp_path, notebook) -> Path:
    """A book of two pages that prints a constant of its own copy of the library, and counts its executions."""
    shutil.copytree(ROOT / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "requirements.lock").write_text("numpy==2.0\n")
    count = f"open({str(tmp_path / 'executions')!r}, 'a').write('x')"
    notebook(
        notebook.markdown("# Page"),
        notebook.code(f"import meanfield_sgd as mf\n{count};\nprint('version is', mf.__version__)", count=None),
        name="book/page.ipynb",
    )
    (tmp_path / "book" / "intro.md").write_text("# Intro\n\nWords.\n")
    return tmp_path


def build(root: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tools" / "build_book.py"), str(root)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})


def page(root: Path) -> str:
    return (root / "_build" / "html" / "book" / "page.html").read_text()


def executions(root: Path) -> int:
    return len((root / "executions").read_text())


def test_an_edit_of_the_library_or_of_a_pin_reaches_the_page(mini):
    first = build(mini)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.splitlines()[-1].endswith(f"open {mini}/_build/html/index.html")
    assert "version is 0.1.0" in page(mini)

    assert build(mini).returncode == 0
    assert executions(mini) == 1, "an unchanged notebook is executed once"

    module = mini / "lib" / "meanfield_sgd" / "__init__.py"
    module.write_text(module.read_text().replace('"0.1.0"', '"9.8.7"'))
    assert build(mini).returncode == 0
    assert "version is 9.8.7" in page(mini)
    assert executions(mini) == 2

    (mini / "requirements.lock").write_text("numpy==2.1\n")
    assert build(mini).returncode == 0
    assert executions(mini) == 3


def test_a_warning_fails_the_build_every_time_and_says_why(mini):
    intro = mini / "book" / "intro.md"
    intro.write_text("# Intro\n\n[nowhere](missing.md)\n")
    for _ in range(2):  # Sphinx alone is silent about an unchanged page the second time
        run = build(mini)
        assert run.returncode != 0
        assert "missing.md" in run.stderr
        assert run.stderr.rstrip().splitlines()[-1].startswith("error: the book was not built")
        assert not (mini / "_build" / "source.key").exists()
    intro.write_text("# Intro\n\nMended.\n")
    assert build(mini).returncode == 0


@pytest.mark.parametrize("source", ["1 / 0", "import sys; print('careful', file=sys.stderr)"])
def test_a_failing_or_warning_cell_fails_the_build(mini, source):
    path = mini / "book" / "page.ipynb"
    content = json.loads(path.read_text())
    content["cells"][1]["source"] = source
    path.write_text(json.dumps(content))
    run = build(mini)
    assert run.returncode != 0
    assert ("ZeroDivisionError" if "/" in source.split(",")[0] else "stderr") in run.stderr


def test_a_page_that_left_the_book_leaves_the_build(mini):
    assert build(mini).returncode == 0
    (mini / "book" / "page.ipynb").unlink()
    (mini / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    assert build(mini).returncode == 0
    assert not (mini / "_build" / "html" / "book" / "page.html").exists()


def test_keys_follow_what_they_stand_for(mini):
    execution, source = build_book.execution_key(mini), build_book.source_key(mini)
    (mini / "lib" / "meanfield_sgd" / "__pycache__").mkdir()
    (mini / "lib" / "meanfield_sgd" / "__pycache__" / "x.pyc").write_text("generated")
    assert build_book.execution_key(mini) == execution

    (mini / "book" / "intro.md").write_text("# Other\n")
    assert build_book.execution_key(mini) == execution, "prose asks for no new execution"
    assert build_book.source_key(mini) != source

    module = mini / "lib" / "meanfield_sgd" / "errors.py"
    module.rename(module.with_name("other.py"))
    assert build_book.execution_key(mini) != execution, "a renamed module is another library"


def test_notebooks_are_executed_side_by_side_and_handed_to_sphinx(tmp_path, notebook):
    """Each waits for the file that the other one writes: one after the other neither would finish."""
    pages = []
    for own, other in (("a", "b"), ("b", "a")):
        wait = f"import pathlib, time\npathlib.Path({own!r}).touch()\nfor _ in range(200):\n    time.sleep(0.1)\n"
        wait += f"    if pathlib.Path({other!r}).exists():\n        break\nelse:\n    raise TimeoutError"
        pages.append(notebook(notebook.code(wait, count=None), name=f"book/{own}.ipynb"))
    pages.append(notebook(notebook.code("1/0", count=None), name="book/bad.ipynb"))
    command = [sys.executable, str(ROOT / "tools" / "execute_notebooks.py"), str(tmp_path / "cache"), *map(str, pages)]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"JOBS": "3"})
    assert run.returncode == 0, run.stderr
    assert sorted(line.split(":")[0] for line in run.stdout.splitlines()) == ["a.ipynb", "b.ipynb"]
    again = subprocess.run(command[:-1], capture_output=True, text=True, env=os.environ | {"JOBS": "1"})
    assert again.returncode == 0 and again.stdout == "", "what the cache has is not executed again"
