"""Headings, images and links of the book, in its sources and in its built pages; and the guards can fail."""

from __future__ import annotations

from pathlib import Path

import check_book
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", check_book.sources(), ids=lambda path: path.name)
def test_source_has_sound_headings_images_and_links(path):
    assert check_book.heading_complaints(path) == []
    assert check_book.image_complaints(path) == []
    assert check_book.link_complaints(path) == []


def test_built_pages_have_no_dead_internal_links_and_no_image_without_alt_text(built):
    assert check_book.built_complaints(built) == []


def test_every_page_is_built_and_none_loads_anything_from_elsewhere(built):
    """Nor does one link to the repository of another book, as the defaults of jupyter-book do."""
    wanted = {path.stem for path in check_book.sources() if path.parent.name == "book"}
    assert {path.stem for path in built.glob("book/*.html")} == wanted
    for path in built.glob("book/*.html"):
        page = check_book.read_page(path)
        loaded = [tag.get("src") or tag.get("href") for tag in page.find_all(["script", "link", "img", "iframe"])]
        assert [target for target in loaded if target and target.startswith(("http:", "https:", "//"))] == []
        assert not page.find("a", href=lambda target: target and "executablebooks" in target)


# ---- each guard, on a page that it must refuse -----------------------------------------------------------------------


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "page.md") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        check_book.source_anchors.cache_clear()
        check_book.read_page.cache_clear()
        check_book.page_anchors.cache_clear()
        return path

    return write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A\n\n### B", "jumps from level 1 to 3"),
        ("## A", "jumps from level 0 to 2"),
        ("# A\n\n# B", "a second level-one heading"),
        ("text only", "has no heading"),
        ("# A\n\n## B\n\n#### C", "jumps from level 2 to 4"),
    ],
)
def test_refuses_heading_jumps(write, text, expected):
    assert expected in "".join(check_book.heading_complaints(write(text)))


def test_accepts_headings_that_go_up_freely_and_comments_in_code(write):
    text = "---\nkey: value\n---\n# A\n\n## B\n\n### C\n\n## D\n\n```python\n#### not a heading\n```\n"
    assert check_book.heading_complaints(write(text)) == []


def test_refuses_a_heading_jump_between_the_cells_of_a_notebook(notebook):
    path = notebook(notebook.markdown("# A"), notebook.code("x"), notebook.markdown("### B"))
    assert "jumps from level 1 to 3" in "".join(check_book.heading_complaints(path))


@pytest.mark.parametrize(
    "text",
    [
        "![](picture.png)",
        '<img src="picture.png">',
        '<img src="picture.png" alt="">',
        "```{figure} picture.png\n:name: x\n\nCaption.\n```",
        ":::{image} picture.png\n:width: 50%\n:::",
    ],
)
def test_refuses_an_image_without_alt_text(write, text):
    assert "without" in "".join(check_book.image_complaints(write(text)))


@pytest.mark.parametrize(
    "text",
    [
        "![A falling curve](picture.png)",
        '<img alt="A falling curve" src="picture.png">',
        "```{figure} picture.png\n:alt: A falling curve\n\nCaption.\n```",
    ],
)
def test_accepts_an_image_with_alt_text(write, text):
    assert check_book.image_complaints(write(text)) == []


def test_refuses_dead_links_in_sources(write):
    write("# Here it is\n\n(a-label)=\n## Second part\n", "other.md")
    good = (
        "[a](other.md) [b](other.md#second-part) [c](other.md#a-label) [d](#self) [e](https://example.org/x)\n\n# Self"
    )
    assert check_book.link_complaints(write(good)) == []
    bad = "- [a](missing.md)\n\n| x |\n|---|\n| [b](other.md#nowhere) |\n\n![c](missing.png) [d](#nowhere)"
    found = check_book.link_complaints(write(bad))
    assert len(found) == 4, found


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<a href="missing.html">x</a>', "a dead link, missing.html"),
        ('<a href="other.html#nowhere">x</a>', "an anchor that is not there"),
        ('<a href="#nowhere">x</a>', "an anchor that is not there"),
        ('<script src="_static/missing.js"></script>', "a dead link"),
        ('<a href="/index.html">x</a>', "only where the book is the top"),
        ('<a href="../outside.html">x</a>', "a dead link"),
        ('<img src="other.html" alt="">', "without alt text"),
        ('<img src="other.html" alt="_images/1234.png">', "without alt text"),
    ],
)
def test_refuses_dead_links_and_bare_images_in_built_pages(write, tmp_path, body, expected):
    write("<p id='here'>x</p>", "html/other.html")
    write("x", "outside.html")
    write(f"<html><body>{body}</body></html>", "html/page.html")
    assert expected in "\n".join(check_book.built_complaints(tmp_path / "html"))


def test_accepts_sound_links_in_built_pages(write, tmp_path):
    write("<p id='here'>x</p>", "html/folder/other.html")
    links = ["folder/other.html#here", "#", "", "https://example.org", "folder/other.html?x=1", "data:,x"]
    write("".join(f'<a href="{link}">x</a>' for link in links), "html/page.html")
    assert check_book.built_complaints(tmp_path / "html") == []
