"""A run that was interrupted waits for the owner of its dataset: who decides, and what is said meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from fake_server import FakeServer
from torch import nn

from bastionlab import Connection, Identity, errors
from bastionlab.torch import RemoteDataset, RemoteLearner, TorchClient
from bastionlab.torch import _watch as watch_module
from bastionlab.v1 import training_pb2


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def scientist(server: FakeServer) -> Iterator[TorchClient]:
    with Connection("localhost", server.port, identity=Identity.create("scientist")) as connection:
        yield connection.client.torch


@pytest.fixture
def learner(scientist: TorchClient, dataset: RemoteDataset) -> RemoteLearner:
    remote = scientist.list_remote_datasets()[0]
    assert remote.identifier == dataset.identifier
    return scientist.RemoteLearner(nn.Linear(8, 2), remote, "cross_entropy", 4)


class Fit:
    """fit in a thread, up to where its run waits."""

    def __init__(self, server: FakeServer, learner: RemoteLearner) -> None:
        self.raised: list[BaseException] = []
        self.thread = threading.Thread(target=self._fit, args=(learner,))
        self.thread.start()
        deadline = time.monotonic() + 20
        while not any(run.status == training_pb2.RUN_STATUS_WAITING for run in server.runs.values()):
            assert time.monotonic() < deadline, "no run began to wait"
            time.sleep(0.01)
        (self.run_id,) = server.runs

    def _fit(self, learner: RemoteLearner) -> None:
        try:
            learner.fit(1, 1.0)
        except BaseException as error:
            self.raised.append(error)

    def end(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()


def said_once(said: str, run_id: str) -> bool:
    return said.count(f"The run {run_id} was interrupted and waits") == 1


def test_the_owner_lets_a_run_go_on(
    server: FakeServer, client: TorchClient, learner: RemoteLearner, capsys: pytest.CaptureFixture[str]
) -> None:
    server.interrupt_runs = 1
    fit = Fit(server, learner)
    run = client.run(fit.run_id)
    assert run.status == "waiting"
    run.approve()
    fit.end()
    assert fit.raised == []
    assert run.status == "completed"
    said = capsys.readouterr().err
    assert said_once(said, fit.run_id)
    assert (
        f'the owner of its dataset must decide whether it may try once more, with client.torch.run("{fit.run_id}").approve()'
        in said
    )
    assert "waits for the dataset's owner" in said, "the bar says so too"


def test_each_time_that_a_run_waits_is_said(
    server: FakeServer, client: TorchClient, learner: RemoteLearner, capsys: pytest.CaptureFixture[str]
) -> None:
    server.interrupt_runs = 2
    fit = Fit(server, learner)
    for _ in range(2):
        deadline = time.monotonic() + 20
        while client.run(fit.run_id).status != "waiting":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)  # it is watched
        client.run(fit.run_id).approve()
    fit.end()
    assert capsys.readouterr().err.count("was interrupted and waits") == 2


def test_the_owner_denies_a_run(server: FakeServer, client: TorchClient, learner: RemoteLearner) -> None:
    server.interrupt_runs = 1
    fit = Fit(server, learner)
    client.run(fit.run_id).deny("ask me first")
    fit.end()
    (raised,) = fit.raised
    assert isinstance(raised, errors.TrainingFailed)
    assert "did not approve another attempt: ask me first" in raised.what


def test_nobody_else_decides(server: FakeServer, scientist: TorchClient, learner: RemoteLearner) -> None:
    server.interrupt_runs = 1
    fit = Fit(server, learner)
    run = scientist.run(fit.run_id)
    for attempt in (run.approve, run.deny, lambda: run.deny("because")):
        with pytest.raises(errors.PermissionDenied, match="only the owner of its dataset decides"):
            attempt()
    assert run.status == "waiting"
    run.cancel()
    fit.end()
    assert isinstance(fit.raised[0], errors.TrainingFailed)


def test_what_does_not_wait_is_not_decided_on(client: TorchClient, learner: RemoteLearner) -> None:
    run = learner.fit(1, 1.0)
    with pytest.raises(errors.InvalidArgument, match="does not wait"):
        client.run(run.id).approve()
    with pytest.raises(errors.InvalidArgument, match="does not wait"):
        client.run(run.id).deny()


def test_interruptions_are_a_number_for_the_owner(server: FakeServer, client: TorchClient, learner: RemoteLearner) -> None:
    run = learner.fit(1, 1.0)
    assert run.interruptions == 0
    server.runs[run.id].interruptions = 3
    assert client.run(run.id).interruptions == 3
