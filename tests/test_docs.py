"""Every page does what it says: its blocks run in order, as a reader would type them, and its links lead somewhere.

What a page takes for granted, `model` or `train_dataset`, is made by `snippets/PAGE.py`; what must hold after it is checked by
`snippets/PAGE.after.WHO.py`, in the Python of that person.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from server_process import ROOT

sys.path.insert(0, str(ROOT / "tools" / "docs"))
from page import RUN, Page, PageError
from reader import PORT, START_SECONDS, Broken, Programs, Reader, port_is_taken

SNIPPETS = ROOT / "tests" / "snippets"
PROGRAMS = Programs(ROOT / "bin", Path(sys.prefix) / "bin" / "python")
PAGES = [ROOT / "README.md", ROOT / "client" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]


def snippet_files(name: str, ending: str) -> list[Path]:
    return sorted(SNIPPETS.glob(f"{name.removesuffix('.md').replace('/', '-')}{ending}"))


@pytest.fixture
def directory() -> Iterator[Path]:
    # A socket's path has room for 108 bytes, and pytest's own directories are deep.
    with tempfile.TemporaryDirectory(prefix="page-") as made:
        yield Path(made)


def follow(page: Page, directory: Path) -> int:
    """Runs the page and what is checked after it; how many blocks ran."""
    if port_is_taken():
        pytest.fail(f"something else listens on port {PORT}: stop it, the pages connect there")
    name = str(page.name)
    preludes = snippet_files(name, ".py")
    reader = Reader(page, directory, PROGRAMS, prelude="".join(path.read_text() for path in preludes))
    try:
        ran = len(list(reader.follow()))
        for path in snippet_files(name, ".after.*.py"):
            reader.check(path.read_text(), path.name, who=path.name.split(".")[-2])
        return ran
    finally:
        reader.end()


@pytest.mark.parametrize("name", NAMES)
def test_a_page_does_what_it_says(name: str, directory: Path) -> None:
    page = Page(ROOT / name, ROOT)
    expected = sum(block.language in RUN and block.not_run is None for block in page.blocks)
    if expected == 0:
        return  # reading it found no block of an unknown language, and no JSON that is none
    assert follow(page, directory) == expected


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = Page(ROOT / name, ROOT)
    for line, target in page.links:
        path, _, anchor = unquote(target).partition("#")
        if re.match(r"(https?|mailto):", path):
            continue
        aim = (page.path.parent / path).resolve() if path else page.path
        assert aim.exists(), f"{name}:{line}: there is no {target}"
        if anchor and aim.suffix == ".md":
            assert anchor in anchors(aim), f"{name}:{line}: {path or name} has no heading #{anchor}"


def anchors(path: Path) -> set[str]:
    """As GitHub and MyST name headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


# How many blocks of a page do not run here. Whoever leaves out one more says so in this place too.
LEFT_OUT = {
    "README.md": 6,
    "client/README.md": 1,
    "docs/benchmark.md": 1,
    "docs/building.md": 3,
    "docs/contributing.md": 2,
    "docs/gpu.md": 1,
    "docs/installing.md": 3,
    "docs/operations/container.md": 5,
    "docs/operations/measured-image.md": 3,
    "docs/operations/service.md": 1,
    "docs/releasing.md": 4,
    "docs/tutorials/operator.md": 1,
    "docs/tutorials/owner.md": 1,
    "docs/tutorials/scientist.md": 1,
}


def test_what_is_not_run_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = [block for path in PAGES for block in Page(path, ROOT).blocks if block.not_run]
    with capsys.disabled():
        for block in left_out:
            print(f"\nnot run: {block.where}: {block.not_run}", end="")
    assert Counter(str(block.page) for block in left_out) == LEFT_OUT
    run = sum(block.language in RUN and not block.not_run for path in PAGES for block in Page(path, ROOT).blocks)
    assert run > len(left_out), "few blocks run: are they found?"


# ---- the tests' own means: each way in which a page can be wrong is found, and named by page and line ----


def written(directory: Path, text: str) -> Page:
    path = directory / "page.md"
    path.write_text(text)
    return Page(path, directory)


def followed(directory: Path, text: str) -> Reader:
    work = directory / "work"
    work.mkdir()
    reader = Reader(written(directory, text), work, PROGRAMS)
    try:
        list(reader.follow())
    finally:
        reader.end()
    return reader


BROKEN = {
    "python that raises": (
        "# Page\n\n```python\nx = 1\n1 / 0\n```\n",
        r'page.md:4: failed(.|\n)*"page.md", line 5(.|\n)*ZeroDivisionError',
    ),
    "a shell that fails": ("```sh\ntrue\nfalse\ntrue\n```\n", "page.md:2: failed"),
    "a command that is not there": ("```sh\n\nno-such-command\n```\n", r"page.md:2: failed(.|\n)*line 3: no-such-command"),
    "the first of a pipe": ("```sh\nno-such-command | cat\n```\n", "page.md:2: failed"),
    "what must fail and does not": ("<!-- fails -->\n```python\nx = 1\n```\n", "page.md:3: did not fail"),
    "a shell's, too": ("<!-- fails -->\n```sh\ntrue\n```\n", "page.md:3: did not fail"),
    "other words than printed": ("```sh\necho one\n```\n<!-- prints -->\n```text\ntwo\n```\n", "page.md:6: the page shows"),
    "somebody else's variable": (
        "<!-- run: owner -->\n```python\nx = 1\n```\n<!-- run: scientist -->\n```python\nprint(x)\n```\n",
        "page.md:7: failed(.|\n)*NameError",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_page_is_found(case: str, directory: Path) -> None:
    text, words = BROKEN[case]
    with pytest.raises(Broken, match=words):
        followed(directory, text)


MALFORMED = {
    "no language": ("```\nls\n```\n", "page.md:1: a block of no language"),
    "an unknown language": ("```pyton\nls\n```\n", "page.md:1: a block of 'pyton'"),
    "a marker that is none": ("<!-- norun: x -->\n```sh\nls\n```\n", "page.md:1: nothing is known of 'norun'"),
    "no reason": ("<!-- not run -->\n```sh\nls\n```\n", "lacks its reason"),
    "an indented block": ("Type\n\n    rm -r data\n", "page.md:3: an indented block"),
    "an indented block in a list": ("- a\n\n      ls\n", "page.md:3: an indented block"),
    "json that is none": ("```json\n{\n```\n", "page.md:2: this is no json"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_page_is_found(case: str, directory: Path) -> None:
    text, words = MALFORMED[case]
    with pytest.raises(PageError, match=words):
        print(written(directory, text).blocks)


def test_people_keep_what_they_had_and_share_files(directory: Path) -> None:
    text = """
```sh
word=hello
sleep 1000 & echo $! > pid
```
```sh
echo $word > file
```
```python
words = open("file").read()
```
<!-- not run: it would fail -->
```python
1 / 0
```
```python
import os
print(words, os.environ["BASTIONLAB_HOME"])
```
<!-- prints -->
```text
hello
.../.home/reader/bastionlab
```
"""
    began = time.monotonic()
    reader = followed(directory, text)
    assert time.monotonic() - began < 15
    left = int((reader.directory / "pid").read_text())
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(left)], capture_output=True, text=True).stdout.strip()
    assert state in ("", "Z"), "what the page left in the background still runs"


def test_a_server_is_waited_for_unless_the_block_stopped_it(directory: Path) -> None:
    text = """
```sh
bastionlab serve --listen 127.0.0.1:50158 --data-dir data > a.log 2>&1 &
```
```sh
bastionlab user list --data-dir data
kill %1
```
```sh
bastionlab serve --no-such-flag > b.log 2>&1 &
wait $! || true
```
```sh
bastionlab serve --listen 127.0.0.1:0 --data-dir other > c.log 2>&1 &
until grep ready c.log; do sleep 0.1; done
```
"""
    began = time.monotonic()
    followed(directory, text)
    assert time.monotonic() - began < START_SECONDS


def test_the_reference_is_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, "tools/docs/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_architecture_names_every_folder() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    folders = {
        parts[len(above)]
        for parts in (path.split("/") for path in tracked)
        for above in (["server", "internal"], ["server", "cmd"], ["server"], ["tools"])
        if parts[: len(above)] == above and len(parts) > len(above) + 1
    }
    assert {folder for folder in folders if not re.search(rf"(?<![\w-]){folder}(?![\w-])", page)} == set()
