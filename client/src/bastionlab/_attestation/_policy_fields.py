"""The fields of a policy: which there are, what may stand in them, and what holds where they are left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bastionlab._attestation._refuse import refuse
from bastionlab._attestation._report import PERMISSIVE, PLATFORM_BITS, RESTRICTIVE, TCB_LAYOUT

PLATFORMS = ("sev-snp", "tdx", "simulated")
STORAGE_LEVELS = ("file", "memory")
_REQUIRED = object()
_KIND = re.compile(r"(Milan|Genoa|Turin)(/[0-9a-f]{2})?")
_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)


class Wrong(Exception):
    """What a field holds is not what may stand there; says what may."""


@dataclass(frozen=True)
class Field:
    read: Callable[[Any], Any]
    default: Any = _REQUIRED


def read(written: Any, known: Mapping[str, Field], prefix: str) -> dict[str, Any]:
    """The values of an object's fields. ``prefix`` is of the object, for errors."""
    if not isinstance(written, Mapping):
        refuse("policy", f"an object{f' in field {prefix[:-1]}' if prefix else ''}", type(written).__name__)
    for name in written:
        if name not in known:
            refuse("policy", f"no field but {', '.join(known)}", f"{prefix}{name}")
    values = {}
    for name, field in known.items():
        if name not in written and field.default is _REQUIRED:
            refuse("policy", f"field {prefix}{name}, which has no default", "none")
        try:
            values[name] = field.read(written.get(name, field.default))
        except Wrong as wrong:
            refuse("policy", f"field {prefix}{name}: {wrong}", repr(written[name])[:80])
    return values


def _one_of(*names: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise Wrong(f"one of {', '.join(names)}")
        return value

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Wrong("text")
    return value


def _hex(digits: int) -> Callable[[Any], str]:
    pattern = re.compile(f"[0-9a-f]{{{digits}}}")

    def read(value: Any) -> str:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise Wrong(f"{digits} digits of lower-case hex")
        return value

    return read


def _whole(least: int, largest: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= largest:  # a truth value is an int to Python
            raise Wrong(f"a whole number from {least} to {largest}")
        return value

    return read


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong("true or false")
    return value


def _list(item: Callable[[Any], Any], *, empty: bool = True) -> Callable[[Any], tuple[Any, ...]]:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or not (value or empty):
            raise Wrong("a list" if empty else "a list of at least one")
        try:
            return tuple(item(each) for each in value)
        except Wrong as wrong:
            raise Wrong(f"a list, each {wrong}") from None

    return read


def _set(item: Callable[[Any], Any], *, empty: bool = True) -> Callable[[Any], frozenset[Any]]:
    of = _list(item, empty=empty)
    return lambda value: frozenset(of(value))


def _or_null(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def either(value: Any) -> Any:
        try:
            return None if value is None else read(value)
        except Wrong as wrong:
            raise Wrong(f"{wrong}, or null") from None

    return either


def _floors(value: Any) -> dict[str, dict[str, int]]:
    if not isinstance(value, Mapping):
        raise Wrong("an object of floors")
    return {kind: _floor(kind, floor) for kind, floor in value.items()}


def _floor(kind: Any, floor: Any) -> dict[str, int]:
    matched = _KIND.fullmatch(kind) if isinstance(kind, str) else None
    if matched is None:
        raise Wrong("floors of Milan, Genoa or Turin, or of one model as in Genoa/a0")
    parts = TCB_LAYOUT[matched[1]]
    if not isinstance(floor, Mapping) or set(floor) != set(parts):
        raise Wrong(f"a floor of {matched[1]} with {', '.join(parts)} and nothing else")
    level = _whole(0, 255)
    return {part: level(floor[part]) for part in parts}


def _abi(value: Any) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Wrong("two numbers, major and minor")
    part = _whole(0, 255)
    return part(value[0]), part(value[1])


def _version(value: Any) -> tuple[int, int, int]:
    matched = _VERSION.fullmatch(value) if isinstance(value, str) else None
    if matched is None:
        raise Wrong("a version as in 1.2.3")
    return int(matched[1]), int(matched[2]), int(matched[3])


def _rtmrs(value: Any) -> dict[int, frozenset[str]]:
    if not isinstance(value, Mapping) or not set(value) <= {"0", "1", "2", "3"}:
        raise Wrong("an object with 0, 1, 2 or 3")
    digests = _set(_hex(96), empty=False)
    return {int(index): digests(value[index]) for index in value}


POLICY: Mapping[str, Field] = {
    "platforms": Field(_list(_one_of(*PLATFORMS), empty=False)),
    "measurements": Field(_or_null(_set(_hex(96)))),
    "tcb": Field(_or_null(_floors), None),  # required of real devices: see Policy.parse
    "chip_ids": Field(_or_null(_set(_hex(128)))),
    "config_digests": Field(_or_null(_set(_hex(96)))),
    "storage_levels": Field(_list(_one_of(*STORAGE_LEVELS), empty=False)),
    "binding": Field(_or_null(_one_of("exporter", "key")), None),
    "signing_keys": Field(_list(_one_of("VCEK", "VLEK"), empty=False), ("VCEK",)),
    "vmpl": Field(_whole(0, 3), 0),
    "min_guest_svn": Field(_whole(0, (1 << 32) - 1), 0),
    "min_abi": Field(_abi, (0, 0)),
    "allow": Field(_list(_one_of(*PERMISSIVE)), ()),
    "require_policy": Field(_list(_one_of(*RESTRICTIVE)), ()),
    "require_platform": Field(_list(_one_of(*PLATFORM_BITS)), ()),
    "report_versions": Field(_list(_whole(2, 5), empty=False), (3, 4, 5)),
    "id_key_digests": Field(_or_null(_set(_hex(96))), None),
    "author_key_digests": Field(_or_null(_set(_hex(96))), None),
    "host_data": Field(_or_null(_set(_hex(64))), None),
    "development": Field(_truth, False),
    "roots": Field(_or_null(_set(_hex(64))), None),
    "min_version": Field(_or_null(_version), None),
    "tdx": Field(_or_null(lambda value: value), None),
}

TDX: Mapping[str, Field] = {
    "mr_td": Field(_set(_hex(96), empty=False)),
    "mr_seam": Field(_or_null(_set(_hex(96)))),
    "rtmrs": Field(_rtmrs),
    "statuses": Field(_list(_text, empty=False), ("UpToDate",)),
    "advisories": Field(_list(_text), ()),
}
