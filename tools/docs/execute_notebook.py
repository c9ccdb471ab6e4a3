"""Executes the notebook as it stands, and writes it with its outputs; what names this machine is taken out of them.

BASTIONLAB_SMS_DATA=FILE python tools/docs/execute_notebook.py
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = ROOT / "examples" / "distilbert_example_notebook.ipynb"
CELL_SECONDS = 3600


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--to", type=Path, default=NOTEBOOK, help="where it is written (default: in its place)")
    notebook = executed(nbformat.read(NOTEBOOK, as_version=4))
    nbformat.write(notebook, arguments.parse_args().to)


def executed(notebook: nbformat.NotebookNode, environment: dict[str, str] | None = None) -> nbformat.NotebookNode:
    """Raises CellExecutionError where a cell fails."""
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", **(environment or {})}
    if variables.get("BASTIONLAB_NOTEBOOK_ENCODER") == "distilbert":
        del variables["HF_HUB_OFFLINE"]
    client = NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
    client.execute(env=variables)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it was executed
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if is_ours(output)]
        for output in cell.get("outputs", []):
            for key in ("text", "evalue"):
                if key in output:
                    output[key] = without_this_machine(output[key])
    # The kernel of this machine; any Python 3 will do.
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    return notebook


def is_ours(output: nbformat.NotebookNode) -> bool:
    """Not the chatter of other libraries."""
    return output.get("name") != "stderr" or "BastionLabWarning" in output.text or "PrivacyWarning" in output.text


def without_this_machine(text: str) -> str:
    text = text.replace(str(ROOT), ".").replace(str(Path.home()), "~")
    directory = rf"{re.escape(tempfile.gettempdir())}/\w+"
    # A kernel names each cell after a file that there is not.
    return re.sub(directory, "work", re.sub(rf"{directory}/\d+\.py", "cell", text))


if __name__ == "__main__":
    main()
