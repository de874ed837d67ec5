"""What pytest needs to know about notebooks: what nbval does not compare, and which cells it cannot run without images."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

# Images beside the checkout, if they are there and nothing else is said; by an absolute path, since notebooks run in book/.
_IMAGES = Path(__file__).resolve().parents[1] / "shared" / "data" / "fashion-mnist"
if _IMAGES.is_dir():
    os.environ.setdefault("FASHION_MNIST_DIR", str(_IMAGES))


def pytest_collectstart(collector) -> None:
    # nbval's collector of one notebook. Warnings go to stderr and carry paths; a figure is bytes that depend on fonts.
    # A notebook may not store stderr at all (tools/check_book.py), and the build fails where a cell writes to it.
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "image/svg+xml", "application/papermill.record/image/png")


def pytest_runtest_setup(item) -> None:
    # nbval's item is one code cell. Where neither files nor a network are, a tagged cell shows other images than the
    # stored ones: it is skipped, and pytest says why. Damaged files are no reason to skip: the cell runs, and fails.
    cell = getattr(item, "cell", None)
    if cell is not None and "needs-fashion-mnist" in cell.metadata.get("tags", []) and (reason := _why_absent()):
        pytest.skip(reason)


@cache
def _why_absent() -> str | None:
    from meanfield_sgd.neighbours.images import why_absent

    return why_absent()
