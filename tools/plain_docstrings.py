"""Sphinx extension: docstrings are plain text, not markup.

The library's docstrings are read in an editor far more often than in the book, and are full of formulas such as
``E|f - f*|^2``, ``z_V`` or ``sum_k C_k``: stars, bars and trailing underscores that reStructuredText would take for
emphasis, substitutions and links. They are escaped here, except where a docstring asks for markup: in ``code`` between
double backquotes, in literal blocks (after a line that ends in ``::``), in examples (``>>>``) and in roles.
"""

from __future__ import annotations

import re

# Double-backquoted code and roles such as :func:`name` are kept as they are; single backquotes name things.
_KEPT = re.compile(r"(``.+?``|:[\w:]+:`[^`]+`)")
_DIRECTIVE = re.compile(r"\s*\.\. [\w-]+::")


def escape(text: str) -> str:
    """Escape the characters of one line that reStructuredText would interpret."""
    pieces = _KEPT.split(text)
    for i in range(0, len(pieces), 2):
        pieces[i] = re.sub(r"([*|`\\])|(?<=\w)_(?!\w)", lambda found: "\\" + found[0], pieces[i])
    return "".join(pieces)


def escape_lines(lines: list[str]) -> list[str]:
    """Escape a docstring's lines, leaving literal blocks and examples alone."""
    result = []
    block = None  # indentation of the line that opened a literal block
    example = False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            example = False
            result.append(line)
            continue
        if block is not None and indent <= block:
            block = None
        example = example or line.lstrip().startswith(">>>")
        if block is None and not example:
            if line.rstrip().endswith("::"):
                block = indent
            if not _DIRECTIVE.match(line):
                line = escape(line)
        result.append(line)
    return result


def _process(app, what, name, obj, options, lines: list[str]) -> None:
    lines[:] = escape_lines(lines)


def setup(app) -> dict[str, bool]:
    # Priority below napoleon's 500: escape first, so that what napoleon makes of "Args:" stays markup.
    app.connect("autodoc-process-docstring", _process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
