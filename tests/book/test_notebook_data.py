"""Cells that show real images: compared where the images are, skipped with a reason where they cannot be had."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import build_book
import check_book
import pytest
import refresh

ROOT = Path(__file__).resolve().parents[2]
TAG = {"tags": ["needs-fashion-mnist"]}
SHOW = "import os\nprint(len(os.listdir(os.environ['FASHION_MNIST_DIR'])), 'files')"


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder with ten black images."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">IIII", 2051, 10, 28, 28) + bytes(7840))
    )
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(struct.pack(">II", 2049, 10) + bytes(range(10))))
    return folder


@pytest.fixture
def page(notebook):
    """A notebook in a checkout of its own, with nothing beside it: one cell as it should be, then one that is not."""
    path = notebook(
        notebook.code("print(1)", notebook.printed("1\n")),
        notebook.code(SHOW, notebook.printed("2 files\n"), count=2, **TAG),
        notebook.code(SHOW, notebook.printed("other files\n"), count=3, **TAG),
        notebook.code("print(4)", notebook.printed("4\n"), count=4),
        name="checkout/page.ipynb",
    )
    shutil.copy(ROOT / "conftest.py", path.parent)
    return path


def nbval(path: Path) -> subprocess.CompletedProcess:
    """nbval as `make test` runs it, with an empty cache and without a network."""
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "--confcutdir", str(path.parent)]
    settings += ["-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    environment = {name: value for name, value in os.environ.items() if name != "FASHION_MNIST_DIR"}
    environment |= {"PYTEST_ADDOPTS": "", "XDG_CACHE_HOME": str(path.parent / "cache"), "MEANFIELD_SGD_OFFLINE": "1"}
    command = [sys.executable, "-m", "pytest", *settings, str(path)]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, env=environment)


def test_skipped_with_a_reason_where_images_cannot_be_had(page):
    run = nbval(page)
    assert run.returncode == 0, run.stdout
    assert "2 passed, 2 skipped" in run.stdout
    (reason,) = [line for line in run.stdout.splitlines() if line.startswith("SKIPPED")]
    assert "Fashion-MNIST is not here: it is not in the cache, and MEANFIELD_SGD_OFFLINE is set" in reason
    assert "set FASHION_MNIST_DIR" in reason


def test_compared_where_images_are_beside_the_checkout(page, images):
    beside = page.parents[1] / "shared" / "data" / "fashion-mnist"
    beside.parent.mkdir(parents=True)
    images.rename(beside)
    run = nbval(page)
    assert run.returncode == 1 and "1 failed, 3 passed" in run.stdout, run.stdout
    assert "other files" in run.stdout and "skipped" not in run.stdout


# ---- the tools -------------------------------------------------------------------------------------------------------


def test_a_tagged_cell_counts_as_compared(notebook):
    path = notebook(notebook.code(SHOW, notebook.printed("2 files\n"), **TAG))
    assert check_book.notebook_complaints(path) == []


def test_refresh_stores_nothing_in_place_of_the_images(page, images, tmp_path, monkeypatch, capsys):
    before = page.read_bytes()
    monkeypatch.setenv("FASHION_MNIST_DIR", "")
    monkeypatch.setenv("MEANFIELD_SGD_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert refresh.main([str(page)]) == 1
    assert page.read_bytes() == before
    assert "was left as it was, it shows real images: Fashion-MNIST is not here" in capsys.readouterr().err

    class Client:
        def __init__(self, *arguments, **keywords):
            pass

        execute = staticmethod(lambda: None)

    monkeypatch.setattr(refresh, "NotebookClient", Client)
    monkeypatch.setenv("FASHION_MNIST_DIR", str(images))
    assert refresh.main([str(page)]) == 0
    assert capsys.readouterr().err == ""


def test_the_build_looks_beside_the_checkout(tmp_path):
    root = tmp_path / "checkout"
    assert build_book.images_beside(root) == {}
    folder = tmp_path / "shared" / "data" / "fashion-mnist"
    folder.mkdir(parents=True)
    assert build_book.images_beside(root) == {"FASHION_MNIST_DIR": str(folder)}


@pytest.mark.parametrize("said", [None, "/elsewhere"])
def test_make_looks_beside_the_checkout(tmp_path, said):
    root = tmp_path / "checkout"
    root.mkdir()
    shutil.copy(ROOT / "Makefile", root)
    (root / "more.mk").write_text('include Makefile\nshow:\n\t@echo "[$$FASHION_MNIST_DIR]"\n')
    environment = {name: value for name, value in os.environ.items() if name != "FASHION_MNIST_DIR"}
    environment |= {"FASHION_MNIST_DIR": said} if said else {}

    def shown() -> str:
        command = ["make", "-s", "-f", "more.mk", "show"]
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout

    assert shown() == f"[{said or ''}]\n"
    folder = tmp_path / "shared" / "data" / "fashion-mnist"
    folder.mkdir(parents=True)
    assert shown() == f"[{said or folder}]\n"
