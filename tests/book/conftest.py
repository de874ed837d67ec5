"""Fixtures of the tests of the book itself: the built pages, and small notebooks to feed to the guards."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"


@pytest.fixture(scope="session")
def absent():
    """A function that skips where something optional is missing; where CI runs, nothing is optional."""

    def absent(reason: str) -> None:
        if os.environ.get("CI"):
            pytest.fail(f"{reason} (a skip elsewhere, a failure in CI)")
        pytest.skip(reason)

    return absent


@pytest.fixture(scope="session")
def built(absent) -> Path:
    """The folder of the built pages, of the present sources."""
    from build_book import source_key

    key = HTML.parent / "source.key"
    if not (HTML / "index.html").exists() or not key.exists():
        absent("the book is not built: run make book first")
    if key.read_text() != source_key(ROOT):
        absent("the built book is older than its sources: run make book first")
    return HTML


def markdown(text: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(source: str, *outputs: dict, count: int | None = 1, **metadata) -> dict:
    return {
        "cell_type": "code",
        "metadata": metadata,
        "source": source,
        "execution_count": count,
        "outputs": list(outputs),
    }


def printed(text: str, name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": text}


def figure(kind: str = "text/plain") -> dict:
    return {
        "output_type": "display_data",
        "data": {kind: "<Figure size 640x480 with 1 Axes>" if kind == "text/plain" else "iVBORw0KGgo="},
        "metadata": {},
    }


@pytest.fixture
def notebook(tmp_path):
    """Write cells to a notebook and return its path."""

    def write(*cells: dict, name: str = "page.ipynb") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        path.write_text(json.dumps({"cells": list(cells), "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}))
        return path

    write.markdown, write.code, write.printed, write.figure = markdown, code, printed, figure
    return write
