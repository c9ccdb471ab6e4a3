"""How a fake server of the storage level "memory" stops and comes back: with other keys, without data, and with what it closed."""

from __future__ import annotations

from typing import Any

import grpc

from bastionlab.v1 import ledger_pb2


class Closings:
    """The part of a LedgerService that hands on what earlier starts signed."""

    _s: Any

    def ListClosings(
        self, request: ledger_pb2.ListClosingsRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.ListReceiptsResponse:
        self._s.enter(context, "ListClosings")
        return ledger_pb2.ListReceiptsResponse(receipts=self._s.ledger.closings)


def in_memory(server: Any) -> None:
    """Before the first upload: its keys end with it."""
    server.ledger.level = "memory"


def stop_in_order(server: Any) -> list[ledger_pb2.Receipt]:
    """Closes every account, as a server does that was told to stop; the closes."""
    ledger = server.ledger
    for dataset in [stored.message for stored in server.datasets.values()]:
        account = ledger.account_of[dataset.id]
        if ledger.bodies(account)[-1]["type"] != "close":
            ledger.write("close", server.datasets[account].message, orders=[2, 4], renyi=[0, 0])
    return [book[-1] for book in ledger.books.values()]


def start_anew(server: Any, closings: list[ledger_pb2.Receipt]) -> None:
    """Another boot on the same address: nothing of the one before is there but what it closed."""
    from fake_ledger import FakeLedger  # which has this module's Closings

    server.ledger = FakeLedger(level="memory", closings=closings)
    server.datasets.clear()
    server.runs.clear()
    server.restart()
