"""The book of a server's receipts: nothing is lost in it, and nothing in it is believed that does not verify."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from receipt_vectors import AFTER, KEY, OTHER, PRICE, chain, receipt, two
from receipt_writer import public_hex

from bastionlab import Receipt, errors, verify_receipt
from bastionlab._receipt_book import ReceiptBook, book_directory, pin, pinned, pins_path

PUBLIC = public_hex(KEY)


def verified(*files: dict[str, object]) -> list[Receipt]:
    found = [verify_receipt(file) for file in files]
    return [each for each in found if isinstance(each, Receipt)]


CHAIN = verified(*chain())


def names(receipts: list[Receipt]) -> list[tuple[str, int]]:
    return [(each.account[:2], each.seq) for each in receipts]


def test_what_is_added_is_there_for_every_process_and_once() -> None:
    book = ReceiptBook(PUBLIC)
    assert book.all() == []
    assert book.add(CHAIN[:3]) == CHAIN[:3]
    assert book.add(CHAIN[1:]) == CHAIN[3:]
    assert book.add(CHAIN) == []
    assert book.add([CHAIN[0], CHAIN[0]]) == []
    for each in (book, ReceiptBook(PUBLIC)):
        assert each.all() == CHAIN
    assert verify_receipt(book.path, PUBLIC) == CHAIN, "a book is what verify_receipt takes"


def test_nobody_else_can_read_it() -> None:
    book = ReceiptBook(PUBLIC)
    book.add(CHAIN)
    pin("localhost:1", PUBLIC)
    assert stat.S_IMODE(book_directory().stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in book_directory().iterdir()} == {
        f"{PUBLIC}.jsonl": 0o600,
        "servers.json": 0o600,
        "servers.lock": 0o600,
    }


def test_a_book_torn_at_any_byte_keeps_what_is_whole_and_goes_on() -> None:
    whole = ReceiptBook(PUBLIC)
    whole.add(CHAIN[:2])
    content = whole.path.read_bytes()
    first = content.index(b"\n") + 1
    for end in range(len(content) + 1):
        whole.path.write_bytes(content[:end])
        expected = CHAIN[: (end >= first - 1) + (end >= len(content) - 1)]
        assert ReceiptBook(PUBLIC).all() == expected
        # What is added waits for the disk: near the ends of lines, and a sample of the bytes between.
        if end % 11 and min(abs(end - first), len(content) - end, end) > 3:
            continue
        again = ReceiptBook(PUBLIC)
        again.add(CHAIN[2:3])
        kept = [*expected, CHAIN[2]]
        assert again.all() == kept
        assert verify_receipt(whole.path) == (kept if len(kept) > 1 else kept[0]), "and the file is a book again"


def test_what_does_not_verify_is_named_and_stays() -> None:
    book = ReceiptBook(PUBLIC)
    book.add(CHAIN[:1])
    bad = [b"not a receipt", json.dumps(receipt("data", OTHER)).encode(), b"\xff", json.dumps({"x": 1}).encode()]
    with book.path.open("ab") as file:
        file.write(b"\n".join([*bad, b"", b""]))
    with pytest.warns(errors.PrivacyWarning) as told:
        assert book.add(CHAIN[1:]) == CHAIN[1:]
    (text,) = (str(each.message) for each in told)
    assert text.startswith(f"line 2 of {book.path} is ignored: check 'form' failed")
    assert text.endswith(", and 3 more lines of it")
    assert book.all() == CHAIN
    assert all(line in book.path.read_bytes() for line in bad)
    with pytest.warns(errors.PrivacyWarning):
        assert ReceiptBook(PUBLIC).all() == CHAIN
    book.path.write_bytes(b"not a receipt\n")
    with pytest.warns(errors.PrivacyWarning, match=r"line 1 of .* is ignored: .*\)$"):
        assert ReceiptBook(PUBLIC).all() == []


def test_a_file_that_was_replaced_is_read_anew() -> None:
    book = ReceiptBook(PUBLIC)
    book.add(CHAIN)
    book.path.write_bytes(b"")
    assert book.all() == CHAIN, "this process still knows"
    assert ReceiptBook(PUBLIC).all() == []


def test_the_newest_of_each_account() -> None:
    book = ReceiptBook(PUBLIC)
    other = verified(*chain(account="7e" * 16))
    book.add([*CHAIN[::-1], *other[:3]])
    assert names(book.newest()) == [("5b", 5), ("7e", 3)]


def test_where_two_contradict_each_other_both_are_shown() -> None:
    fork = verified(receipt("data", seq=3, prev=CHAIN[1].digest, at=5, after=PRICE["after"]))[0]
    stray = verified(receipt("data", seq=4, prev="99" * 32, account="7e" * 16))[0]
    before = verified(receipt("data", seq=3, account="7e" * 16))[0]
    book = ReceiptBook(PUBLIC)
    book.add([*CHAIN, fork, before, stray])
    assert {each.digest for each in book.newest()} == {each.digest for each in (CHAIN[4], CHAIN[2], CHAIN[3], fork, before, stray)}


def test_where_sums_do_not_follow_both_are_shown() -> None:
    first, second = verified(*two(PRICE["after"], "data", AFTER))
    third = verified(receipt("data", seq=4, prev=second.digest))[0]
    book = ReceiptBook(PUBLIC)
    book.add([first, second, third])
    assert book.newest() == [third, first, second]


def test_a_freeze_is_kept_and_not_shown() -> None:
    freeze = verified(receipt("freeze", seq=6, prev=CHAIN[4].digest))[0]
    book = ReceiptBook(PUBLIC)
    book.add([*CHAIN, freeze])
    assert book.all()[-1] == freeze
    assert book.newest() == [CHAIN[4]]


def test_up_to_where_nothing_is_missing() -> None:
    book = ReceiptBook(PUBLIC)
    account = CHAIN[0].account
    assert book.complete_until(account) == 0
    book.add([CHAIN[1], CHAIN[4]])
    assert book.complete_until(account) == 0
    book.add([CHAIN[0]])
    assert book.complete_until(account) == 2
    book.add(CHAIN)
    assert book.complete_until(account) == 5


ADDING = """
import json, sys
from bastionlab import verify_receipt
from bastionlab._receipt_book import ReceiptBook
files = json.loads(sys.stdin.readline())
receipts = [verify_receipt(file) for file in files]
print("ready", flush=True)
sys.stdin.readline()
book = ReceiptBook(receipts[0].key)
for receipt in receipts:
    book.add([receipt])
"""


def test_two_processes_at_once_lose_nothing_and_write_nothing_twice() -> None:
    files = [receipt("data", seq=seq, at=seq) for seq in range(2, 62)]
    command = [sys.executable, "-c", ADDING]
    # Both add the first and the last twenty, one forwards and the other backwards.
    shares = [files[:40], files[:19:-1] + files[:20][::-1]]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in shares]
    for process, share in zip(processes, shares, strict=True):
        assert process.stdin is not None
        process.stdin.write(json.dumps(share) + "\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("\n", timeout=60)
        assert process.returncode == 0
    found = ReceiptBook(PUBLIC).all()
    assert sorted(each.seq for each in found) == list(range(2, 62))
    assert len(ReceiptBook(PUBLIC).path.read_bytes().splitlines()) == 60


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="a directory that takes nothing")
def test_a_directory_that_takes_nothing() -> None:
    book_directory().mkdir(parents=True, mode=0o500)
    book = ReceiptBook(PUBLIC)
    with pytest.raises(PermissionError):
        book.add(CHAIN)


def test_what_could_not_be_written_is_known_here_and_written_later() -> None:
    book_directory().parent.mkdir(parents=True)
    book_directory().write_text("in the way")
    book = ReceiptBook(PUBLIC)
    with pytest.raises(OSError, match="exists"):
        book.add(CHAIN[:2])
    with pytest.warns(errors.PrivacyWarning, match="cannot be read"):
        assert book.all() == CHAIN[:2]
    book_directory().unlink()
    book.add(CHAIN[2:3])
    assert ReceiptBook(PUBLIC).all() == CHAIN[:3]


def test_a_disk_that_fills_up_leaves_a_torn_line_that_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    book = ReceiptBook(PUBLIC)
    book.add(CHAIN[:1])
    size = book.path.stat().st_size

    def full(descriptor: int) -> None:
        os.truncate(descriptor, size + 700)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            book.add(CHAIN[1:3])
    assert book.all() == CHAIN[:3]
    book.add(CHAIN[3:])
    assert verify_receipt(book.path) == CHAIN


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"localhost:1": 7}', '{"localhost:1": "AB"}', "\ufeff{}", pytest.param("[" * 50_000, id="nested")]
)
def test_pins_that_cannot_be_read_are_none(content: str) -> None:
    book_directory().mkdir(parents=True)
    (book_directory() / "servers.json").write_text(content)
    assert pinned("localhost:1") == ""
    pin("localhost:1", PUBLIC)
    assert pinned("localhost:1") == PUBLIC


def test_pins_are_of_addresses() -> None:
    pin("localhost:1", PUBLIC)
    pin("localhost:2", public_hex(OTHER))
    pin("localhost:1", public_hex(OTHER))
    assert (pinned("localhost:1"), pinned("localhost:2"), pinned("localhost:3")) == (public_hex(OTHER), public_hex(OTHER), "")
    lines = pins_path().read_text().splitlines(keepends=True)
    for taken in ("localhost:1", "localhost:2"):
        pins_path().write_text("".join(line for line in lines if f'"{taken}"' not in line))
        assert (pinned("localhost:1") == "") == (taken == "localhost:1")
        assert (pinned("localhost:2") == "") == (taken == "localhost:2")
    assert [path.name for path in sorted(Path(book_directory()).iterdir())] == ["servers.json", "servers.lock"]
