"""Evidence in a file, for somebody who verifies it later or elsewhere: `bastionlab verify evidence FILE`."""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from bastionlab._attestation._channel import Channel
from bastionlab._attestation._refuse import each_once, refuse
from bastionlab.v1 import attestation_pb2

FORM = "bastionlab evidence 1"
_MEMBERS = ("form", "evidence", "public_key", "nonce", "exporter")
_LARGEST = 1 << 20


def save(path: str | os.PathLike[str], evidence: attestation_pb2.Evidence, nonce: bytes, channel: Channel) -> None:
    Path(path).write_text(json.dumps(members(evidence, nonce, channel), indent=1) + "\n", encoding="ascii")


def members(evidence: attestation_pb2.Evidence, nonce: bytes, channel: Channel) -> dict[str, str]:
    return {
        "form": FORM,
        "evidence": _encode(evidence.SerializeToString(deterministic=True)),
        "public_key": _encode(channel.public_key),
        "nonce": _encode(nonce),
        "exporter": _encode(channel.exporter) if channel.binding == attestation_pb2.BINDING_EXPORTER else "",
    }


def load(path: str | os.PathLike[str]) -> tuple[attestation_pb2.Evidence, bytes, Channel]:
    """Evidence, nonce and channel, as `verify` takes them. What is in the file is not verified by reading it."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        refuse("evidence", "a file with evidence", f"{os.fspath(path)}: {error.strerror}")
    if len(text) > _LARGEST:
        refuse("evidence", f"a file of at most {_LARGEST} bytes", "more")
    try:
        return read(json.loads(text.decode("utf-8"), object_pairs_hook=each_once))
    except (ValueError, RecursionError) as error:
        refuse("evidence", "a file with evidence in JSON", error)


def read(written: Any) -> tuple[attestation_pb2.Evidence, bytes, Channel]:
    if not isinstance(written, dict) or set(written) != set(_MEMBERS) or written["form"] != FORM:
        refuse("evidence", f"an object with {', '.join(_MEMBERS)} of form {FORM!r}", "another")
    encoded, public_key, nonce, exporter = (_decode(written[name], name) for name in _MEMBERS[1:])
    try:
        evidence = attestation_pb2.Evidence.FromString(encoded)
    except DecodeError:
        refuse("evidence", "an encoded Evidence", f"{len(encoded)} other bytes")
    binding = attestation_pb2.BINDING_EXPORTER if exporter else attestation_pb2.BINDING_KEY
    return evidence, nonce, Channel(public_key, binding, exporter or bytes(32))


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _decode(value: Any, name: str) -> bytes:
    try:
        decoded = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        decoded = None
    if decoded is None or _encode(decoded) != value:  # one way of writing only
        refuse("evidence", f"base64 in {name}", type(value).__name__)
    return decoded
