"""A server that keeps its keys in memory forgets the data at a restart, and not the budget."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import small
from server_process import SERVER, ServerProcess

from bastionlab import Connection, errors
from bastionlab.torch import SGD

Connect = Callable[..., Connection]
NewServer = Callable[..., ServerProcess]

# Each start is told to whoever has receipts of the one before.
pytestmark = pytest.mark.filterwarnings("ignore::bastionlab.errors.PrivacyWarning")


@pytest.fixture
def forgetful(new_server: NewServer) -> ServerProcess:
    return new_server(environment={"BASTIONLAB_STORAGE": "memory"})


def send(client: Any) -> Any:
    return client.RemoteDataset(small.dataset(records=64), privacy_limit=6.0, name="in memory", progress=False)


def fit(client: Any, remote: Any, eps: float) -> Any:
    learner = client.RemoteLearner(small.linear(), remote, max_batch_size=8, loss="cross_entropy", optimizer=SGD(lr=0.1))
    return learner.fit(nb_epochs=1, eps=eps, batch_size=8)


def fsck(server: ServerProcess) -> dict[str, Any]:
    command = [str(SERVER), "ledger", "fsck", "--json", "--data-dir", str(server.data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_after_an_orderly_stop_the_owner_goes_on_with_what_was_left(forgetful: ServerProcess, connect: Connect) -> None:
    with connect(forgetful) as connection:
        client = connection.client.torch
        assert connection.client.info.storage_level == "memory"
        remote = send(client)
        run = fit(client, remote, 2.0)
        old = remote.identifier
    assert forgetful.stop() == 0
    assert fsck(forgetful)["key_unchecked"]
    forgetful.start()
    with connect(forgetful) as connection:
        client = connection.client.torch
        assert client.list_remote_datasets() == []
        assert [each.id for each in client.runs()] == [run.id], "what happened stays known"
        with pytest.warns(errors.PrivacyWarning, match=rf"account {old}.*2 was spent.*a limit of 4"):
            again = send(client)
        assert again.privacy_limit == 4.0
        assert again.budget().spent == 0.0
        with pytest.raises(errors.BudgetExceeded):
            fit(client, again, 4.5)
        fit(client, again, 4.0)
    assert forgetful.stop() == 0
    (earlier,) = fsck(forgetful)["earlier"]
    assert len(earlier["charges"]) == 1
    # The third start has the closes of both, and nothing is left.
    forgetful.start()
    with connect(forgetful) as connection, pytest.raises(errors.BudgetExceeded, match="nothing is left"):
        send(connection.client.torch)


def test_after_a_kill_an_account_is_wholly_spent(forgetful: ServerProcess, connect: Connect) -> None:
    with connect(forgetful) as connection:
        fit(connection.client.torch, send(connection.client.torch), 2.0)
    forgetful.kill()
    forgetful.start()
    with connect(forgetful) as connection:
        client = connection.client.torch
        with pytest.raises(errors.BudgetExceeded, match="wholly spent"):
            send(client)
        assert client.list_remote_datasets() == []
    (earlier,) = fsck(forgetful)["earlier"]
    assert earlier["findings"] is None
    assert list((forgetful.data_dir / "blobs").rglob("*.age")) == []


def test_a_directory_is_not_opened_at_another_level(forgetful: ServerProcess) -> None:
    assert forgetful.stop() == 0
    forgetful.environment = {"BASTIONLAB_STORAGE": "file"}
    with pytest.raises(AssertionError, match="--storage memory"):
        forgetful.start()
