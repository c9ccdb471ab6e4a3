"""What this client remembers of a server's ledger, held against what the server says now.

Invariant: once the server has shown that its ledger is not the one of before, it is asked nothing that charges those accounts,
changes them or tells what they hold, nor to delete their records or to let a run of theirs try once more, until it holds them
again. Their datasets and runs are still listed, and a run may be followed, taken home and ended: that charges nothing, and a run
that is ended draws no more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc

from bastionlab import errors
from bastionlab._notices import notice
from bastionlab._receipt_book import ReceiptBook, pin, pinned, pins_path
from bastionlab._receipt_checks import contradiction, contradictions, from_message
from bastionlab._receipts import Receipt
from bastionlab.v1 import ledger_pb2

# What one PresentReceipts may hold, and stays well below what one message may.
PRESENTED_AT_ONCE = 1000
_PRESENTED_BYTES = 1 << 20

_KEY_BYTES = 32

Present = Callable[[ledger_pb2.PresentReceiptsRequest], ledger_pb2.PresentReceiptsResponse]


class LedgerMemory:
    """One for each session."""

    def __init__(self, address: str) -> None:
        self.book: ReceiptBook | None = None
        """None where the server signs no receipts."""
        self._address = address
        self._distrusted: dict[str, Callable[[], errors.AttestationError]] = {}  # by dataset: why
        self._cannot_write = False
        self._warned_of: str | None = None  # the key, of which it was said that it is another one than before

    def meet(self, key: bytes, present: Present) -> list[str]:
        """After each sign-in: shows the server what it signed before; what the user should be warned of."""
        warnings, distrusted = self._recognise(key)
        if self.book is not None:
            receipts = self.book.all()
            # SECURITY: whatever the server says of them now: two receipts that cannot both be true are its own word against it.
            for check, before, after in contradictions(self.book.movements()):
                datasets = _datasets_of(receipts, after.account)
                if not datasets <= self._distrusted.keys() | distrusted.keys():
                    warnings.append(
                        f"the server at {self._address} has told two stories of account {after.account}: {self.book.path} has "
                        f"receipts {before.seq} and {after.seq} of it that cannot both be of one ledger. {_refused(datasets)}"
                    )
                distrusted = dict.fromkeys(datasets, functools.partial(contradiction, check, before, after)) | distrusted
            for receipt, held in self._forgotten(present):
                datasets = _datasets_of(receipts, receipt.account)
                if not datasets <= self._distrusted.keys() | distrusted.keys():
                    warnings.append(
                        f"the server at {self._address} {_lacks(receipt, held)}. "
                        f"{_refused(datasets)} until the newest copy is put back"
                    )
                distrusted |= dict.fromkeys(datasets, functools.partial(forgotten, receipt, held))
        self._distrusted = distrusted
        return warnings

    def require(self, request: Any, concerns: str) -> None:
        """Refuses a request about a dataset whose account the server has forgotten.

        :param concerns: the dataset, where the request does not name it as such

        Its receipts are not asked for either: what an older copy wrote since would stand in the book against the newest, once that
        is back.
        """
        self.require_dataset(concerns or getattr(getattr(request, "request", request), "dataset_id", ""))

    def require_dataset(self, dataset: str) -> None:
        if dataset in self._distrusted:
            raise self._distrusted[dataset]()

    def keep(self, messages: Iterable[ledger_pb2.Receipt]) -> list[Receipt]:
        """Verifies what the server sent as its receipts, and puts them into the book."""
        if self.book is None:
            return []
        receipts = [from_message(message, self.book.key) for message in messages]
        try:
            new = self.book.add(receipts)
        except OSError as error:
            # What is lost is the memory of the next process. A run is not to fail of it.
            new = receipts
            if not self._cannot_write:
                self._cannot_write = True
                notice(
                    f"receipts cannot be kept in {self.book.path} ({(error.strerror or str(error)).lower()}): save() those that "
                    "you want to have, or nothing will show that the server has forgotten them",
                    errors.PrivacyWarning,
                )
        if new:
            self._require_one_story({receipt.account for receipt in new})
        return receipts

    def distrust(self, account: str, why: Callable[[], errors.AttestationError]) -> errors.AttestationError:
        """From now on calls on the account's datasets are refused; the error to raise."""
        receipts = self.book.all() if self.book is not None else []
        self._distrusted = self._distrusted | dict.fromkeys(_datasets_of(receipts, account), why)
        return why()

    def _require_one_story(self, accounts: set[str]) -> None:
        if self.book is not None:
            for check, before, after in contradictions(each for each in self.book.movements() if each.account in accounts):
                raise self.distrust(after.account, functools.partial(contradiction, check, before, after))

    def _recognise(self, key: bytes) -> tuple[list[str], dict[str, Callable[[], errors.AttestationError]]]:
        """Opens the book of the server's key; what to warn of and to refuse where another one answered at its address before."""
        if key and len(key) != _KEY_BYTES:
            raise errors.AttestationError(
                "key", f"a ledger key of {_KEY_BYTES} bytes", f"{len(key)} bytes", next="ask the operator"
            )
        if not key:
            self.book = None
        elif self.book is None or self.book.key != key.hex():
            self.book = ReceiptBook(key.hex())
        before = pinned(self._address)
        if before == key.hex():
            return [], {}
        earlier = ReceiptBook(before) if before else None
        known = earlier.all() if earlier is not None else []
        warnings = []
        # SECURITY: that its key ended with it is the old server's own word, signed by that key.
        restarted = bool(key) and bool(known) and all(receipt.level == "memory" for receipt in known)
        if restarted:
            warnings.append(
                f"the server at {self._address} was started anew, and the keys and data of its last start are gone: it keeps them "
                "in memory only. Upload again what is to go on; what was spent is deducted where that start closed its accounts, "
                f"else they count as wholly spent. Its receipts stay in {ReceiptBook(before).path}"
            )
        elif earlier is not None and self._warned_of != key.hex():
            self._warned_of = key.hex()
            warnings.append(
                f"the ledger of the server at {self._address} is another one than before: "
                f"{f'it has the key {key.hex()[:16]}' if key else 'it signs no receipts'}, the one before had {before[:16]}. "
                f"{len(known)} receipts of that one are kept in {earlier.path}; what they say was spent is not counted here. "
                f'Where that is as it should be, remove the line "{self._address}" from {pins_path()}; until then this is said '
                "whenever you connect"
            )
        distrusted: dict[str, Callable[[], errors.AttestationError]] = {}
        if earlier is not None and not key:
            # SECURITY: a server that was made anew has other datasets. One that has these still and no longer signs has something
            # to hide, or was put back to a release without receipts.
            for receipt in earlier.newest():
                distrusted |= dict.fromkeys(_datasets_of(known, receipt.account), functools.partial(unsigned, receipt))
        # The key of before stays the known one for as long as there is something that only it has signed: nobody gets used to
        # another one by connecting twice.
        if key and (not known or restarted):
            try:
                pin(self._address, key.hex())
            except OSError as error:
                warnings.append(
                    f"the key of the server at {self._address} cannot be remembered ({(error.strerror or str(error)).lower()}): "
                    "nothing will show that another one answers there"
                )
        return warnings, distrusted

    def _forgotten(self, present: Present) -> Iterator[tuple[Receipt, int | None]]:
        """Receipts that the server signed and does not hold, each with how many of its account it does; None: it does not say."""
        assert self.book is not None
        for receipts in _chunks(self.book.newest()):
            request = ledger_pb2.PresentReceiptsRequest(receipts=map(_message_of, receipts))
            try:
                standings = present(request).standings
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                    raise
                # SECURITY: a server that has a ledger key has signed these, and a release that signs can say what it holds.
                yield from ((receipt, None) for receipt in receipts)
                continue
            if len(standings) != len(receipts):
                raise errors.AttestationError(
                    "ledger",
                    f"a word on each of {len(receipts)} receipts",
                    f"{len(standings)}",
                    next="ask the operator of the server",
                )
            for receipt, standing in zip(receipts, standings, strict=True):
                # The book holds what this key signed, so there is nothing foreign in it, whatever the server says.
                if standing.state != ledger_pb2.Standing.STATE_KNOWN or standing.newest_seq < receipt.seq:
                    yield receipt, standing.newest_seq


def forgotten(receipt: Receipt, held: int | None) -> errors.AttestationError:
    if held is None:
        seen = "a server that does not say what its ledger holds"
    else:
        seen = f"a ledger that holds {held}" + (", and another one under that number" if held >= receipt.seq else "")
    return errors.AttestationError(
        "ledger",
        f"receipt {receipt.seq} of account {receipt.account}",
        seen,
        next="ask the operator to put the newest copy of the server's data directory back, then connect again",
    )


def unsigned(receipt: Receipt) -> errors.AttestationError:
    return errors.AttestationError(
        "ledger",
        f"receipt {receipt.seq} of account {receipt.account}",
        "a server that signs no receipts any more",
        next="ask the operator of the server for the release of before, with the newest copy of its data directory",
    )


def _lacks(receipt: Receipt, held: int | None) -> str:
    which = f"receipt {receipt.seq} of account {receipt.account}"
    if held is None:
        return (
            f"has the key of before and does not say whether it holds {which}: its release is an older one, or it hides something"
        )
    return (
        f"no longer holds {which}, of which it has {held}: its ledger was put back to an older copy, or a second one runs beside it"
    )


def _refused(datasets: set[str]) -> str:
    return f"Calls on the datasets {', '.join(sorted(datasets))} are refused here"


def _datasets_of(receipts: list[Receipt], account: str) -> set[str]:
    """The datasets that draw on an account, those of the accounts that it continues included."""
    accounts: set[str] = set()
    found = {account}
    while found != accounts:
        accounts = found
        found = accounts | {other for each in receipts if each.account in accounts for other in each.accounts}
    return accounts | {each.dataset for each in receipts if each.account in accounts}


def _chunks(receipts: list[Receipt]) -> Iterator[list[Receipt]]:
    chunk: list[Receipt] = []
    size = 0
    for receipt in receipts:
        if chunk and (len(chunk) == PRESENTED_AT_ONCE or size + len(receipt.body) > _PRESENTED_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(receipt)
        size += len(receipt.body)
    if chunk:
        yield chunk


def _message_of(receipt: Receipt) -> ledger_pb2.Receipt:
    return ledger_pb2.Receipt(body=receipt.body.encode("ascii"), signature=receipt.signature, key=bytes.fromhex(receipt.key))
