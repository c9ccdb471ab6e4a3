"""The fake server's ledger: a little signed chain per account. It can be told to forget, to tell two stories, to change its key."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fake_closings import Closings
from fake_refusals import Kind, abort
from receipt_writer import digest, sign, write_body

from bastionlab.v1 import dataset_pb2, ledger_pb2, ledger_pb2_grpc, training_pb2

State = ledger_pb2.Standing


@dataclass
class FakeLedger:
    """`books` holds each account's receipts, `account_of` the account on which each dataset draws."""

    signs: bool = True
    """Whether it is of a release with receipts."""
    page: int = 100
    """How many receipts one answer holds."""
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    level: str = "file"
    """Where it says that it keeps its key."""
    closings: list[ledger_pb2.Receipt] = field(default_factory=list)
    """What it hands on of earlier starts; fake_closings.py has how they come to be."""
    boot: str = field(default_factory=lambda: secrets.token_hex(16))
    books: dict[str, list[ledger_pb2.Receipt]] = field(default_factory=dict)
    account_of: dict[str, str] = field(default_factory=dict)
    presented: list[list[ledger_pb2.Receipt]] = field(default_factory=list)
    standings: Callable[[list[ledger_pb2.Standing]], list[ledger_pb2.Standing]] = field(default=lambda honest: honest)
    bend: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda members: members)
    """What becomes of a receipt before it is written."""
    resign: Callable[[ledger_pb2.Receipt], ledger_pb2.Receipt] = field(default=lambda receipt: receipt)
    """What becomes of a receipt when it is listed."""

    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes_raw() if self.signs else b""

    def bodies(self, account: str) -> list[dict[str, Any]]:
        return [json.loads(receipt.body) for receipt in self.books.get(account, ())]

    def open(self, dataset: dataset_pb2.Dataset) -> None:
        self.account_of[dataset.id] = dataset.id
        limit = dataset.privacy_limit_nano or None
        opening = dict(limit=limit, delta=dataset.delta_atto, declared=dataset.declared_samples, blob="b1" * 32, rows="e7" * 32)
        self.write("open", dataset, orders=[2, 4] if limit else None, **opening)

    def join(self, dataset: dataset_pb2.Dataset, account: str, *others: str) -> None:
        for each, drawn_on in self.account_of.items():
            if drawn_on in others:
                self.account_of[each] = account
        self.account_of[dataset.id] = account
        limit = dataset.privacy_limit_nano or None
        opening = dict(limit=limit, delta=dataset.delta_atto, declared=dataset.declared_samples, blob="b1" * 32, rows="e7" * 32)
        self.write("join", dataset, accounts=list(others) or None, **opening)

    def reserve(self, dataset: dataset_pb2.Dataset, run: training_pb2.Run) -> None:
        charge = training_pb2.Charge.FromString(run.plan.charge)
        price: dict[str, Any] = dict(infinite=True) if not charge.private else dict(epsilon=charge.epsilon_nano)
        price |= dict(
            run_delta=charge.delta_atto or None, renyi=[cost.pico for cost in charge.renyi] or None, charge=run.plan.charge
        )
        self.write("reserve", dataset, run=run.id, scientist=run.scientist, **price)

    def of_run(self, kind: str, dataset: dataset_pb2.Dataset, run: training_pb2.Run, **members: Any) -> None:
        self.write(kind, dataset, run=run.id, scientist=run.scientist, **members)

    def write(self, kind: str, dataset: dataset_pb2.Dataset, **members: Any) -> None:
        with self._lock:
            if self.signs:
                self._append(kind, dataset, members)

    def _append(self, kind: str, dataset: dataset_pb2.Dataset, members: dict[str, Any]) -> None:
        account = self.account_of[dataset.id]
        book = self.books.setdefault(account, [])
        if isinstance(members.get("charge"), bytes):
            members["charge"] = base64.b64encode(members["charge"]).decode()
        body = dict(
            v=1, type=kind, at=int(time.time() * 1000), account=account, seq=len(book) + 1,
            prev=digest(book[-1].body.decode()) if book else None,
            boot=self.boot, level=self.level, development=False, release="1.0.0", dataset=dataset.id, owner=dataset.owner,
        ) | members  # fmt: skip
        body["after"] = self._moved(dataset, body)
        text = write_body(self.bend(body))
        book.append(ledger_pb2.Receipt(body=text.encode(), signature=sign(self.key, text), key=self.public))

    def _moved(self, dataset: dataset_pb2.Dataset, body: dict[str, Any]) -> dict[str, Any]:
        """The account after a movement."""
        bodies = self.bodies(body["account"])
        none = dict(limit=dataset.privacy_limit_nano or None, delta=dataset.delta_atto, spent=0, spent_delta=0)
        after: dict[str, Any] = bodies[-1]["after"] if bodies else none
        joined = [self.bodies(account)[-1]["after"] for account in body.get("accounts") or () if account in self.books]
        sign, price = (1, body) if body["type"] == "reserve" else (0, body)
        if body["type"] == "release":
            sign, price = -1, next(each for each in bodies if (each["type"], each.get("run")) == ("reserve", body["run"]))
        for name, of_run in (("spent", "epsilon"), ("spent_delta", "run_delta")):
            after[name] += sign * (price.get(of_run) or 0) + sum(each[name] for each in joined)
        after["infinite"] = any(each.get("infinite") for each in (after, body, *joined)) or None
        after["frozen"] = body["type"] == "freeze" or any(each.get("frozen") for each in (after, *joined)) or None
        if body["type"] in ("open", "join"):
            limits = [each["limit"] for each in (after, body, *joined) if each.get("limit")]
            after |= dict(limit=min(limits, default=None), delta=min(each["delta"] for each in (after, body, *joined)))
        elif body["type"] == "limit" and not body.get("scientist"):
            after["limit"] = dataset.privacy_limit_nano = body["limit"]
        return after

    def limit_of(self, dataset: dataset_pb2.Dataset) -> int | None:
        """Of the account that the dataset draws on."""
        bodies = self.bodies(self.account_of.get(dataset.id, ""))
        limit: int | None = bodies[-1]["after"].get("limit") if bodies else dataset.privacy_limit_nano or None
        return limit

    def is_frozen(self, account: str) -> bool:
        return any(body["type"] == "freeze" for body in self.bodies(account))

    def forget(self, account: str, count: int = 1) -> list[ledger_pb2.Receipt]:
        """Is put back to an older copy; what it forgot."""
        book = self.books[account]
        forgotten = book[len(book) - count :]
        del book[len(book) - count :]
        if not book:
            del self.books[account]
        return forgotten


class LedgerService(Closings, ledger_pb2_grpc.LedgerServiceServicer):
    """Over a FakeServer."""

    def __init__(self, server: Any) -> None:
        self._s = server

    def ListReceipts(
        self, request: ledger_pb2.ListReceiptsRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.ListReceiptsResponse:
        user = self._s.enter(context, "ListReceipts")
        ledger: FakeLedger = self._s.ledger
        dataset = request.dataset_id or self._s.runs[request.run_id].dataset_id
        account = ledger.account_of[dataset]
        if request.dataset_id and any(body["owner"] != user for body in ledger.bodies(account)):
            raise abort(context, Kind.KIND_PERMISSION_DENIED, "only the owner of a dataset gets its receipts", "ask the owner")
        found = [
            receipt
            for receipt, body in zip(ledger.books.get(account, ()), ledger.bodies(account), strict=True)
            if body["seq"] > request.after_seq and request.run_id in ("", body.get("run"))
        ]
        page = [ledger.resign(receipt) for receipt in found[: ledger.page]]
        return ledger_pb2.ListReceiptsResponse(receipts=page, more=len(found) > ledger.page)

    def PresentReceipts(
        self, request: ledger_pb2.PresentReceiptsRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.PresentReceiptsResponse:
        self._s.enter(context, "PresentReceipts")
        assert 0 < len(request.receipts) <= 1000
        ledger: FakeLedger = self._s.ledger
        ledger.presented.append(list(request.receipts))
        standings = ledger.standings([self._standing(ledger, receipt) for receipt in request.receipts])
        return ledger_pb2.PresentReceiptsResponse(standings=standings)

    def _standing(self, ledger: FakeLedger, receipt: ledger_pb2.Receipt) -> ledger_pb2.Standing:
        try:
            Ed25519PublicKey.from_public_bytes(ledger.public).verify(receipt.signature, b"bastionlab receipt 1\n" + receipt.body)
        except (InvalidSignature, ValueError):
            return State(state=State.STATE_FOREIGN)
        body = json.loads(receipt.body)
        book = ledger.books.get(body["account"], [])
        held = len(book)
        if any(each.body == receipt.body for each in book):
            return State(state=State.STATE_KNOWN, newest_seq=held)
        stored = self._s.datasets.get(body["dataset"])
        if stored is not None and not ledger.is_frozen(body["account"]):
            why = "a receipt was presented that the ledger does not hold"
            ledger.write("freeze", stored.message, reason=why, presented=digest(receipt.body.decode()))
        return State(state=State.STATE_FORGOTTEN, newest_seq=held)
