"""The documentation as a site: it builds without a warning, has every page, and asks no other host for anything."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from server_process import ROOT

# What a browser fetches by itself; a link that somebody may click is none.
FETCHES = {
    "script": ["src"],
    "img": ["src", "srcset"],
    "iframe": ["src"],
    "link": ["href"],
    "source": ["src", "srcset"],
    "video": ["src"],
    "object": ["data"],
    "form": ["action"],
}
NO_RESOURCE = {"canonical", "next", "prev", "index", "search", "genindex", "author"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-d",
        str(to / "doctrees"),
        "docs",
        str(to / "html"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return to / "html"


class Fetched(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and set(given.get("rel", "").split()) & NO_RESOURCE:
            return
        self.found += [given[name] for name in FETCHES.get(tag, []) if name in given]


def fetched(html: str) -> list[str]:
    parser = Fetched()
    parser.feed(html)
    return parser.found


def is_elsewhere(address: str) -> bool:
    return address.startswith(("http:", "https:", "//"))


def test_every_page_is_there(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert [str(page) for page in pages if not (site / page).exists()] == []
    assert "RemoteDataset" in (site / "reference" / "python.html").read_text()
    assert "privacy_limit" in (site / "tutorials" / "spam.html").read_text()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    asked = {
        (str(page.relative_to(site)), address) for page in pages for address in fetched(page.read_text()) if is_elsewhere(address)
    }
    assert asked == set()
    for style in site.rglob("*.css"):
        text = style.read_text()
        assert "url(http" not in text, style
        assert "@import" not in text.replace('@import url("basic.css")', "").replace("@import 'basic.css'", ""), style


def test_what_is_fetched_is_seen() -> None:
    assert fetched('<link rel="stylesheet" href="https://x/y.css"><script src="//x/z.js"></script><a href="https://x">x</a>') == [
        "https://x/y.css",
        "//x/z.js",
    ]
