"""Writes the table of docs/installing.md from results.json: `python tools/compatibility/table.py`, after check.py."""

from __future__ import annotations

import re

from results import ROOT, lower_bounds, numbers, project, read

PAGE = ROOT / "docs" / "installing.md"
BEGIN, END = "<!-- tried: written by tools/compatibility/table.py -->\n", "<!-- end of tried -->\n"


def table() -> str:
    """What was tried as rows, and what the metadata admits besides."""
    rows = ["| Python | torch | everything else | client | tests | on |", "|---|---|---|---|---|---|"]
    tried = read()
    for each in tried:
        outcome = f"{each.passed} passed" + (f", failed: {', '.join(each.failed)}" if each.failed else "")
        rows.append(f"| {each.python} | {each.torch} | {each.dependencies} | {each.client} | {outcome} | {each.date} |")
    (least,) = re.findall(r'requires-python = ">=([\d.]+)"', project())
    newest = ".".join(str(number) for number in max(numbers(each.python) for each in tried)[:2])
    bounds = ", ".join(f"{name} {bound}" for name, bound in lower_bounds().items() if name != "torch")
    rows += [
        "",
        "" if any(each.dependencies == "lowest" for each in tried) else "The `lowest` versions together were not tried yet.",
        f"`lowest` is the least that the metadata admits: {bounds}; `newest` what the index had on that day. Not tried, and taken "
        f"all the same: any other pair of a Python from {least} and a torch from {lower_bounds()['torch']}, "
        f"Python newer than {newest} among them.",
    ]
    return "\n".join(rows) + "\n"


def written(page: str) -> str:
    """The page with the table in its place."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
