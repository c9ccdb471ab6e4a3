"""Just enough DER to read the certificates of AMD's chain, strictly.

Why not the library's reader: AMD's VCEK and VLEK certificates have serial number 0, which pyca/cryptography warns about and has
announced to refuse. And it takes the signature's algorithm from the certificate; here the caller fixes it.

Invariant: one reading only. Lengths are definite and minimal, nothing follows what was read, no extension comes twice. Nothing is
verified here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

INTEGER, BIT_STRING, OCTET_STRING, OID, SEQUENCE, SET, IA5_STRING = 0x02, 0x03, 0x04, 0x06, 0x30, 0x31, 0x16
_VERSION, _EXTENSIONS, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0xA3, 0x17, 0x18
_X509_V3 = bytes.fromhex("a003020102")
_COMMON_NAME = "2.5.4.3"
_LONGEST = 8192  # AMD's have less than 2 KiB
_TIME = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z")


class DerError(ValueError):
    """These bytes are not what they should be."""


@dataclass(frozen=True)
class Item:
    tag: int
    content: bytes
    encoded: bytes


def items(encoded: bytes) -> Iterator[Item]:
    """What stands one after the other."""
    while encoded:
        tag, start, end = _head(encoded)
        yield Item(tag, encoded[start:end], encoded[:end])
        encoded = encoded[end:]


def one(encoded: bytes, tag: int) -> bytes:
    """The content of the one item there is."""
    found = list(items(encoded))
    if len(found) != 1 or found[0].tag != tag:
        raise DerError(f"not one item of tag {tag:#04x}")
    return found[0].content


def small_integer(encoded: bytes) -> int:
    """A number from 0 to 2^32 - 1."""
    content = one(encoded, INTEGER)
    if not 1 <= len(content) <= 5 or content[0] & 0x80 or (len(content) > 1 and content[0] == 0 and not content[1] & 0x80):
        raise DerError("not a small integer")
    return int.from_bytes(content, "big")


def identifier(content: bytes) -> str:
    """An object identifier, with dots."""
    if not content or content[-1] & 0x80:
        raise DerError("not an object identifier")
    arcs, value, begins = [], 0, True
    for byte in content:
        if begins and byte == 0x80:
            raise DerError("an arc with a needless byte")
        value, begins = value << 7 | byte & 0x7F, not byte & 0x80
        if begins:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


@dataclass(frozen=True)
class Certificate:
    """What a certificate says; nothing about it is verified."""

    signed: bytes  # the part that the signature is over
    signature: bytes
    signature_algorithm: str
    issuer: bytes
    subject: bytes
    not_before: datetime
    not_after: datetime
    public_key: bytes  # SubjectPublicKeyInfo
    extensions: dict[str, bytes]

    @classmethod
    def read(cls, encoded: bytes) -> Certificate:
        if len(encoded) > _LONGEST:
            raise DerError(f"a certificate of more than {_LONGEST} bytes")
        parts = _sequence(one(encoded, SEQUENCE), SEQUENCE, SEQUENCE, BIT_STRING)
        body, algorithm, signature = parts
        if signature.content[:1] != b"\0":
            raise DerError("a signature that is not whole bytes")
        fields = list(items(body.content))
        tags = [field.tag for field in fields]
        if tags != [_VERSION, INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, _EXTENSIONS]:
            raise DerError("not the fields of a certificate with extensions")
        if fields[0].encoded != _X509_V3:
            raise DerError("not of version 3")
        if fields[2].encoded != algorithm.encoded:
            raise DerError("two signature algorithms")
        algorithm_oid = next(items(algorithm.content), Item(0, b"", b""))
        if algorithm_oid.tag != OID:
            raise DerError("no signature algorithm")
        begin, end = (_time(item) for item in _pair(fields[4].content))
        return cls(
            signed=body.encoded,
            signature=signature.content[1:],
            signature_algorithm=identifier(algorithm_oid.content),
            issuer=fields[3].encoded,
            subject=fields[5].encoded,
            not_before=begin,
            not_after=end,
            public_key=fields[6].encoded,
            extensions=_extensions(fields[7].content),
        )

    def common_name(self) -> str:
        for relative in items(one(self.subject, SEQUENCE)):
            for attribute in items(one(relative.encoded, SET)):
                kind, value = _pair(one(attribute.encoded, SEQUENCE))
                if kind.tag == OID and identifier(kind.content) == _COMMON_NAME:
                    return value.content.decode("ascii")
        return ""


def _head(encoded: bytes) -> tuple[int, int, int]:
    """The tag of the first item, where its content begins and where it ends."""
    if len(encoded) < 2:
        raise DerError("cut short")
    tag, length, start = encoded[0], encoded[1], 2
    if tag & 0x1F == 0x1F:
        raise DerError("a tag of several bytes")
    if length & 0x80:
        count = length & 0x7F
        start += count
        if not 1 <= count <= 3 or len(encoded) < start:
            raise DerError("not a definite length")
        length = int.from_bytes(encoded[2:start], "big")
        if length < 0x80 or length >> 8 * (count - 1) == 0:
            raise DerError("a length with needless bytes")
    if len(encoded) < start + length:
        raise DerError("cut short")
    return tag, start, start + length


def _sequence(content: bytes, *tags: int) -> list[Item]:
    found = list(items(content))
    if [item.tag for item in found] != list(tags):
        raise DerError("another sequence")
    return found


def _pair(content: bytes) -> tuple[Item, Item]:
    found = list(items(content))
    if len(found) != 2:
        raise DerError("not two items")
    return found[0], found[1]


def _time(item: Item) -> datetime:
    text = item.content
    if item.tag == _UTC_TIME:
        text = (b"19" if text[:2] >= b"50" else b"20") + text  # RFC 5280, 4.1.2.5.1
    elif item.tag != _GENERALIZED_TIME:
        raise DerError("not a time")
    matched = _TIME.fullmatch(text)
    if matched is None:
        raise DerError("not a time")
    year, month, day, hour, minute, second = map(int, matched.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)


def _extensions(content: bytes) -> dict[str, bytes]:
    extensions: dict[str, bytes] = {}
    for extension in items(one(content, SEQUENCE)):
        parts = list(items(one(extension.encoded, SEQUENCE)))
        if not 2 <= len(parts) <= 3 or parts[0].tag != OID or parts[-1].tag != OCTET_STRING:
            raise DerError("not an extension")
        name = identifier(parts[0].content)
        if name in extensions:
            raise DerError(f"extension {name} twice")
        extensions[name] = parts[-1].content
    return extensions
