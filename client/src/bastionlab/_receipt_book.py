"""What a client keeps of the receipts of one server: a file to which lines are added and from which none is ever taken.

Invariants: what a book returns has been verified under its key; a line that does not verify is ignored, and stays where it is, for
whoever wants to know why; only the beginning of a line that was cut off while it was written is dropped. Any number of processes
may add at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from bastionlab import errors
from bastionlab._identity import identity_directory
from bastionlab._notices import notice
from bastionlab._receipt_checks import contradictions, from_line
from bastionlab._receipt_form import BLANKS, is_hash
from bastionlab._receipts import Receipt, to_line

try:
    import fcntl
except ImportError:  # Windows: one process at a time
    fcntl = None  # type: ignore[assignment]

_PINS = "servers.json"


def book_directory() -> Path:
    """Beside this user's identities."""
    return identity_directory().parent / "receipts"


class ReceiptBook:
    """The receipts that one key signed, on disk and, where the disk takes none, in this process."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.path = book_directory() / f"{key}.jsonl"
        self._lock = threading.Lock()
        self._receipts: dict[str, Receipt] = {}  # by digest, in the order in which they came
        self._unwritten: dict[str, Receipt] = {}
        self._read_bytes = 0
        self._read_lines = 0
        self._warnings: list[str] = []

    def all(self) -> list[Receipt]:
        """Every receipt, in the order in which they came."""
        with self._lock:
            self._refresh()
            found = list(self._receipts.values())
        self._warn()
        return found

    def movements(self) -> list[Receipt]:
        """Every receipt but those of freezing.

        An older copy of the ledger is frozen by what it does not hold, and the newest, once it is back, does not hold that freeze:
        it must not be frozen for it in turn. Nothing is lost: what froze an account is in somebody's book, and does so again.
        """
        return [receipt for receipt in self.all() if receipt.type != "freeze"]

    def newest(self) -> list[Receipt]:
        """The newest movement of each account; and where two cannot both be of one ledger, both."""
        receipts = self.movements()
        newest: dict[str, Receipt] = {}
        for receipt in receipts:
            if receipt.account not in newest or receipt.seq > newest[receipt.account].seq:
                newest[receipt.account] = receipt
        found = {receipt.digest: receipt for receipt in newest.values()}
        for _, *both in contradictions(receipts):
            found |= {receipt.digest: receipt for receipt in both}
        return list(found.values())

    def complete_until(self, account: str) -> int:
        """The number up to which none of an account's receipts is missing."""
        numbers = {receipt.seq for receipt in self.all() if receipt.account == account}
        return next(number for number in range(len(numbers) + 1) if number + 1 not in numbers)

    def add(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        """Keeps verified receipts; those that were not in it. OSError where they cannot be written: then this process has them."""
        receipts = list(receipts)
        with self._lock:
            self._refresh()
            new = {each.digest: each for each in receipts if each.digest not in self._receipts}
            self._receipts |= new
            self._unwritten |= new
            if self._unwritten:
                _make_directory()
                with locked(self.path) as file:
                    self._write(file)
        self._warn()
        return list(new.values())

    def _refresh(self) -> None:
        try:
            with self.path.open("rb") as file:
                self._catch_up(file)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._warnings.append(f"the receipts in {self.path} cannot be read ({(error.strerror or str(error)).lower()})")

    def _write(self, file: IO[bytes]) -> None:
        # Another process may have written the same, or this one a part of it before the disk was full.
        tail = self._catch_up(file)
        if self._unwritten:
            if tail and not self._ends_whole(tail):
                file.truncate(self._read_bytes)
                tail = b""
            file.seek(0, os.SEEK_END)
            file.write((b"\n" if tail else b"") + b"".join(map(to_line, self._unwritten.values())))
            file.flush()
            os.fsync(file.fileno())
            # What was just written is read and counted the next time, like what others write.
            self._unwritten.clear()

    def _catch_up(self, file: IO[bytes]) -> bytes:
        """Reads what is new in the file; what follows its last newline."""
        file.seek(0, os.SEEK_END)
        if file.tell() < self._read_bytes:  # somebody put another file there
            self._read_bytes = self._read_lines = 0
        file.seek(self._read_bytes)
        *lines, tail = file.read().split(b"\n")
        ignored: list[str] = []
        for line in lines:
            self._read_bytes += len(line) + 1
            self._read_lines += 1
            if line.strip(BLANKS):
                try:
                    self._take(line)
                except errors.AttestationError as error:
                    ignored.append(f"line {self._read_lines} of {self.path} is ignored: {error.what}")
        if ignored:
            more = f", and {len(ignored) - 1} more lines of it" if len(ignored) > 1 else ""
            self._warnings.append(ignored[0] + more)
        if tail:
            self._ends_whole(tail)
        return tail

    def _ends_whole(self, tail: bytes) -> bool:
        """Whether only the newline was cut off."""
        try:
            self._take(tail)
        except errors.AttestationError:
            return False
        return True

    def _take(self, line: bytes) -> None:
        receipt = from_line(line, self.key)
        self._unwritten.pop(receipt.digest, None)
        self._receipts.setdefault(receipt.digest, receipt)

    def _warn(self) -> None:
        while self._warnings:
            notice(self._warnings.pop(0), errors.PrivacyWarning)


def pins_path() -> Path:
    """Where it is kept which key answers at which address, one a line, for its user to take a line out."""
    return book_directory() / _PINS


def pinned(address: str) -> str:
    """The key that answered at an address when it was last spoken to; empty where that is not known."""
    try:
        return _read_pins().get(address, "")
    except OSError:
        return ""


def pin(address: str, key: str) -> None:
    """Remembers which key answers at an address."""
    _make_directory()
    path = pins_path()
    with locked(path.with_suffix(".lock")):
        pins = _read_pins() | {address: key}
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with _open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, "wb") as file:
            # The form's version comes last, after every address: whichever line of these is taken out, the rest is JSON still.
            file.write(json.dumps(dict(sorted(pins.items())) | {"version": 1}, indent=2).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def _read_pins() -> dict[str, str]:
    path = pins_path()
    try:
        pins: Any = json.loads(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return {str(name): key for name, key in pins.items() if is_hash(key)} if isinstance(pins, dict) else {}


def _make_directory() -> None:
    book_directory().mkdir(parents=True, exist_ok=True, mode=0o700)


# SECURITY: a book says whose data was trained on by whom and when; the mode is set when the file is made.
def _open_private(path: Path, flags: int, mode: str) -> IO[Any]:
    return os.fdopen(os.open(path, flags, 0o600), mode)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[IO[bytes]]:
    """The file, made where there is none, with no other process at it."""
    with _open_private(path, os.O_RDWR | os.O_CREAT, "r+b") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)  # the end of the block closes the file, and with it the lock
        yield file
