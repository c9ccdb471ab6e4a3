"""Receipts are verified as docs/receipts.md says, and nothing that differs from one by a byte is one."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
import receipt_vectors
from receipt_vectors import AFTER, KEY, OTHER, chain, good_ones, receipt
from receipt_writer import public_hex

from bastionlab import Receipt, errors, verify_receipt
from bastionlab._receipt_checks import from_message
from bastionlab.v1 import ledger_pb2

FILE = Path(__file__).parents[2] / "vectors" / "receipts" / "vectors.json"
# The file is of the whole checkout; where only the client is, its script stands for it.
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text() if FILE.exists() else receipt_vectors.text())


@pytest.mark.skipif(not FILE.exists(), reason="needs the whole checkout")
def test_the_vectors_are_those_that_their_script_makes() -> None:
    assert FILE.read_text() == receipt_vectors.text()


def test_there_are_vectors_of_every_check() -> None:
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS) > 300
    assert {vector["check"] for vector in VECTORS} == {"", "form", "signature", "key", "charge", "sums", "fork", "chain"}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any], tmp_path: Path) -> None:
    file = vector["file"]
    if "fill" in vector:
        file = file.replace("@@", vector["fill"]["with"] * vector["fill"]["times"])
    path = tmp_path / "receipt.json"
    if isinstance(file, list):
        path.write_text("".join(json.dumps(each) + "\n" for each in file))
    else:
        path.write_bytes((file if isinstance(file, str) else json.dumps(file)).encode())
    given: list[Any] = [path, str(path)] + ([file] if isinstance(file, dict) else [])
    for each in given:
        if vector["ok"]:
            verified = verify_receipt(each, vector["key"])
            assert isinstance(verified, list if vector["name"].startswith("book") else Receipt)
        else:
            with pytest.raises(errors.AttestationError) as refused:
                verify_receipt(each, vector["key"])
            error = refused.value
            assert (error.check, error.charged) == (vector["check"], "nothing")
            assert all((error.expected, error.seen, error.next))


@pytest.mark.parametrize("kind", ["open", "reserve"])
def test_no_byte_of_a_receipt_can_be_changed(kind: str) -> None:
    good = receipt(kind)
    assert isinstance(verify_receipt(good), Receipt)
    for member in ("body", "signature", "key"):
        text = good[member]
        for at in range(len(text)):
            for bit in (0x01, 0x20):
                changed = good | {member: text[:at] + chr(ord(text[at]) ^ bit) + text[at + 1 :]}
                with pytest.raises(errors.AttestationError):
                    verify_receipt(changed, public_hex(KEY))


def test_no_byte_of_a_receipt_can_be_left_out() -> None:
    good = receipt("reserve")
    for member in ("body", "signature", "key"):
        text = good[member]
        for at in range(len(text)):
            with pytest.raises(errors.AttestationError):
                verify_receipt(good | {member: text[:at] + text[at + 1 :]})


def test_a_line_of_a_book_names_itself(tmp_path: Path) -> None:
    book = tmp_path / "book.jsonl"
    book.write_text("".join(f"{json.dumps(each)}\n" for each in [*chain(), {"x": 1}]))
    with pytest.raises(errors.AttestationError, match="line 6: check 'form' failed"):
        verify_receipt(book)


def test_what_a_receipt_says() -> None:
    priced = verify_receipt(receipt("reserve"))
    assert isinstance(priced, Receipt)
    assert (priced.type, priced.seq, priced.epsilon, priced.limit, priced.spent, priced.frozen) == (
        "reserve",
        2,
        2.0,
        6.0,
        2.0,
        False,
    )
    assert priced.delta == pytest.approx(1.6667e-4, rel=1e-4)
    assert priced.time.year == 2026
    assert priced.scientist == "5c" * 32
    assert (priced.device, verify_receipt(good_ones()["a run on a GPU"]).device) == ("cpu", "cuda")
    assert priced.key == public_hex(KEY)
    endless = verify_receipt(good_ones()["a run without noise"])
    assert isinstance(endless, Receipt)
    assert (endless.epsilon, endless.spent, endless.limit) == (math.inf, math.inf, None)
    data = verify_receipt(receipt("data"))
    assert isinstance(data, Receipt)
    assert (data.epsilon, data.delta, data.charge, data.device, data.outcome) == (None, None, b"", "", "")


TEXTS: dict[str, tuple[Any, list[str]]] = {
    "price": (
        receipt("reserve"),
        ["reserve   receipt 2 of account 5b5b", "price     eps 2 at delta 0.000167", "account   spent 2 of 6"],
    ),
    "on a GPU": (good_ones()["a run on a GPU"], ["price     eps 2 at delta 0.000167, on cuda"]),
    "without noise": (good_ones()["a run without noise"], ["price     infinite: without noise", "spent inf without a limit"]),
    "end": (receipt("settle", development=True), [f"run       {'c4' * 16} completed", "took any key (development)"]),
    "limit of one": (
        receipt("limit", scientist="5c" * 32),
        [f"limit     3 for the scientist {'5c' * 32}", "account   spent 0 of 6"],
    ),
    "freeze": (receipt("freeze"), ["spent 0 of 6, frozen", "reason    a receipt was presented"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_it_prints_as_text(name: str) -> None:
    file, parts = TEXTS[name]
    assert [part for part in parts if part not in str(verify_receipt(file))] == []


def test_a_receipt_is_saved_and_read_again(tmp_path: Path) -> None:
    files = [tmp_path / f"{seq}.json" for seq in range(5)]
    found = [verify_receipt(each) for each in chain()]
    for file, each in zip(files, found, strict=True):
        assert isinstance(each, Receipt)
        each.save(file)
        assert verify_receipt(file) == each
        assert verify_receipt(each.to_dict()) == each
    book = tmp_path / "book.jsonl"
    book.write_bytes(b"".join(file.read_bytes() for file in files))
    assert verify_receipt(book) == found


@pytest.mark.parametrize("given", [None, 7, b"x", ["a"]])
def test_what_is_no_file_and_no_dict(given: Any) -> None:
    with pytest.raises(errors.InvalidArgument):
        verify_receipt(given)


@pytest.mark.parametrize("key", ["", "ab", "AB" * 32, b"\0" * 32, 7])
def test_what_is_no_key(key: Any) -> None:
    with pytest.raises(errors.InvalidArgument, match="key is"):
        verify_receipt(receipt("data"), key)


def test_a_file_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound):
        verify_receipt(tmp_path / "none.json")
    with pytest.raises(errors.InvalidArgument, match="cannot be read"):
        verify_receipt(tmp_path)


def test_members_that_are_no_text() -> None:
    values: tuple[Any, ...] = ({1: 2}, {"body": 1, "signature": 2, "key": 3, "bastionlab_receipt": 1})
    for value in values:
        with pytest.raises(errors.AttestationError):
            verify_receipt(value)


def message_of(file: dict[str, Any], **changed: bytes) -> ledger_pb2.Receipt:
    parts: dict[str, bytes] = dict(
        body=file["body"].encode(), signature=base64.b64decode(file["signature"]), key=bytes.fromhex(file["key"])
    )
    return ledger_pb2.Receipt(**(parts | changed))


def test_what_a_server_sends_is_verified_too() -> None:
    file, public = receipt("open", after=AFTER), public_hex(KEY)
    assert from_message(message_of(file), public) == verify_receipt(file)
    bad: list[tuple[ledger_pb2.Receipt, str, str]] = [
        (message_of(file), public_hex(OTHER), "key"),
        (message_of(file, key=b"short"), public, "signature"),
        (message_of(file, signature=b""), public, "signature"),
        (message_of(file, body=b""), public, "form"),
        (message_of(file, body=b"\xff"), public, "form"),
        (message_of(file, body=b" " * ((1 << 20) + 1)), public, "form"),
    ]
    for message, key, check in bad:
        with pytest.raises(errors.AttestationError) as refused:
            from_message(message, key)
        assert refused.value.check == check
        assert "ask the operator of the server" in refused.value.next
