"""Sphinx extension: docstrings are plain text with formulas, not markup.

The library's docstrings are read in an editor far more often than in the book, and are full of formulas such as
``E|f - f*|^2``, ``z_V`` or ``sum_k C_k``: stars, bars and trailing underscores that reStructuredText would take for
emphasis, substitutions and links. They are escaped here, except where a docstring asks for markup: in ``code`` between
double backquotes, in roles such as :math:`x^2`, below a line that ends in ``::`` and in examples (``>>>``).

"Raises" sections are written as sentences, "InputError for a shape that does not fit."; numpy's style, which napoleon
reads, wants the sentence on a line of its own. A plain paragraph after a section ends it.
"""

from __future__ import annotations

import re

# Double-backquoted code and roles are kept as they are, also where they run over a line's end.
_KEPT = re.compile(r"(``.+?``|:[\w:]+:`[^`]+`)", re.DOTALL)
_DIRECTIVE = re.compile(r"\s*\.\. [\w-]+::")
_RAISED = re.compile(r"([A-Z]\w*(?:Error|Interrupt|Interrupted|Warning)),? +(?=\S)")
_ENTRY = re.compile(rf"{_RAISED.pattern}|[\w, *]+ : ")
_UNDERLINE = re.compile(r"-{3,}\s*")


def escape(text: str) -> str:
    """Escape the characters that reStructuredText would interpret."""
    pieces = _KEPT.split(text)
    for i in range(0, len(pieces), 2):
        pieces[i] = re.sub(r"([*|`\\])|(?<=\w)_(?!\w)", lambda found: "\\" + found[0], pieces[i])
    return "".join(pieces)


def escape_lines(lines: list[str]) -> list[str]:
    """Escape a docstring's lines, leaving literal blocks and examples alone."""
    result, prose = [], []
    block = None  # indentation of the line that opened a literal block

    def flush() -> None:
        result.extend(escape("\n".join(prose)).splitlines())
        prose.clear()

    example = False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        blank = not line.strip()
        if not blank and block is not None and indent <= block:
            block = None
        example = not blank and (example or line.lstrip().startswith(">>>"))
        if blank or example or block is not None or _DIRECTIVE.match(line):
            flush()
            result.append(line)
        else:
            prose.append(line)
        if block is None and not example and line.rstrip().endswith("::"):
            block = indent
    flush()
    return result


def numpy_style(lines: list[str]) -> list[str]:
    """Put the sentences of "Raises" below the names of the errors, and let plain paragraphs end a section."""
    result = []
    section = None
    for i, line in enumerate(lines):
        after = lines[i + 1] if i + 1 < len(lines) else ""
        if _UNDERLINE.fullmatch(after):
            section = line.strip()
        elif section and not line.strip() and after.strip() and not after.startswith(" "):
            header = i + 2 < len(lines) and _UNDERLINE.fullmatch(lines[i + 2])
            if not header and not _ENTRY.match(after):
                section = None
                result.append("")  # two blank lines end a section
        elif section == "Raises" and line.strip() and not line.startswith(" ") and not _UNDERLINE.fullmatch(line):
            if found := _RAISED.match(line):
                result.append(found[1])
                line = line[found.end() :]
            if not re.fullmatch(r"\w+", line):  # a name alone is in numpy's style already
                line = "    " + line
        result.append(line)
    return result


def _process(app, what, name, obj, options, lines: list[str]) -> None:
    lines[:] = escape_lines(numpy_style(lines))


def setup(app) -> dict[str, bool]:
    # Priority below napoleon's 500: escape first, so that what napoleon makes of the sections stays markup.
    app.connect("autodoc-process-docstring", _process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
