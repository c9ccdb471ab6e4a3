"""How a receipt is checked without the server that signed it: the checks that docs/receipts.md names, in their order."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.message import DecodeError

from bastionlab import errors
from bastionlab._receipt_form import (
    BLANKS,
    LARGEST_BYTES,
    WHITE_SPACE,
    decode_base64,
    is_hash,
    read_body,
    read_file,
    read_object,
    refuse,
)
from bastionlab._receipt_sums import check_sums, impossible
from bastionlab._receipts import NANO, Receipt
from bastionlab.v1 import ledger_pb2, training_pb2

_SIGNED_PREFIX = b"bastionlab receipt 1\n"
_ATTO = 1e18
# What a charge can name. The CPU is the empty name: a second one would make two charges of one run.
_DEVICES = ("", "cuda")


def verify_receipt(receipt: str | os.PathLike[str] | dict[str, Any], key: str | None = None) -> Receipt | list[Receipt]:
    """Checks a receipt, or a book of them, without any server; AttestationError names the check that failed.

    :param receipt: a file with a receipt, a book (a file with one receipt a line), or what a receipt file holds
    :param key: whose signature is expected, in hex; None: anybody's, so that it proves that *some* server signed it

    >>> import bastionlab
    >>> receipt = learner.fit(nb_epochs=1, eps=1.0).receipt
    >>> bastionlab.verify_receipt(receipt.to_dict(), key=receipt.key) == receipt
    True
    """
    if key is not None and not is_hash(key):
        raise errors.InvalidArgument(f"key is {key!r}", next="give the server's ledger key: 64 hex digits, in lower case")
    if isinstance(receipt, dict):
        return _of_file(receipt, key)
    if not isinstance(receipt, (str, os.PathLike)):
        raise errors.InvalidArgument(f"receipt is a {type(receipt).__name__}", next="give a file's name or a dict")
    lines = _lines_of(Path(receipt))
    if len(lines) == 1:
        return _of_text(lines[0][1], key)
    found: list[Receipt] = []
    for number, line in lines:
        try:
            found.append(_of_text(line, key or (found[0].key if found else None)))
        except errors.AttestationError as error:
            raise errors.AttestationError(
                error.check, error.expected, error.seen, what=f"line {number}: {error.what}", next=error.next
            ) from None
    for check, before, after in contradictions(found):
        raise contradiction(check, before, after)
    return found


def from_message(message: ledger_pb2.Receipt, key: str) -> Receipt:
    """What a server sent as a receipt of its own, verified."""
    try:
        return _checked(message.body, message.signature, message.key, key)
    except errors.AttestationError as error:
        # Another copy would be no better: it is the server itself that says so.
        error.next = "ask the operator of the server, and rely on nothing that it says of its accounts until it is mended"
        raise


def from_line(line: bytes, key: str) -> Receipt:
    """A line of a book, verified."""
    return _of_text(line, key)


def contradictions(receipts: Iterable[Receipt]) -> Iterator[tuple[str, Receipt, Receipt]]:
    """Pairs that cannot both be of one ledger, each with the check that says so. Gaps are none: a scientist's book has many."""
    receipts = list(receipts)
    accounts: dict[str, dict[int, dict[str, Receipt]]] = {}
    for receipt in receipts:
        accounts.setdefault(receipt.account, {}).setdefault(receipt.seq, {})[receipt.body] = receipt
    chains = []
    for numbers in accounts.values():
        for number, same in numbers.items():
            first, *others = same.values()
            yield from (("fork", first, other) for other in others)
            chains += [(before, after) for before in numbers.get(number - 1, {}).values() for after in same.values()]
    yield from (("chain", before, after) for before, after in chains if after.prev != before.digest)
    follow = [(before, after) for before, after in chains if after.prev == before.digest]
    yield from (("sums", before, after) for before, after in impossible(follow, receipts))


def contradiction(check: str, before: Receipt, after: Receipt) -> errors.AttestationError:
    where = f"receipt {after.seq} of account {after.account}"
    proves = "the server has told two stories"
    if check == "fork":
        expected, seen = f"one {where}", "two that differ, both signed"
    elif check == "chain":
        expected, seen = f"{where} to follow on number {before.seq}", "another one before it"
    else:
        expected, seen = f"{where} to move the account as number {before.seq} left it", "an account that it cannot have made"
        proves = "the server's sums are wrong"
    return errors.AttestationError(check, expected, seen, next=f"keep both receipts: together they prove that {proves}")


def _lines_of(path: Path) -> list[tuple[int, bytes]]:
    """A file that is one JSON object is one receipt however it is broken into lines; any other is a book."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise errors.NotFound(f"there is no file {path}", next="give a receipt file, or a book of receipts") from None
    except OSError as error:
        raise errors.InvalidArgument(f"{path} cannot be read ({(error.strerror or str(error)).lower()})") from None
    lines = [(number, line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip(BLANKS)]
    if not lines:
        refuse("form", "a receipt", "an empty file")
    content = content.strip(WHITE_SPACE)
    if len(lines) > 1 and len(content) <= LARGEST_BYTES:
        try:
            json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError):
            return lines
        return [(1, content)]
    return lines


def _of_text(text: bytes, key: str | None) -> Receipt:
    text = text.strip(WHITE_SPACE)
    if len(text) > LARGEST_BYTES:
        refuse("form", f"a receipt of at most {LARGEST_BYTES} bytes", f"{len(text)} bytes")
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        refuse("form", "a receipt in UTF-8", "other bytes")
    return _of_file(read_object(decoded), key)


def _of_file(value: dict[str, Any], key: str | None) -> Receipt:
    return _checked(*read_file(value), key)


def _checked(encoded: bytes, signature: bytes, signer: bytes, key: str | None) -> Receipt:
    """All checks of one receipt, in the order in which docs/receipts.md names them."""
    body = read_body(encoded)
    try:
        Ed25519PublicKey.from_public_bytes(signer).verify(signature, _SIGNED_PREFIX + encoded)
    except (InvalidSignature, ValueError):
        refuse("signature", f"a signature by {signer.hex()} over the body", "another one")
    # SECURITY: anybody can make a key and sign with it; only whoever knows the server's key knows that the server has signed.
    if key is not None and signer.hex() != key:
        refuse("key", key, signer.hex())
    charge = decode_base64(body["charge"]) or b"" if "charge" in body else b""
    device = (_check_charge(body, charge).device or "cpu") if body["type"] == "reserve" else ""
    check_sums(body)
    return _receipt(body, encoded, signature, signer, charge, device)


def _check_charge(body: dict[str, Any], encoded: bytes) -> training_pb2.Charge:
    try:
        charge: training_pb2.Charge = training_pb2.Charge.FromString(encoded)
    except DecodeError:
        refuse("charge", "an encoded bastionlab.v1.Charge", "other bytes")
    # Two verifiers that read other fields, or take one of two values, would agree on other prices.
    charge.DiscardUnknownFields()
    if charge.SerializeToString(deterministic=True) != encoded:
        refuse("charge", "the fields of a bastionlab.v1.Charge in the one way they are written", "others, or another way")
    says = {
        "dataset": (body["dataset"], charge.dataset_id),
        "epsilon": (body.get("epsilon", 0), charge.epsilon_nano),
        "run_delta": (body.get("run_delta", 0), charge.delta_atto),
        "infinite": (body.get("infinite", False), not charge.private),
        "renyi": (body.get("renyi", []), [cost.pico for cost in charge.renyi]),
    }
    for name, (expected, seen) in says.items():
        if expected != seen:
            refuse("charge", f"{name} {expected}", f"{seen} in the charge")
    # SECURITY: it is printed, so that a name of any other kind is none.
    if charge.device not in _DEVICES:
        refuse("charge", "no device, which is the CPU, or cuda", f"{charge.device!r}")
    if not charge.steps:
        refuse("charge", "steps that determine the price", "none")
    for step in charge.steps:
        noisy = not charge.private or 0 < step.noise_multiplier < math.inf
        if step.count < 1 or not 0 < step.sample_rate <= 1 or not noisy:
            refuse(
                "charge",
                "steps that determine the price",
                f"{step.count} at rate {step.sample_rate}, noise {step.noise_multiplier}",
            )
    return charge


def _receipt(body: dict[str, Any], encoded: bytes, signature: bytes, signer: bytes, charge: bytes, device: str) -> Receipt:
    after = body["after"]
    priced = body["type"] == "reserve"
    epsilon = math.inf if body.get("infinite") else body.get("epsilon", 0) / NANO
    return Receipt(
        type=body["type"],
        account=body["account"],
        seq=body["seq"],
        time=datetime.fromtimestamp(body["at"] / 1000, timezone.utc),
        dataset=body["dataset"],
        owner=body["owner"],
        scientist=body.get("scientist", ""),
        run=body.get("run", ""),
        epsilon=epsilon if priced else None,
        delta=body.get("run_delta", 0) / _ATTO if priced else None,
        charge=charge,
        device=device,
        outcome=body.get("outcome", ""),
        reason=body.get("reason", ""),
        limit=after["limit"] / NANO if "limit" in after else None,
        spent=math.inf if after.get("infinite") else after["spent"] / NANO,
        frozen=after.get("frozen", False),
        accounts=tuple(body.get("accounts", ())),
        development=body["development"],
        level=body["level"],
        release=body["release"],
        boot=body["boot"],
        key=signer.hex(),
        prev=body.get("prev", ""),
        body=encoded.decode("ascii"),
        signature=signature,
    )
