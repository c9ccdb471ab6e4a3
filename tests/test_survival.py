"""A limit holds whatever dies: datasets, runs and charges survive the server; a trainer's death is its run's alone."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
import small
from server_process import ServerProcess

from bastionlab import Connection
from bastionlab.errors import BastionLabError, BudgetExceeded, TrainingFailed
from bastionlab.torch import SGD

Connect = Callable[..., Connection]


def wait_for_trainer(server: ServerProcess, seconds: float = 60) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := server.trainers():
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"no trainer appeared:\n{server.log()}")


def learner_for(client: object, model: object) -> object:
    remote = client.list_remote_datasets()[0]  # type: ignore[attr-defined]
    return client.RemoteLearner(model, remote, max_batch_size=8, loss="cross_entropy", optimizer=SGD(lr=0.1), metrics=False)  # type: ignore[attr-defined]


def start(client: object, learner: object, server: ServerProcess, **fit: object) -> str:
    """Starts `fit` in the background, and returns the run's id as soon as a trainer computes on its data."""

    def fit_until_the_end() -> None:
        with contextlib.suppress(BastionLabError):
            learner.fit(**fit)  # type: ignore[attr-defined]

    threading.Thread(target=fit_until_the_end, daemon=True).start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        running = [run for run in client.runs() if run.status == "running"]  # type: ignore[attr-defined]
        if running and server.trainers():
            return running[0].id
        time.sleep(0.05)
    raise AssertionError(f"the run never ran:\n{server.log()}")


def test_a_killed_server_remembers_datasets_runs_and_charges(server: ServerProcess, connect: Connect) -> None:
    with connect(server) as connection:
        client = connection.client.torch
        uploaded = client.RemoteDataset(small.dataset(), privacy_limit=6.0, name="durable", progress=False)
        run_id = start(client, learner_for(client, small.Slow()), server, nb_epochs=2, eps=2.0)
    server.kill()
    server.start()
    with connect(server) as connection:
        client = connection.client.torch
        found = client.list_remote_datasets()
        assert [d.identifier for d in found] == [uploaded.identifier]
        assert found[0].name == "durable"
        assert client.run(run_id).status == "failed"
        budget = found[0].budget()
        assert (budget.spent, budget.remaining) == (2.0, 4.0)
        with pytest.raises(BudgetExceeded) as refused:
            learner_for(client, small.linear()).fit(nb_epochs=1, eps=4.000000001)  # type: ignore[attr-defined]
        assert refused.value.remaining == 4.0
        learner_for(client, small.linear()).fit(nb_epochs=1, eps=4.0)  # type: ignore[attr-defined]


def test_a_killed_trainer_fails_its_run_and_no_other(server: ServerProcess, connect: Connect) -> None:
    with connect(server) as connection:
        client = connection.client.torch
        dataset = client.RemoteDataset(small.dataset(), privacy_limit=6.0, name="d", progress=False)
        run_id = start(client, learner_for(client, small.Slow()), server, nb_epochs=2, eps=2.0)
        os.kill(wait_for_trainer(server), signal.SIGKILL)
        with pytest.raises(TrainingFailed):
            client.run(run_id).wait()
        assert client.run(run_id).status == "failed"
        assert dataset.budget().spent == 2.0
        learner = learner_for(client, small.linear())
        assert learner.fit(nb_epochs=1, eps=2.0).status == "completed"  # type: ignore[attr-defined]
        assert dataset.budget().spent == 4.0


def test_an_orderly_stop_ends_within_seconds_and_nothing_is_left(server: ServerProcess, connect: Connect) -> None:
    with connect(server) as connection:
        client = connection.client.torch
        client.RemoteDataset(small.dataset(), privacy_limit=6.0, name="d", progress=False)
        start(client, learner_for(client, small.Slow()), server, nb_epochs=2, eps=1.0)
        trainers = server.trainers()
    assert server.stop() == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in trainers)
