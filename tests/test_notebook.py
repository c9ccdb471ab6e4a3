"""The notebook runs from its first cell to its last, on a few messages; and what is committed was executed."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from server_process import ROOT

sys.path.insert(0, str(ROOT / "tools" / "docs"))
from execute_notebook import NOTEBOOK, executed

COLLECTION = os.environ.get("BASTIONLAB_SMS_DATA", "")
SMALL = {"BASTIONLAB_NOTEBOOK_RECORDS": "200", "BASTIONLAB_NOTEBOOK_EPOCHS": "1"}


def read() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == "stdout"
    )


def stand_in(directory: Path) -> tuple[dict[str, str], str]:
    """Messages for machines without the collection, and what makes `spam` take them for it."""
    content = b"".join(b"%s\tmessage number %d\n" % (b"spam" if i % 7 == 0 else b"ham", i) for i in range(200))
    file = directory / "messages"
    file.write_bytes(content)
    return {"BASTIONLAB_SMS_DATA": str(file)}, f"import spam\n\nspam.SHA256 = {hashlib.sha256(content).hexdigest()!r}"


def small(directory: Path, last: str = "") -> nbformat.NotebookNode:
    notebook = read()
    environment = dict(SMALL)
    if not COLLECTION:
        more, first = stand_in(directory)
        environment |= more
        notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    if last:
        notebook.cells[4:] = [nbformat.v4.new_code_cell(last)]
    return executed(notebook, environment)


def test_it_runs_on_a_few_messages(tmp_path: Path) -> None:
    text = printed(small(tmp_path))
    assert "refused: eps 6 exceeds what remains: 4 of 6 (2 is spent)" in text
    assert "limit 6   spent 2   remaining 4" in text


def test_a_broken_cell_fails(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        small(tmp_path, last="1 / 0")


def test_what_is_committed_was_executed() -> None:
    notebook = read()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run tools/docs/execute_notebook.py"
    everything = nbformat.writes(notebook)
    found = re.search(r"^accuracy ([0-9.]+)%; .*: ([0-9.]+)%$", printed(notebook), re.MULTILINE)
    assert found
    accuracy, majority = map(float, found.groups())
    assert accuracy > majority
    for place in (str(ROOT), str(Path.home()) + "/", "/tmp/"):
        assert place not in everything
    assert len(everything) < 60_000
