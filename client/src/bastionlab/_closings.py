"""The last word of a server whose keys ended with it: a signed close of each account.

Invariant: a close counts only under the key that was remembered from the time when the account was opened. A server that comes
after it can hand the old one's words on; it can write none.
"""

from __future__ import annotations

from collections.abc import Callable

import grpc

from bastionlab import errors
from bastionlab._receipt_book import ReceiptBook
from bastionlab._receipt_checks import contradictions, from_message
from bastionlab._receipts import Receipt
from bastionlab._uploads import Note, notes_of
from bastionlab.v1 import ledger_pb2

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
    wanted = {note.key for note in notes if note.key != key and note.identifier not in given_away and closing_of(note) is None}
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


def closing_of(note: Note) -> Receipt | None:
    """The signed close of the account that an upload was on; None where none is known, or the ledger told two stories of it."""
    if not note.account or not note.key:
        return None
    receipts = ReceiptBook(note.key).all()
    account, seen = note.account, {note.account}
    while heir := next((each.account for each in receipts if each.type == "join" and account in each.accounts), None):
        if heir in seen:
            return None
        account = heir
        seen.add(heir)
    known = [each for each in receipts if each.account == account]
    if any(True for _ in contradictions(known)):
        return None
    newest = max(known, key=lambda each: each.seq, default=None)
    return newest if newest is not None and newest.type == "close" else None
