"""The last word of a server whose keys ended with it: a signed close of each account.

Invariant: a close counts only under the key that was remembered from the time when the account was opened. A server that comes
after it can hand the old one's words on; it can write none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import grpc

from bastionlab import errors
from bastionlab._receipt_book import ReceiptBook
from bastionlab._receipt_checks import contradictions, from_message
from bastionlab._receipts import Receipt
from bastionlab._uploads import Note, notes_of
from bastionlab.v1 import ledger_pb2

Books = dict[str, list[Receipt]]  # by key

Ask = Callable[[ledger_pb2.ListClosingsRequest], ledger_pb2.ListReceiptsResponse]


def collect_closings(owner: str, key: str, ask: Ask) -> list[str]:
    """After a sign-in: fetches the closes of accounts whose ledger is gone into its book; what the user should be warned of.

    :param key: of the ledger that is there now
    """
    try:
        notes = notes_of(owner)
    except errors.InvalidArgument:
        return []  # said when something is uploaded, where it matters
    given_away = {identifier for note in notes for identifier in note.continues}
    left = [note for note in notes if note.key != key and note.identifier not in given_away]
    # Each book once: every receipt in it is verified.
    books = books_of(left)
    wanted = {note.key for note in left if closing_of(note, books) is None}
    if not wanted:
        return []
    try:
        answer = ask(ledger_pb2.ListClosingsRequest())
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNIMPLEMENTED:
            raise
        return []  # an older release: there are none
    return _keep(answer.receipts, wanted)


def _keep(messages: list[ledger_pb2.Receipt], wanted: set[str]) -> list[str]:
    warnings: list[str] = []
    for message in messages:
        # SECURITY: which key a close must have is what this client remembers; the one beside it only says which is meant.
        remembered = next((key for key in wanted if key == message.key.hex()), None)
        if remembered is None:
            continue
        try:
            receipt = from_message(message, remembered)
            if receipt.type == "close":
                ReceiptBook(remembered).add([receipt])
        except errors.AttestationError as error:
            warnings.append(f"the server handed on a close of an earlier ledger that is none, and it is not counted: {error.what}")
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            warnings.append(f"the close of an earlier ledger cannot be kept ({why}): its account counts as wholly spent for now")
    return warnings[:1]


def books_of(notes: Iterable[Note]) -> Books:
    """The receipts of the ledgers that the uploads went to."""
    return {key: ReceiptBook(key).all() for key in {note.key for note in notes if note.key}}


def closing_of(note: Note, books: Books) -> Receipt | None:
    """The signed close of the account that an upload was on; None where none is known, or the ledger told two stories of it."""
    if not note.account or not note.key:
        return None
    receipts = books[note.key]
    account = _heir(note.account, receipts)
    known = [each for each in receipts if each.account == account]
    if any(True for _ in contradictions(known)):
        return None
    newest = max(known, key=lambda each: each.seq, default=None)
    return newest if newest is not None and newest.type == "close" else None


def by_account(notes: list[Note], books: Books) -> list[list[Note]]:
    """Notes of uploads that drew on one account, together, also where it became one later."""
    found: dict[tuple[str, ...], list[Note]] = {}
    for note in notes:
        # Of which no account is known stands alone.
        on = (note.key, _heir(note.account, books.get(note.key, []))) if note.account else (note.identifier,)
        found.setdefault(on, []).append(note)
    return list(found.values())


def _heir(account: str, receipts: list[Receipt]) -> str:
    """The account that goes on with an account; empty where receipts name none, one after the other in a circle."""
    seen = {account}
    while heir := next((each.account for each in receipts if each.type == "join" and account in each.accounts), None):
        if heir in seen:
            return ""
        account = heir
        seen.add(heir)
    return account
