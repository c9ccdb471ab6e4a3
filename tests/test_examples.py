"""The demonstration's own parts: where its messages come from, and what is said where they cannot be had."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import urllib.error
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server_process import ROOT, SERVER

sys.path.insert(0, str(ROOT / "examples"))
import spam

CONTENT = b"ham\thello\n"


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instead of the web; the addresses that were asked for."""
    asked: list[str] = []
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("SMSSpamCollection", CONTENT)

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(archive.getvalue())

    monkeypatch.setattr(spam.urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(spam, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return asked


def test_it_is_downloaded_once(downloads: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        assert spam.read(None, tmp_path / "cache") == CONTENT
    assert downloads == [spam.URL]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["SMSSpamCollection"]


def test_a_damaged_download_is_fetched_again(downloads: list[str], tmp_path: Path) -> None:
    (tmp_path / "SMSSpamCollection").write_bytes(CONTENT[:3])
    assert spam.read(None, tmp_path) == CONTENT
    assert (tmp_path / "SMSSpamCollection").read_bytes() == CONTENT
    assert len(downloads) == 1


def test_a_download_that_breaks_off_leaves_nothing(downloads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*paths: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(spam.os, "replace", broken)
    with pytest.raises(OSError, match="no space left"):
        spam.read(None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_it_is_not_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(url: str, timeout: float) -> None:
        raise urllib.error.URLError("no way")

    monkeypatch.setattr(spam.urllib.request, "urlopen", urlopen)
    with pytest.raises(spam.NotAvailable, match="could not be downloaded"):
        spam.read(None, tmp_path)


def wrong(path: Path) -> None:
    path.write_bytes(CONTENT)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot be read: No such file or directory"),
    "a directory": (Path.mkdir, "cannot be read: Is a directory"),
    "another file": (wrong, "is not the SMS Spam Collection"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_used_is_named_in_one_line(case: str, tmp_path: Path) -> None:
    make, words = FILES[case]
    path = tmp_path / "my messages"
    make(path)
    command = [
        sys.executable,
        "examples/demo.py",
        "--server",
        str(SERVER),
        "--work-dir",
        str(tmp_path / "work"),
        "--data",
        str(path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"demo: {path} {words}")
    assert done.stderr.count("\n") == 1
