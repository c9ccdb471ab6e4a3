"""Fetches receipts from the server into the book."""

from __future__ import annotations

import functools

from bastionlab import errors
from bastionlab._ledger_memory import forgotten
from bastionlab._receipt_book import ReceiptBook
from bastionlab._receipts import Receipt
from bastionlab._session import Session
from bastionlab.v1 import ledger_pb2

_ORDER_OF_RUNS = {"reserve": 0, "data": 1}  # then how it ended


def has_receipts(session: Session) -> bool:
    return session.memory.book is not None


def receipts_of_run(session: Session, run: str) -> list[Receipt]:
    """All receipts of a run, in order, after a look whether the server has more."""
    _book(session)
    # All of them, for they are few: whatever the book has lost comes back, and whatever the server tells otherwise now shows.
    _fetched(session, ledger_pb2.ListReceiptsRequest(run_id=run))
    return known_of_run(session, run)


def known_of_run(session: Session, run: str) -> list[Receipt]:
    """Those in the book, in order: by type first, for the end may be in another account than the beginning, that was joined."""
    found = (each for each in _book(session).all() if each.run == run)
    return sorted(found, key=lambda each: (_ORDER_OF_RUNS.get(each.type, 2), each.seq))


def receipts_of_dataset(session: Session, dataset: str, account: str) -> list[Receipt]:
    """All receipts of the account that a dataset draws on, in order, for its owner, after a look whether the server has more.

    :param account: on which the dataset drew when it was last heard of; it may have joined another one since
    """
    book = _book(session)
    known = book.complete_until(account)
    # From the newest known one on, itself included: an answer that does not begin with it is not of the account as it was.
    found = _fetched(session, ledger_pb2.ListReceiptsRequest(dataset_id=dataset, after_seq=max(0, known - 1)))
    if known > 1 and (not found or (found[0].account, found[0].seq) != (account, known)):
        found = _fetched(session, ledger_pb2.ListReceiptsRequest(dataset_id=dataset))
    accounts = {each.account for each in found} or {account}
    held = max((each.seq for each in found), default=0)
    receipts = sorted((each for each in book.all() if each.account in accounts), key=lambda each: each.seq)
    moved = [each for each in receipts if each.type != "freeze"]
    if moved and moved[-1].seq > held:
        raise session.memory.distrust(moved[-1].account, functools.partial(forgotten, moved[-1], held))
    return receipts


def _fetched(session: Session, request: ledger_pb2.ListReceiptsRequest) -> list[Receipt]:
    """What the server lists, kept."""
    found: list[Receipt] = []
    while True:
        answer: ledger_pb2.ListReceiptsResponse = session.call(session.ledger.ListReceipts, request)
        kept = session.memory.keep(answer.receipts)
        found += kept
        if not kept or not answer.more:
            return found
        # A server that goes round in circles is not followed.
        if kept[-1].seq <= request.after_seq:
            raise errors.AttestationError("ledger", "receipts in order", f"number {kept[-1].seq} after {request.after_seq}")
        request.after_seq = kept[-1].seq


def _book(session: Session) -> ReceiptBook:
    book = session.memory.book
    if book is None:
        raise errors.NotFound(f"the server at {session.address} signs no receipts", next="ask its operator for a newer release")
    return book
