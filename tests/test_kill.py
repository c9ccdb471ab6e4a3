"""kill -9 of the server at any moment, under load.

No charge that a client was told of is forgotten, none is given back without a receipt, and no receipt is ever another."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import small
from server_process import SERVER, ServerProcess

from bastionlab import Connection
from bastionlab.errors import BastionLabError, ServerUnavailable
from bastionlab.torch import SGD
from bastionlab.v1 import dataset_pb2, ledger_pb2, training_pb2

Connect = Callable[..., Connection]
Body = dict[str, Any]

EPS_NANO = 10_000_000
LIMIT = 1000.0


@dataclass
class Told:
    """What clients were told, whoever they are."""

    runs: dict[str, int] = field(default_factory=dict)  # and their eps
    uploads: list[str] = field(default_factory=list)
    limit: float = LIMIT
    lock: threading.Lock = field(default_factory=threading.Lock)


class Load:
    """Clients that never rest: what fails while the server is away is tried again."""

    def __init__(self, connect: Connect, server: ServerProcess, owner: Any, dataset: Any) -> None:
        self.told = Told()
        self._stopping = threading.Event()
        self._owner, self._dataset = owner, dataset
        self._seed = 0
        scientist = connect(server, "scientist").client.torch
        learner = scientist.RemoteLearner(
            small.linear(), dataset, max_batch_size=8, loss="cross_entropy", optimizer=SGD(lr=0.1), metrics=False, progress=False
        )
        self._model = learner.check().model
        self._session = scientist._session
        training = learner._request(0.2, EPS_NANO / 1e9, None, {})
        training.model_id, training.delta = self._model, 1e-9  # so that a lower limit does not make another plan of it
        test = training_pb2.TestRequest(
            dataset_id=dataset.identifier, model_id=self._model, metric="accuracy", epsilon=EPS_NANO / 1e9
        )
        stub = self._session.training
        start = training_pb2.StartTrainingRequest(request=training), training_pb2.StartTestRequest(request=test)
        jobs = [
            lambda: self._start(stub.StartTraining, start[0]),
            lambda: self._start(stub.StartTest, start[1]),
            lambda: self._start(stub.StartTraining, start[0], cancel=True),
            self._lower,
            self._upload,
        ]
        self._threads = [threading.Thread(target=self._repeat, args=(job,), daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _repeat(self, job: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(BastionLabError):
                job()
            self._stopping.wait(0.05)

    def _start(self, method: Any, request: Any, *, cancel: bool = False) -> None:
        run = self._session.call(method, request, timeout=10)
        with self.told.lock:
            self.told.runs[run.id] = EPS_NANO
        if cancel:
            self._session.call(self._session.training.CancelRun, training_pb2.CancelRunRequest(id=run.id), timeout=10)

    def _lower(self) -> None:
        self._stopping.wait(0.5)
        wanted = self.told.limit - 0.125
        self._dataset.lower_limit(wanted)
        self.told.limit = wanted

    def _upload(self) -> None:
        self._seed += 1
        # Every fourth is the first dataset once more, and joins its account.
        data = small.dataset() if self._seed % 4 == 0 else small.dataset(records=16, seed=self._seed)
        uploaded = self._owner.RemoteDataset(data, privacy_limit=LIMIT, name=f"d{self._seed}", progress=False)
        with self.told.lock:
            self.told.uploads.append(uploaded.identifier)
        self._stopping.wait(0.3)


def answered(ask: Callable[[], Any]) -> Any:
    """Asks until a server that has just started is found."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except ServerUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def receipts_of(session: Any, dataset_id: str) -> Iterator[ledger_pb2.Receipt]:
    after, more = 0, True
    while more:
        request = ledger_pb2.ListReceiptsRequest(dataset_id=dataset_id, after_seq=after)
        answer = session.call(session.ledger.ListReceipts, request)
        yield from answer.receipts
        more = answer.more
        if answer.receipts:
            after = json.loads(answer.receipts[-1].body)["seq"]


def bodies_in_one_chain(receipts: list[ledger_pb2.Receipt]) -> list[Body]:
    bodies, before = [], None
    for number, receipt in enumerate(receipts, 1):
        body = json.loads(receipt.body)
        assert body["seq"] == number
        assert body.get("prev") == before
        before = hashlib.sha256(receipt.body).hexdigest()
        bodies.append(body)
    return bodies


def charged(bodies: list[Body]) -> dict[str, int]:
    """What each run is charged, by its receipts alone."""
    runs: dict[str, int] = {}
    given: set[str] = set()
    for body in bodies:
        match body["type"]:
            case "reserve":
                assert body["run"] not in runs, "charged twice"
                runs[body["run"]] = body["epsilon"]
            case "data":
                given.add(body["run"])
            case "release":
                assert body["run"] not in given, "given back after the data"
                runs[body["run"]] = 0
        assert body["after"]["spent"] == sum(runs.values())
    return runs


def fsck(server: ServerProcess) -> str:
    done = subprocess.run(
        [str(SERVER), "ledger", "fsck", "--data-dir", str(server.data_dir)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr}"
    return done.stdout


def deny_waiting(client: Any) -> None:
    """A run that was interrupted twice waits for its owner."""
    for run in client.runs():
        with contextlib.suppress(BastionLabError):
            if run.status == "waiting":
                run.deny("killed twice")


def test_no_kill_forgets_what_a_client_was_told(
    server: ServerProcess, connect: Connect, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    chance = random.Random(5)
    owner = connect(server).client.torch
    dataset = owner.RemoteDataset(small.dataset(), privacy_limit=LIMIT, name="d", progress=False)
    load = Load(connect, server, owner, dataset)
    known: list[ledger_pb2.Receipt] = []
    for turn in range(200 if request.config.getoption("--all") else 20):
        time.sleep(chance.uniform(0.05, 1.0))
        with load.told.lock:
            told, uploads, limit = dict(load.told.runs), list(load.told.uploads), load.told.limit
        server.kill()
        if turn % 4 == 0:
            fsck(server)  # of what a kill leaves
        server.start()
        receipts = answered(lambda: list(receipts_of(owner._session, dataset.identifier)))
        assert receipts[: len(known)] == known, "what the ledger told once it tells for ever"
        known = receipts
        bodies = bodies_in_one_chain(receipts)
        charges = charged(bodies)
        given_back = {body["run"] for body in bodies if body["type"] == "release"}
        for run, eps in told.items():
            assert charges[run] == eps or run in given_back, f"round {turn}: {run} was told to be charged"
        assert bodies[-1]["after"]["limit"] <= round(limit * 1e9)
        listed = {each.identifier for each in answered(owner.list_remote_datasets)}
        assert listed.issuperset(uploads), f"round {turn}: an upload is gone"
        answered(lambda: deny_waiting(owner))
        if turn % 4 == 2:
            fsck(server)  # of what is written meanwhile
    load.stop()
    assert len(load.told.runs) > 2 * turn, "too few runs were started for this to mean anything"
    assert len(load.told.uploads) > turn / 4
    receipts = answered(lambda: list(receipts_of(owner._session, dataset.identifier)))
    assert receipts[: len(known)] == known
    charges = charged(bodies_in_one_chain(receipts))
    budget = owner._session.call(owner._session.datasets.GetBudget, dataset_pb2.GetBudgetRequest(dataset_id=dataset.identifier))
    shown = {entry.run_id: entry.epsilon_nano for entry in budget.runs}
    for run, eps in charges.items():
        assert eps == 0 or shown[run] == eps
    book = tmp_path / "book.jsonl"
    with book.open("w") as file:
        for receipt in receipts:
            file.write(as_file(receipt) + "\n")
    subprocess.run([str(SERVER), "verify", "receipt", str(book)], check=True, capture_output=True)
    fsck(server)
    server.kill()
    assert "everything holds" in fsck(server)
    print(f"{len(receipts)} receipts, {len(load.told.runs)} runs, {len(load.told.uploads)} uploads")


def as_file(receipt: ledger_pb2.Receipt) -> str:
    return json.dumps(
        {
            "bastionlab_receipt": 1,
            "body": receipt.body.decode(),
            "signature": base64.b64encode(receipt.signature).decode(),
            "key": receipt.key.hex(),
        }
    )
