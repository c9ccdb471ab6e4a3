"""One person's Python, as a reader has it open beside the page: takes blocks one after the other, and keeps what they defined.

Reads a line of JSON for each block from file descriptor 3, {"file", "line", "code"}, and answers on 4 with {"failed"}. What a block
prints, a traceback included, goes to stdout.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
import traceback


def main() -> None:
    scope: dict[str, object] = {"__name__": "__main__"}
    with os.fdopen(3) as requests, os.fdopen(4, "w", buffering=1) as answers:
        for request in requests:
            block = json.loads(request)
            failed = run(block["file"], block["line"], block["code"], scope)
            sys.stdout.flush()
            sys.stderr.flush()
            answers.write(json.dumps({"failed": failed}) + "\n")


def remember_source(file: str, line: int, code: str) -> None:
    """As a notebook does, where TorchScript looks for the source of a `forward`: the page, but for what is no code."""
    known = linecache.cache[file][2] if file in linecache.cache else []
    new = [each + "\n" for each in code.splitlines()]
    lines = known + ["\n"] * (line - 1 + len(new) - len(known))
    lines[line - 1 : line - 1 + len(new)] = new
    linecache.cache[file] = (len("".join(lines)), None, lines, file)


def run(file: str, line: int, code: str, scope: dict[str, object]) -> bool:
    remember_source(file, line, code)
    try:
        # Moved down to where it stands on its page, so that a traceback names the page's line.
        exec(compile("\n" * (line - 1) + code, file, "exec"), scope)
    except BaseException as reason:
        # Without the frame of this file.
        traceback.print_exception(reason.with_traceback(reason.__traceback__ and reason.__traceback__.tb_next), file=sys.stdout)
        return True
    return False


if __name__ == "__main__":
    main()
