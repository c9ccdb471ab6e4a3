"""What an owner's client remembers of uploads to servers whose keys end with them: a note for each, beside the receipt books.

A server of the storage level "memory" forgets its accounts when it is restarted. These notes are how the same records are known
again: each holds a sketch of the records, the terms, the account, and which earlier uploads it goes on from.

Invariants: a note is on disk, whole, before anything of its upload is sent. An upload that is named in another's `continues` has
given what was left of it away, once, and is good for nothing more.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bastionlab import errors
from bastionlab._numbers import LARGEST_INTEGER
from bastionlab._receipt_book import book_directory, locked
from bastionlab._receipt_form import is_hash

_VERSION = 1
_KEY_BYTES = 32
_SKETCH_BYTES = 8  # of each record that is in it


@dataclass(frozen=True)
class Note:
    """One training or test set that was sent, or was about to be."""

    owner: str
    """The user who sent it, as the server names them."""
    address: str
    key: str
    """Of the ledger that it was sent to, in hex; empty where that signs no receipts."""
    records: int
    """How many distinct ones it has."""
    name: str = ""
    upload: str = ""
    """The same for the training and the test set of one call."""
    left_nano: int | None = None
    """The most that its account may have as a limit, where it goes on from earlier ones; else None."""
    left_delta_atto: int | None = None
    continues: tuple[str, ...] = ()
    """The notes of earlier uploads, of whose accounts what was left went to this one."""
    account: str = ""
    """Empty while it is not known whether the server opened one."""
    identifier: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def path(self) -> Path:
        return notes_directory() / f"{self.identifier}.json"

    @property
    def sketch_path(self) -> Path:
        return notes_directory() / f"{self.identifier}.sketch"

    def save(self, sketch: bytes | None = None) -> None:
        """Durably. The sketch comes first: a note without one says nothing.

        OSError is the caller's: what is not remembered must not be sent.
        """
        notes_directory().mkdir(parents=True, exist_ok=True, mode=0o700)
        if sketch is not None:
            _write(self.sketch_path, sketch)
        _write(self.path, json.dumps({"version": _VERSION} | asdict(self), indent=1).encode("ascii") + b"\n")

    def with_account(self, account: str) -> Note:
        return replace(self, account=account)

    def remove(self) -> None:
        """For an upload that the server refused: there is no account."""
        for path in (self.path, self.sketch_path):
            path.unlink(missing_ok=True)

    def sketch(self) -> bytes:
        content = self.sketch_path.read_bytes()
        if not content or len(content) % _SKETCH_BYTES or len(content) // _SKETCH_BYTES > self.records:
            raise _damaged(self.sketch_path)
        return content


def notes_directory() -> Path:
    return book_directory() / "uploads"


def notes_of(owner: str) -> list[Note]:
    """An owner's notes, in no order.

    What cannot be read is an error: it could be of the very records that are to be sent.
    """
    try:
        paths = sorted(notes_directory().glob("*.json"))
    except OSError:
        return []
    return [note for note in map(_read, paths) if note.owner == owner]


@contextlib.contextmanager
def exclusively() -> Iterator[None]:
    """While no other upload of this user, in whatever process, decides on what terms it may be sent."""
    notes_directory().mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(notes_directory() / "lock"):
        yield


def sketch_key() -> bytes:
    """The key under which records are sketched, drawn once: without it a sketch says nothing about any record."""
    path = notes_directory() / "key"
    notes_directory().mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # another process was faster
            _write(path, secrets.token_bytes(_KEY_BYTES), new=True)
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise _damaged(path)
    return key


def _read(path: Path) -> Note:
    try:
        value: Any = json.loads(path.read_text(encoding="ascii"))
        if value.pop("version") != _VERSION:
            raise ValueError
        note = Note(**value | {"continues": tuple(value["continues"]), "identifier": path.stem})
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path) from error
    texts = (note.owner, note.address, note.key, note.name, note.upload, note.account, *note.continues)
    numbers = (note.records, *(left for left in (note.left_nano, note.left_delta_atto) if left is not None))
    right = all(isinstance(each, str) for each in texts)
    right = right and all(type(each) is int and 0 <= each <= LARGEST_INTEGER for each in numbers)
    if not right or not (is_hash(note.key) or note.key == "") or value["identifier"] != path.stem:
        raise _damaged(path)
    return note


def _damaged(path: Path) -> errors.InvalidArgument:
    return errors.InvalidArgument(
        f"{path} is damaged: it is part of what is remembered of your uploads, and decides what may still be spent of your records",
        next="put it back from a backup; or remove it, if you know that what it was about was never trained on",
    )


def _write(path: Path, content: bytes, new: bool = False) -> None:
    """Whole or not at all, and durable.

    SECURITY: the mode is set when the file is made: a note says what was uploaded where, and the key opens the sketches.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        if new:
            os.link(draft, path)
        else:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    with _opened(directory) as descriptor:
        if descriptor is not None:
            os.fsync(descriptor)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:  # Windows: names are as durable as it makes them
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
