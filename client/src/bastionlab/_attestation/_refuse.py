"""How evidence, and what is not written in one way, is refused."""

from __future__ import annotations

from typing import Any, NoReturn

from bastionlab import errors

_LONGEST_SEEN = 200
_NEXT = {
    "policy": "correct the policy; docs/attestation.md has every field of it",
    "simulated": "nothing is proved by simulated evidence; where that will do, as in a test, say attestation='simulated'",
    "tdx_status": "do not rely on this server; docs/attestation.md has what this check means",
}


def refuse(check: str, expected: str, seen: object, next: str = "") -> NoReturn:
    """Ends a verification. ``seen`` may hold what a stranger sent: it is cut, and shown without control characters."""
    shown = str(seen)
    if not shown.isprintable():
        shown = ascii(shown)
    next = next or _NEXT.get(check, f"do not rely on this server; docs/attestation.md has what check {check!r} means")
    raise errors.AttestationError(check, expected, shown[:_LONGEST_SEEN], next=next)


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For json.loads: of a field that is there twice, two readers would take one each."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a field is there twice")
    return members
