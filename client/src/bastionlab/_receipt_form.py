"""The one way in which a receipt is written. docs/receipts.md has it for every language.

Invariant: what passes here has one reading only, in this language and in any other: no member twice, none out of order, no number
that another reader rounds, no text that another writer escapes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from bastionlab import errors
from bastionlab._numbers import LARGEST_INTEGER

FORM = 1
LARGEST_BYTES = 1 << 20
# What fits into a message must fit into a line of a book too, whose quotation marks take two bytes.
_LARGEST_BODY = 256 << 10
# What may stand around a receipt in a file, and what makes a line blank; to other white space JSON is closed.
BLANKS = b" \t\r"
WHITE_SPACE = BLANKS + b"\n"
_LATEST = 253402300799999  # the last millisecond of the year 9999

_ANY = frozenset({"open", "join", "limit", "reserve", "data", "release", "settle", "freeze", "close"})
_NONE: frozenset[str] = frozenset()
_OPENING = frozenset({"open", "join"})
_TELLING_ORDERS = _OPENING | {"close"}
_OF_RUNS = frozenset({"reserve", "data", "release", "settle"})

_HASH = re.compile(r"[0-9a-f]{64}")
# Printable ASCII without what one language's JSON escapes and another's does not.
_TEXT = re.compile(r"[ !#-%'-;=?-\[\]-~]+")


def refuse(check: str, expected: str, seen: str) -> NoReturn:
    raise errors.AttestationError(check, expected, seen, next="do not rely on it; ask whom you have it from for another copy")


def read_object(text: str) -> dict[str, Any]:
    """One JSON object, each of its members once."""
    try:
        value = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:  # of the parser, or a member that is there twice
        refuse("form", "a JSON object", f"what cannot be read ({type(error).__name__})")
    if not isinstance(value, dict):
        refuse("form", "a JSON object", f"a {type(value).__name__}")
    return value


def read_file(value: dict[str, Any]) -> tuple[bytes, bytes, bytes]:
    """Body, signature and key of what a receipt file holds."""
    if set(value) != {"bastionlab_receipt", "body", "signature", "key"}:
        refuse("form", "the members bastionlab_receipt, body, signature and key", ", ".join(map(str, value)) or "none")
    form, body, signature, key = (value[name] for name in ("bastionlab_receipt", "body", "signature", "key"))
    if not _is_whole(form) or form != FORM:
        refuse("form", f"a receipt of form {FORM}", repr(form)[:40])
    if not isinstance(body, str) or not body.isascii():
        refuse("form", "a body of ASCII", f"a {type(body).__name__}" if not isinstance(body, str) else "other characters")
    signed = decode_base64(signature)
    if signed is None or len(signed) != 64:
        refuse("form", "a signature of 64 bytes in base64", f"{str(signature)[:40]!r}")
    if not is_hash(key):
        refuse("form", "a key of 64 hex digits", f"{str(key)[:80]!r}")
    return body.encode("ascii"), signed, bytes.fromhex(key)


def read_body(encoded: bytes) -> dict[str, Any]:
    """The members of a body."""
    if len(encoded) > _LARGEST_BODY or not encoded.isascii():
        refuse("form", f"a body of at most {_LARGEST_BODY} bytes of ASCII", f"{len(encoded)} bytes")
    text = encoded.decode("ascii")
    body = read_object(text)
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in _ANY:
        refuse("form", "a type of receipt", repr(kind)[:40])
    _require(body, _BODY, kind)
    _require(body["after"], _AFTER, kind)
    if ("prev" in body) == (body["seq"] == 1):
        refuse("form", "prev in every receipt but the first", f"number {body['seq']} {'with' if 'prev' in body else 'without'} it")
    if kind == "reserve" and ("epsilon" in body) == ("infinite" in body):
        refuse("form", "a price that is an epsilon or infinite", "both" if "infinite" in body else "neither")
    if json.dumps(body, separators=(",", ":")) != text:
        refuse("form", "a body without blanks and needless escapes", "another way of writing it")
    return body


def is_hash(value: Any) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def decode_base64(value: Any) -> bytes | None:
    """None where it is not written as the standard's alphabet with its padding."""
    if not isinstance(value, str):
        return None
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if base64.b64encode(decoded).decode() == value else None


@dataclass(frozen=True)
class _Member:
    is_right: Callable[[Any], bool]
    needed: frozenset[str] = _NONE
    """Types without which it is never; with the others it is left out where it is 0, false or empty."""
    allowed: frozenset[str] = _ANY


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _require(value: dict[str, Any], members: dict[str, _Member], kind: str) -> None:
    if list(value) != [name for name in members if name in value]:
        refuse("form", "no members but the documented ones, in their order", ", ".join(value)[:200])
    for name, member in members.items():
        if name not in value:
            if kind in member.needed:
                refuse("form", f"{name} in a receipt of type {kind}", "none")
        elif kind not in member.allowed or not member.is_right(value[name]):
            refuse("form", f"a receipt of type {kind}", f"{name}: {str(value[name])[:80]!r}")


# A truth value is an int to Python, 2.0 is one to nobody.
def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_INTEGER


def _is_positive(value: Any) -> bool:
    return _is_whole(value) and value > 0


def _is_time(value: Any) -> bool:
    return _is_whole(value) and value <= _LATEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and _TEXT.fullmatch(value) is not None


def _is_base64(value: Any) -> bool:
    return bool(decode_base64(value))


def _one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: any(type(value) is type(each) and value == each for each in values)


def _some(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        items: Iterable[Any] = value if isinstance(value, list) else ()
        return bool(value) and isinstance(value, list) and all(is_right(item) for item in items)

    return check


_BODY = {
    "v": _Member(_one_of(FORM), _ANY),
    "type": _Member(_is_text, _ANY),
    "at": _Member(_is_time, _ANY),
    "account": _Member(_is_text, _ANY),
    "seq": _Member(_is_positive, _ANY),
    "prev": _Member(is_hash),
    "boot": _Member(_is_text, _ANY),
    "level": _Member(_is_text, _ANY),
    "development": _Member(_one_of(False, True), _ANY),
    "release": _Member(_is_text, _ANY),
    "dataset": _Member(_is_text, _ANY),
    "owner": _Member(is_hash, _ANY),
    "scientist": _Member(is_hash, frozenset({"reserve"}), _OF_RUNS | {"limit"}),
    "limit": _Member(_is_positive, frozenset({"limit"}), _OPENING | {"limit"}),
    "delta": _Member(_is_positive, _NONE, _OPENING),
    "orders": _Member(_some(_is_positive), _NONE, _TELLING_ORDERS),
    "declared": _Member(_is_positive, _OPENING, _OPENING),
    "blob": _Member(is_hash, _OPENING, _OPENING),
    "rows": _Member(is_hash, _NONE, _OPENING),
    "test_of": _Member(_is_text, _NONE, _OPENING),
    "accounts": _Member(_some(_is_text), _NONE, frozenset({"join"})),
    "run": _Member(_is_text, _OF_RUNS, _OF_RUNS),
    "epsilon": _Member(_is_positive, _NONE, frozenset({"reserve"})),
    "run_delta": _Member(_is_positive, _NONE, frozenset({"reserve"})),
    "infinite": _Member(_one_of(True), _NONE, frozenset({"reserve"})),
    "renyi": _Member(_some(_is_whole), _NONE, frozenset({"join", "reserve", "settle", "close"})),
    "charge": _Member(_is_base64, frozenset({"reserve"}), frozenset({"reserve"})),
    "outcome": _Member(_one_of("completed", "failed", "cancelled"), frozenset({"settle"}), frozenset({"settle"})),
    "reason": _Member(_is_text, frozenset({"freeze"}), frozenset({"freeze"})),
    "presented": _Member(is_hash, _NONE, frozenset({"freeze"})),
    "after": _Member(lambda value: isinstance(value, dict), _ANY),
}

_AFTER = {
    "limit": _Member(_is_positive),
    "delta": _Member(_is_whole, _ANY),
    "spent": _Member(_is_whole, _ANY),
    "spent_delta": _Member(_is_whole, _ANY),
    "infinite": _Member(_one_of(True)),
    "frozen": _Member(_one_of(True)),
}
