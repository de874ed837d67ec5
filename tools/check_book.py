"""Read the book's sources and built pages for what a reader would trip over, and say it in one line each.

    python tools/check_book.py              every page source, and the built pages if there are any
    python tools/check_book.py FILE ...     these sources

A notebook is refused if a cell was not executed or not in order, if nothing that it prints would be compared with a
stored output, if a figure has no alt text or caption, or if an output holds an error, a warning or a path of the
machine it ran on. Any source is refused for a heading jump, an image without alt text or a dead link to a neighbour.
"""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
SHORTEST_ALT = 20  # characters; less than that names a figure and does not describe it

_NOT_COMPARED = {"nbval-ignore-output", "nbval-skip", "NBVAL_IGNORE_OUTPUT", "NBVAL_SKIP"}
_FIGURE = re.compile(r"<(Figure|Axes|.* object at 0x)")
_MACHINE = re.compile(r"(?<![\w.])/(home|root|tmp|usr|opt|Users|var|private|work)/|site-packages|[A-Z]:\\Users")


def text_of(value: str | list[str]) -> str:
    """A notebook's multi-line strings are stored as lists of lines."""
    return value if isinstance(value, str) else "".join(value)


def read_notebook(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def markdown_of(path: Path) -> str:
    """The prose of a page: a Markdown file itself, or the Markdown cells of a notebook."""
    if path.suffix != ".ipynb":
        text = path.read_text(encoding="utf-8")
        return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    return "\n\n".join(text_of(cell["source"]) for cell in read_notebook(path) if cell["cell_type"] == "markdown")


# ---- notebooks ---------------------------------------------------------------------------------------------------


def is_compared(cell: dict) -> bool:
    tags = set(cell["metadata"].get("tags", []))
    comments = set(re.findall(r"#\s*(NBVAL_\w+)", text_of(cell["source"])))
    return not _NOT_COMPARED & (tags | comments)


def output_texts(cell: dict) -> list[str]:
    """What a cell printed or showed as text, apart from the stand-in that a figure leaves."""
    texts = []
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            texts.append(text_of(output["text"]) if output["name"] == "stdout" else "")
        else:
            texts += [text_of(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return [text for text in texts if text.strip() and not _FIGURE.match(text.strip())]


def shows_figure(cell: dict) -> bool:
    """Images may be left out of a stored notebook; the text that stands for a figure is not."""
    for output in cell["outputs"]:
        for kind, value in output.get("data", {}).items():
            if "image/" in kind or (kind == "text/plain" and text_of(value).startswith("<Figure")):
                return True
    return False


def notebook_complaints(path: Path) -> list[str]:
    """Everything that is wrong with a notebook as stored."""
    complaints = []
    compared = False
    unexecuted = []
    code = [cell for cell in read_notebook(path) if cell["cell_type"] == "code" and text_of(cell["source"]).strip()]
    for number, cell in enumerate(code, start=1):
        where = f"{path.name}, code cell {number}"
        if cell.get("execution_count") is None:
            unexecuted.append(str(number))
        elif cell["execution_count"] != number:
            complaints.append(f"{where}: executed out of order ({cell['execution_count']} instead of {number})")
        for output in cell["outputs"]:
            if output["output_type"] == "error" and "raises-exception" not in cell["metadata"].get("tags", []):
                complaints.append(f"{where}: ends in {output.get('ename', 'an error')}")
            if output.get("name") == "stderr":
                complaints.append(f"{where}: prints to stderr, which nothing compares")
        texts = output_texts(cell)
        compared = compared or bool(texts and is_compared(cell))
        if any(_MACHINE.search(text) for text in texts):
            complaints.append(f"{where}: its output holds a path of the machine that it ran on")
        if shows_figure(cell):
            shown = cell["metadata"].get("mystnb", {})
            if len(shown.get("image", {}).get("alt", "").strip()) < SHORTEST_ALT:
                complaints.append(f"{where}: a figure without alt text (metadata mystnb.image.alt)")
            if not shown.get("figure", {}).get("caption", "").strip():
                complaints.append(f"{where}: a figure without a caption (metadata mystnb.figure.caption)")
    if unexecuted:
        complaints.insert(0, f"{path.name}: not executed, run make refresh: code cells {', '.join(unexecuted)}")
    if not code:
        complaints.append(f"{path.name}: has no code; make it a Markdown page")
    elif not compared:
        complaints.append(f"{path.name}: prints nothing that would be compared with its stored output")
    return complaints


# ---- prose ---------------------------------------------------------------------------------------------------------


def heading_complaints(path: Path) -> list[str]:
    """One level-one heading, first; after it no level is left out on the way down."""
    complaints = []
    previous = 0
    tokens = MarkdownIt().parse(markdown_of(path))
    headings = [
        (int(token.tag[1]), tokens[i + 1].content) for i, token in enumerate(tokens) if token.type == "heading_open"
    ]
    for level, text in headings:
        if level == 1 and previous:
            complaints.append(f"{path.name}: a second level-one heading, {text!r}")
        elif level > previous + 1:
            complaints.append(f"{path.name}: heading {text!r} jumps from level {previous} to {level}")
        previous = level
    if not headings:
        complaints.append(f"{path.name}: has no heading")
    return complaints


def image_complaints(path: Path) -> list[str]:
    """Images in prose: Markdown, HTML, and the directives figure and image."""
    text = markdown_of(path)
    complaints = [
        f"{path.name}: an image without alt text, {found}" for found in re.findall(r"!\[\s*\]\([^)]*\)", text)
    ]
    for found in re.findall(r"<img\b[^>]*>", text):
        if not re.search(r"""\balt=["']\s*[^\s"']""", found):
            complaints.append(f"{path.name}: an image without alt text, {found}")
    for name, body in re.findall(r"(?:`{3,}|:{3,})\{(figure|image)\}([^`]*?)(?:`{3,}|\n:{3,})", text):
        if not re.search(r"^:alt:\s*\S", body, re.MULTILINE):
            complaints.append(f"{path.name}: a {name} directive without :alt:, {body.splitlines()[0].strip()}")
    return complaints


def slug(heading: str) -> str:
    """The anchor that GitHub and MyST give to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@cache
def source_anchors(path: Path) -> frozenset[str]:
    text = markdown_of(path)
    tokens = MarkdownIt().parse(text)
    slugs = {slug(tokens[i + 1].content) for i, token in enumerate(tokens) if token.type == "heading_open"}
    return frozenset(slugs | set(re.findall(r"^\((.+?)\)=$", text, re.MULTILINE)))


def link_complaints(path: Path) -> list[str]:
    """Links from prose to a file or anchor that is not there."""
    complaints = []
    for block in MarkdownIt("commonmark").enable("table").parse(markdown_of(path)):
        for token in block.children or []:
            target = token.attrGet("href") if token.type == "link_open" else token.attrGet("src")
            if not target:
                continue
            parts = urlsplit(str(target))
            if parts.scheme or parts.netloc:
                continue
            if not parts.path and path.parent.name == "book":
                continue  # such a target may stand on any page of the book: the build refuses what it cannot resolve
            file = path.parent / unquote(parts.path) if parts.path else path
            if not file.exists():
                complaints.append(f"{path.name}: a dead link, {target}")
            elif parts.fragment and file.suffix in {".md", ".ipynb"} and parts.fragment not in source_anchors(file):
                complaints.append(f"{path.name}: a link to an anchor that is not there, {target}")
    return complaints


def source_complaints(path: Path) -> list[str]:
    found = heading_complaints(path) + image_complaints(path) + link_complaints(path)
    return found + (notebook_complaints(path) if path.suffix == ".ipynb" else [])


def sources(root: Path = ROOT) -> list[Path]:
    """Every page source of the book, and the documents at the top of the repository."""
    return sorted([*root.glob("book/*.md"), *root.glob("book/*.ipynb"), *root.glob("*.md")])


# ---- built pages ---------------------------------------------------------------------------------------------------


@cache
def read_page(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def page_anchors(path: Path) -> frozenset[str]:
    found = read_page(path).find_all(lambda tag: tag.has_attr("id") or (tag.name == "a" and tag.has_attr("name")))
    return frozenset(tag.get("id") or tag.get("name") for tag in found)


def page_complaints(path: Path, top: Path) -> list[str]:
    """Dead internal links and images without alt text in one built page below ``top``."""
    complaints = []
    page = read_page(path)
    for tag in page.find_all(["a", "link", "img", "script", "source"]):
        target = tag.get("href") or tag.get("src") or ""
        parts = urlsplit(target)
        if not target or parts.scheme or parts.netloc:
            continue
        if parts.path.startswith("/"):
            complaints.append(f"{path.relative_to(top)}: {target} works only where the book is the top of its server")
            continue
        file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        file = file / "index.html" if file.is_dir() else file
        if not file.exists() or not file.is_relative_to(top):
            complaints.append(f"{path.relative_to(top)}: a dead link, {target}")
        elif parts.fragment and file.suffix == ".html" and unquote(parts.fragment) not in page_anchors(file):
            complaints.append(f"{path.relative_to(top)}: a link to an anchor that is not there, {target}")
    for image in page.find_all("img"):
        alt = (image.get("alt") or "").strip()
        # Sphinx fills in the file's name where the source gives no alt text.
        if not alt or "_images/" in alt or re.fullmatch(r"\S+\.(png|svg|jpe?g|gif|webp)", alt):
            complaints.append(f"{path.relative_to(top)}: an image without alt text, {image.get('src')}")
    return complaints


def built_complaints(top: Path) -> list[str]:
    top = top.resolve()
    pages = sorted(path for path in top.rglob("*.html") if "_static" not in path.relative_to(top).parts)
    return [complaint for path in pages for complaint in page_complaints(path, top)]


def main(arguments: list[str]) -> int:
    chosen = [Path(argument) for argument in arguments] or sources()
    complaints = [text for path in chosen for text in source_complaints(path)]
    if not arguments and (built := ROOT / "_build" / "html").exists():
        complaints += built_complaints(built)
    print("\n".join(complaints) or "Nothing to complain about")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
