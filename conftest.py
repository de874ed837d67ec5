"""What pytest needs to know about notebooks: which parts of a stored output nbval does not compare."""

from __future__ import annotations


def pytest_collectstart(collector) -> None:
    # nbval's collector of one notebook. Warnings go to stderr and carry paths; a figure is bytes that depend on fonts.
    # A notebook may not store stderr at all (tools/check_book.py), and the build fails where a cell writes to it.
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "image/svg+xml", "application/papermill.record/image/png")
