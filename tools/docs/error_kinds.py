"""The tables of the errors: each kind with its exit status and its exception."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import grpc

from bastionlab import errors
from bastionlab._refusals import DETAIL_KEY, error_of
from bastionlab.v1 import error_pb2


def kinds(root: Path) -> str:
    statuses = exit_statuses(root / "server" / "cmd" / "bastionlab" / "exit.go")
    rows = []
    for number, kind in ((number, kind) for kind, number in error_pb2.ErrorDetail.Kind.items() if number):
        status, meaning = statuses[kind]
        rows.append((status, f"| {status} | `{exception(number).__name__}` | {meaning} |\n"))
    return "| exit status | Python | |\n|---|---|---|\n| 0 | | done |\n" + "".join(row for _, row in sorted(rows))


def exit_statuses(source: Path) -> dict[str, tuple[int, str]]:
    found = re.findall(r'^\t\{(\d+), refusal\.(\w+), "(.*)"\},$', source.read_text(), re.MULTILINE)
    return {f"KIND_{re.sub(r'(?<!^)(?=[A-Z])', '_', kind).upper()}": (int(status), meaning) for status, kind, meaning in found}


def exception(kind: int) -> type[errors.BastionLabError]:
    """What the client makes of a call that was refused so."""

    class Refused(grpc.RpcError):
        def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
            return ((DETAIL_KEY, error_pb2.ErrorDetail(kind=kind, what="no").SerializeToString()),)  # type: ignore[arg-type]

    return type(error_of(Refused(), "localhost"))


def exceptions(_: Path) -> str:
    lines = []
    for name in errors.__all__:
        kind = getattr(errors, name)
        if issubclass(kind, errors.BastionLabError):
            lines.append(f"- `{name}`: {(inspect.getdoc(kind) or '').splitlines()[0]}\n")
    return "".join(lines)
