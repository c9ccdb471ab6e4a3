"""A limit holds whatever dies, and what dies goes on: datasets, runs and charges survive the server; a run survives its trainer.

A run goes on from the last durable state, once unasked. After that it waits for the owner of its dataset."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import small
from server_process import ServerProcess

from bastionlab import Connection
from bastionlab.errors import BastionLabError, BudgetExceeded, PermissionDenied, TrainingFailed
from bastionlab.torch import SGD

Connect = Callable[..., Connection]


def wait_for_trainer(server: ServerProcess, seconds: float = 60) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := server.trainers():
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"no trainer appeared:\n{server.log()}")


def learner_for(client: object, model: object, *, metrics: bool = False) -> object:
    remote = client.list_remote_datasets()[0]  # type: ignore[attr-defined]
    return client.RemoteLearner(  # type: ignore[attr-defined]
        model, remote, max_batch_size=8, loss="cross_entropy", optimizer=SGD(lr=0.1), metrics=metrics
    )


def start(client: object, learner: object, server: ServerProcess, **fit: object) -> str:
    """Starts `fit` in the background, and returns the run's id as soon as a trainer computes on its data."""

    def fit_until_the_end() -> None:
        with contextlib.suppress(BastionLabError):
            learner.fit(**fit)  # type: ignore[attr-defined]

    threading.Thread(target=fit_until_the_end, daemon=True).start()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        running = [run for run in client.runs() if run.status == "running"]  # type: ignore[attr-defined]
        if running and server.trainers():
            return running[0].id
        time.sleep(0.05)
    raise AssertionError(f"the run never ran:\n{server.log()}")


def wait_for_status(client: object, run_id: str, status: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while client.run(run_id).status != status:  # type: ignore[attr-defined]
        assert time.monotonic() < deadline, f"the run is {client.run(run_id).status}, not {status}"  # type: ignore[attr-defined]
        time.sleep(0.05)


def states(server: ServerProcess) -> list[Path]:
    return sorted((server.data_dir / "blobs" / "state").glob("*.age"))


def wait_for_state(server: ServerProcess, epoch: int, seconds: float = 90) -> Path:
    """Until the state with which an epoch begins, counted from 0, is durable."""
    deadline = time.monotonic() + seconds
    seen: list[str] = []
    while time.monotonic() < deadline:
        for path in states(server):
            if path.name not in seen:
                seen.append(path.name)
        if len(seen) > epoch and states(server):
            return states(server)[-1]
        time.sleep(0.02)
    raise AssertionError(f"only {seen} were written:\n{server.log()}")


def test_a_killed_server_remembers_and_goes_on(server: ServerProcess, connect: Connect) -> None:
    with connect(server) as connection:
        client = connection.client.torch
        uploaded = client.RemoteDataset(small.dataset(records=64), privacy_limit=6.0, name="durable", progress=False)
        learner = learner_for(client, small.Slow(width=200), metrics=True)
        run_id = start(client, learner, server, nb_epochs=2, eps=2.0, batch_size=8)
        wait_for_state(server, 0)
    server.kill()
    (left,) = states(server)
    assert run_id in left.name
    assert b"slots" not in left.read_bytes(), "samples lie encrypted"
    server.start()
    with connect(server) as connection:
        client = connection.client.torch
        found = client.list_remote_datasets()
        assert [d.identifier for d in found] == [uploaded.identifier]
        assert found[0].name == "durable"
        run = client.run(run_id).wait(progress=False)
        assert run.status == "completed"
        assert run.interruptions == 1
        assert [each.epoch for each in run.history] == [1, 2], "one loss of each epoch, whoever trained it"
        assert set(run.get_model(progress=False)) == set(dict(small.Slow(width=200).named_parameters()))
        budget = found[0].budget()
        assert (budget.spent, budget.remaining) == (2.0, 4.0), "two attempts, one charge"
        assert states(server) == []
        with pytest.raises(BudgetExceeded) as refused:
            learner_for(client, small.linear()).fit(nb_epochs=1, eps=4.000000001)  # type: ignore[attr-defined]
        assert refused.value.remaining == 4.0
        learner_for(client, small.linear()).fit(nb_epochs=1, eps=4.0)  # type: ignore[attr-defined]


def test_a_killed_trainers_run_goes_on_once_and_then_waits_for_the_owner(server: ServerProcess, connect: Connect) -> None:
    with connect(server) as owners, connect(server, "scientist") as scientists:
        owner, scientist = owners.client.torch, scientists.client.torch
        dataset = owner.RemoteDataset(small.dataset(records=64), privacy_limit=6.0, name="d", progress=False)
        run_id = start(scientist, learner_for(scientist, small.Slow(width=200)), server, nb_epochs=2, eps=2.0, batch_size=8)
        wait_for_state(server, 0)
        first = wait_for_trainer(server)
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 120
        while not (second := [pid for pid in server.trainers() if pid != first]):
            assert time.monotonic() < deadline, f"no second attempt:\n{server.log()}"
            time.sleep(0.02)
        # One that ends before it has the data is no attempt; this one has them, for it has written a state.
        while not any("a2s" in path.name for path in states(server)):
            assert time.monotonic() < deadline, f"the second attempt did not go on:\n{server.log()}"
            time.sleep(0.02)
        assert scientist.run(run_id).status == "running", "its author is told nothing"
        assert scientist.run(run_id).interruptions == 0
        os.kill(second[0], signal.SIGKILL)
        wait_for_status(owner, run_id, "waiting")
        assert owner.run(run_id).interruptions == 2
        assert dataset.budget().spent == 2.0
        with pytest.raises(PermissionDenied):
            scientist.run(run_id).approve()
        # Another server finds it waiting, and its state with it.
        server.kill()
        server.start()
    with connect(server) as owners, connect(server, "scientist") as scientists:
        owner, scientist = owners.client.torch, scientists.client.torch
        assert scientist.run(run_id).status == "waiting"
        owner.run(run_id).approve()
        assert scientist.run(run_id).wait(progress=False).status == "completed"
        assert owner.list_remote_datasets()[0].budget().spent == 2.0
        assert states(server) == []
        assert learner_for(scientist, small.linear()).fit(nb_epochs=1, eps=2.0).status == "completed"  # type: ignore[attr-defined]


def test_a_denied_run_ends_charged_and_leaves_nothing(server: ServerProcess, connect: Connect) -> None:
    with connect(server) as connection:
        client = connection.client.torch
        dataset = client.RemoteDataset(small.dataset(records=64), privacy_limit=6.0, name="d", progress=False)
        run_id = start(client, learner_for(client, small.Slow(width=200)), server, nb_epochs=2, eps=2.0, batch_size=8)
        killed: set[int] = set()
        deadline = time.monotonic() + 60
        while client.run(run_id).status != "waiting":
            assert time.monotonic() < deadline
            for pid in set(server.trainers()) - killed:
                if client.run(run_id).status == "running":
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        client.run(run_id).deny("no")
        with pytest.raises(TrainingFailed, match="did not approve another attempt: no"):
            client.run(run_id).wait(progress=False)
        assert dataset.budget().spent == 2.0
        assert states(server) == []


def test_an_orderly_stop_ends_within_seconds_and_nothing_is_left(server: ServerProcess, connect: Connect) -> None:
    with connect(server) as connection:
        client = connection.client.torch
        client.RemoteDataset(small.dataset(), privacy_limit=6.0, name="d", progress=False)
        start(client, learner_for(client, small.Slow()), server, nb_epochs=2, eps=1.0)
        trainers = server.trainers()
    assert server.stop() == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in trainers)
