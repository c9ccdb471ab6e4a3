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


def receipts_of_run(session: Session, run: str, dataset: str) -> list[Receipt]:
    """All receipts of a run, in order, after a look whether the server has more."""
    _book(session)
    # All of them, for they are few: whatever the book has lost comes back, and whatever the server tells otherwise now shows.
    _fetched(session, ledger_pb2.ListReceiptsRequest(run_id=run), dataset)
    return known_of_run(session, run)


def known_of_run(session: Session, run: str) -> list[Receipt]:
    """Those in the book, in order: by type first, for the end may be in another account than the beginning, that was joined."""
    found = (each for each in _book(session).all() if each.run == run)
    return sorted(found, key=lambda each: (_ORDER_OF_RUNS.get(each.type, 2), each.seq))


def receipts_of_dataset(session: Session, dataset: str, account: str) -> list[Receipt]:
    """All receipts of the account that a dataset draws on, in order, for its owner, after a look whether the server has more.

    AttestationError where one of them is missing: the owner is given all, so what is not there was held back.

    :param account: on which the dataset drew when it was last heard of; it may have joined another one since
    """
    chain = chain_of_dataset(session, dataset, account)
    # All that the book has, freezes of older copies included.
    return sorted((each for each in _book(session).all() if each.account == chain[0].account), key=lambda each: each.seq)


def chain_of_dataset(session: Session, dataset: str, account: str) -> list[Receipt]:
    """The same, without what older copies of the ledger wrote: as the server holds it now, each the one that the next names."""
    session.memory.require_dataset(dataset)
    book = _book(session)
    # As it was before the server was asked: what others of this home put into the book meanwhile, its answer need not hold.
    before = book.all()
    known = book.complete_until(account)
    # From the newest known one on, itself included: an answer that does not begin with it is not of the account as it was.
    found = _fetched(session, ledger_pb2.ListReceiptsRequest(dataset_id=dataset, after_seq=max(0, known - 1)))
    continues = found and (found[0].account, found[0].seq) == (account, known)
    if known > 1 and not (continues and _chain_to(found[-1], book)[0].seq == 1):
        found = _fetched(session, ledger_pb2.ListReceiptsRequest(dataset_id=dataset))
    accounts = {each.account for each in found} or {account}
    held = max((each.seq for each in found), default=0)
    moved = [each for each in before if each.account in accounts and each.type != "freeze"]
    newest = max(moved, key=lambda each: each.seq, default=None)
    if newest is not None and newest.seq > held:
        raise session.memory.distrust(newest.account, functools.partial(forgotten, newest, held))
    chain = _chain_to(found[-1], book) if found else []
    missing = chain[0].seq - 1 if chain else 1
    if missing:
        raise errors.AttestationError(
            "chain",
            f"every receipt of account {account if not chain else chain[0].account} from the first on",
            f"none of number {missing}",
            next="ask the operator of the server why it is held back, and rely on no sum of this account until it is there",
        )
    return chain


def _chain_to(newest: Receipt, book: ReceiptBook) -> list[Receipt]:
    """A receipt with those before it in its account, as far as the book has them, in order."""
    known = {each.digest: each for each in book.all() if each.account == newest.account}
    chain = [newest]
    while chain[-1].prev in known:
        chain.append(known[chain[-1].prev])
    return chain[::-1]


def _fetched(session: Session, request: ledger_pb2.ListReceiptsRequest, dataset: str = "") -> list[Receipt]:
    """What the server lists, kept."""
    found: list[Receipt] = []
    while True:
        answer: ledger_pb2.ListReceiptsResponse = session.call(session.ledger.ListReceipts, request, concerns=dataset)
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
