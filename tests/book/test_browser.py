"""Every built page in a real browser: nothing is missing or fetched from elsewhere, formulas render, text is readable.

The pages are served on the loopback below a folder, as GitHub Pages serves them, and every other host is refused.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup

pytestmark = pytest.mark.browser

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
FOLDER = "/some-folder/"
PAGES = sorted(
    path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html") if "_static" not in path.relative_to(HTML).parts
) or ["index.html"]
READABLE = [page for page in PAGES if page != "index.html"]  # index.html only sends its visitors on

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip

# From file:// a page may not read its own icon font, which the theme preloads; the icons show all the same.
ICON_FONT = re.compile(
    r"Access to font at 'file://\S+/_static/vendor/fontawesome/\S+\.woff2' from origin 'null' "
    r"has been blocked by CORS policy"
    r"|file://\S+/_static/vendor/fontawesome/\S+\.woff2 - Failed to load resource: net::ERR_FAILED"
)


class Handler(SimpleHTTPRequestHandler):
    """Serves the pages below FOLDER, and 404.html for whatever is not there, as GitHub Pages does."""

    def translate_path(self, path: str) -> str:
        if not path.startswith(FOLDER):
            return str(HTML / "no such file")
        return super().translate_path(path[len(FOLDER) - 1 :])

    def send_error(self, code, message=None, explain=None):
        body = (HTML / "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture(scope="module")
def site(built):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(built)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{FOLDER}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(built, absent, tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not program or not driver:
        absent("no Chromium with its chromedriver on the PATH (Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service(driver))
    chromium.set_script_timeout(60)
    yield Browser(chromium)
    chromium.quit()


class Browser:
    """A tab that remembers what went wrong since the last ``open``."""

    def __init__(self, driver):
        self.driver = driver
        self.run = driver.execute_script

    def open(self, address: str) -> None:
        self.driver.get("about:blank")
        self.driver.get_log("browser"), self.driver.get_log("performance")
        self.driver.get(address)
        self.settle()

    def settle(self) -> None:
        """Wait for formulas and fonts: all that a page loads by itself is then loaded."""
        self.driver.execute_async_script("""
            const done = arguments[arguments.length - 1];
            const ready = window.MathJax && MathJax.startup ? MathJax.startup.promise : Promise.resolve();
            ready.then(() => document.fonts.ready).then(() => setTimeout(done, 50));
        """)

    def console_errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def network(self) -> tuple[list[str], list[str]]:
        """Addresses asked for, and requests that failed."""
        asked, failed = {}, []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            detail = message["params"]
            if message["method"] == "Network.requestWillBeSent":
                asked[detail["requestId"]] = detail["request"]["url"]
            elif message["method"] == "Network.responseReceived" and detail["response"]["status"] >= 400:
                failed.append(f"{detail['response']['status']} {detail['response']['url']}")
            elif message["method"] == "Network.loadingFailed" and not detail.get("canceled"):
                failed.append(f"{detail['errorText']} {asked.get(detail['requestId'])}")
        return list(asked.values()), failed

    def width(self, pixels: int) -> None:
        size = {"width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def theme(self, name: str) -> None:
        self.run("localStorage.setItem('mode', arguments[0]); localStorage.setItem('theme', arguments[0])", name)


def formulas(page: str) -> int:
    """Formulas that Sphinx wrote into a page for MathJax to render."""
    return len(BeautifulSoup((HTML / page).read_text(encoding="utf-8"), "html.parser").select(".math"))


def rendered(browser: Browser) -> tuple[int, int]:
    return browser.run("""return [document.querySelectorAll('mjx-container').length,
                                  document.querySelectorAll('mjx-merror').length]""")


@pytest.mark.parametrize("page", PAGES)
def test_page_loads_without_a_failure_and_renders_its_formulas(browser, site, page):
    browser.open(site + page)
    asked, failed = browser.network()
    assert failed == []
    assert [address for address in asked if urlsplit(address).hostname not in ("127.0.0.1", None)] == []
    assert browser.console_errors() == []
    if page in READABLE:
        assert list(rendered(browser)) == [formulas(page), 0]


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_from_the_disk(browser, built, page):
    browser.open((built / page).as_uri())
    asked, failed = browser.network()
    assert [address for address in asked if not address.startswith(("file:", "data:", "about:", "blob:"))] == []
    assert [failure for failure in failed if "/_static/vendor/fontawesome/" not in failure] == []
    assert [message for message in browser.console_errors() if not ICON_FONT.search(message)] == []
    if page in READABLE:
        assert list(rendered(browser)) == [formulas(page), 0]


def test_formulas_are_drawn_and_not_only_counted(browser, site):
    browser.open(site + "book/notation.html")
    sizes = browser.run("""return [...document.querySelectorAll('article mjx-container')]
                           .map(formula => formula.getBoundingClientRect())
                           .map(box => Math.min(box.width, box.height))""")
    assert len(sizes) > 50 and min(sizes) > 2
    assert browser.run(
        "return [...document.fonts].some(font => font.family.startsWith('MJX') && font.status == 'loaded')"
    )


@pytest.mark.parametrize("word", ["reflective", "hermite"])
def test_search_finds(browser, site, built, word):
    for address in (site, built.as_uri() + "/"):
        browser.open(f"{address}search.html?q={word}")
        browser.driver.implicitly_wait(20)
        links = browser.driver.find_elements("css selector", "#search-results ul.search li a")
        browser.driver.implicitly_wait(0)
        targets = [link.get_attribute("href") for link in links]
        assert targets
        # Search goes by the stem: the first page may say "reflection". One of them says the word itself.
        words = []
        for target in targets:
            browser.open(target)
            words.append(browser.run("return document.querySelector('article').textContent.toLowerCase()"))
        assert any(word in text for text in words)


def test_search_does_not_find_what_is_not_there(browser, site):
    browser.open(site + "search.html?q=qwertzuiop")
    assert browser.driver.find_elements("css selector", "#search-results ul.search li a") == []


CONTRAST = Path(__file__).with_name("contrast.js").read_text()


@pytest.mark.parametrize("page", READABLE)
def test_text_is_readable_in_light_and_dark(browser, site, page):
    grounds = set()
    for theme in ("light", "dark"):
        browser.open(site + page)
        browser.theme(theme)
        browser.open(site + page)
        assert browser.run("return document.documentElement.dataset.theme") == theme
        texts, ground, low = browser.run(CONTRAST)
        assert texts > 3
        assert low == [], theme
        grounds.add(ground)
    assert len(grounds) == 2


def test_contrast_check_finds_pale_text(browser, site):
    browser.open(site + "book/intro.html")
    browser.theme("light")
    browser.open(site + "book/intro.html")
    browser.run("""const p = document.createElement('p'); p.textContent = 'pale text'; p.style.color = '#999';
                   document.querySelector('article').append(p)""")
    assert any("pale text" in text for text in browser.run(CONTRAST)[2])


def test_theme_button_changes_the_theme(browser, site):
    browser.width(1400)
    browser.open(site + "book/intro.html")
    browser.theme("light")
    browser.open(site + "book/intro.html")
    seen = []
    for _ in range(3):
        browser.run("document.querySelector('.theme-switch-button').click()")
        seen.append(browser.run("return document.documentElement.dataset.mode"))
    assert sorted(seen) == ["auto", "dark", "light"]


@pytest.mark.parametrize("pixels", [390, 1400])
@pytest.mark.parametrize("page", READABLE)
def test_page_does_not_scroll_sideways(browser, site, page, pixels):
    browser.width(pixels)
    browser.open(site + page)
    assert browser.run("return window.innerWidth") == pixels
    # Dropdowns hide what is in them: open them all.
    browser.run("for (const box of document.querySelectorAll('details')) box.open = true")
    # The width that is left beside a scroll bar, where the browser draws one.
    scroll, width = browser.run("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert scroll <= width, browser.run("""return [...document.querySelectorAll('article *')]
        .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .slice(0, 8).map(e => e.outerHTML.slice(0, 160))""")


@pytest.mark.parametrize("pixels", [390, 1400])
@pytest.mark.parametrize("page", READABLE)
def test_no_formula_within_a_line_is_cut(browser, site, page, pixels):
    """On a wide screen it fits; on a phone a long one scrolls, and the others show no scroll bar."""
    browser.width(pixels)
    browser.open(site + page)
    browser.run("for (const box of document.querySelectorAll('details')) box.open = true")
    found = browser.run("""return [...document.querySelectorAll('article span.math')].map(e => {
        const inner = e.querySelector('mjx-math');
        const wide = inner ? inner.getBoundingClientRect().width - e.clientWidth : 0;
        return [wide, e.scrollWidth - e.clientWidth, getComputedStyle(e).overflowX, e.textContent.slice(0, 80)];
    })""")
    if pixels > 1000:
        assert not [row for row in found if row[0] > 2]
    assert not [row for row in found if row[0] > 2 and (row[2] != "auto" or row[1] <= 0)]
    assert sum(row[1] > 2 and row[0] <= 2 for row in found) <= 2


@pytest.mark.parametrize("missing", ["missing.html", "book/missing.html", "book/a/b/missing.html"])
def test_missing_page_leads_back_into_the_book(browser, site, missing):
    browser.open(site + missing)
    assert "Page not found" in browser.run("return document.body.innerText")
    for _ in range(50):
        if browser.run("return document.documentElement.dataset.root"):
            break
        browser.driver.execute_async_script("setTimeout(arguments[0], 100)")
    links = browser.run("return [...document.querySelectorAll('a[data-page]')].map(link => link.href)")
    assert links and all(link.startswith(site) and (HTML / link[len(site) :]).exists() for link in links)
