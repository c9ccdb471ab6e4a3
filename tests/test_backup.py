"""A backup is taken while the server runs, and what comes back never gives a budget twice."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small
from server_process import SERVER, ServerProcess
from test_receipts import command, train

from bastionlab import Connection, errors
from bastionlab.torch import SGD

Connect = Callable[..., Connection]
NewServer = Callable[..., ServerProcess]

pytestmark = [
    pytest.mark.filterwarnings("ignore:DEVELOPMENT MODE:UserWarning"),
    pytest.mark.filterwarnings("ignore:the evidence of the server at:UserWarning"),
    pytest.mark.filterwarnings("ignore:the learning rate times:UserWarning"),
]


def done(*arguments: object) -> str:
    result = command(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refusal_to_start(directory: Path) -> str:
    result = subprocess.run(
        [SERVER, "serve", "--listen", "127.0.0.1:0", "--data-dir", directory],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 8, result.stderr
    return result.stderr


def upload(connection: Connection, name: str = "d", seed: int = 0) -> Any:
    return connection.client.torch.RemoteDataset(small.dataset(seed=seed), privacy_limit=6.0, name=name, progress=False)


def test_a_snapshot_of_a_running_server_brings_everything_back_but_budgets(
    server: ServerProcess, new_server: NewServer, connect: Connect, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    turns = range(2 if request.config.getoption("--all") else 0)  # the server's own tests take more such moments
    with connect(server) as connection:
        upload(connection)
        trained = train(connection.client.torch, 1.0)
        # While something is written all the time: uploads, charges, audit lines.
        stop = threading.Event()

        def busy() -> None:
            for seed in range(1, 1000):
                if stop.is_set():
                    return
                upload(connection, f"b{seed}", seed)

        writer = threading.Thread(target=busy)
        writer.start()
        try:
            for turn in turns:
                done("backup", tmp_path / f"busy-{turn}", "--data-dir", server.data_dir)
            warned = command("backup", backup, "--data-dir", server.data_dir)
        finally:
            stop.set()
            writer.join()
        assert warned.returncode == 0, warned.stderr
        assert "HOLDS THE KEYS" in warned.stderr
        assert backup.stat().st_mode & 0o077 == 0
        after = train(connection.client.torch, 2.0)  # of which the backup knows nothing
    for turn in turns:
        done("backup", "--verify", tmp_path / f"busy-{turn}")
        done("restore", tmp_path / f"busy-{turn}", "--data-dir", tmp_path / f"restored-{turn}")
        assert "everything holds" in done("ledger", "fsck", "--data-dir", tmp_path / f"restored-{turn}")
        done("audit", "--verify", "--data-dir", tmp_path / f"restored-{turn}")
    server.stop()
    assert "what was charged after" in done("restore", backup, "--data-dir", restored)
    again = new_server(data_dir=restored)
    # Somebody whose book is empty: what holds is the server's own doing.
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setenv("BASTIONLAB_HOME", str(tmp_path / "elsewhere"))
        with connect(again, "stranger") as connection:
            client = connection.client.torch
            dataset = next(each for each in client.list_remote_datasets() if each.name == "d")
            budget = dataset.budget()
            assert "restored from a backup" in budget.frozen
            assert (budget.spent, budget.remaining) == (1.0, 0.0)
            learner = client.RemoteLearner(small.linear(), dataset, loss="cross_entropy", max_batch_size=50, optimizer=SGD(lr=0.1))
            with pytest.raises(errors.AttestationError, match="frozen"):
                learner.fit(nb_epochs=1, eps=0.1, batch_size=50)
    with connect(again) as connection:  # the owner, whose book knows of the second run
        assert trained.id in {run.id for run in connection.client.torch.runs()}
        assert after.id not in {run.id for run in connection.client.torch.runs()}
        assert connection.client.torch.run(trained.id).get_model() is not None
    assert "everything holds" in done("ledger", "fsck", "--data-dir", restored)


def test_a_handover_goes_on_elsewhere_and_only_there(
    server: ServerProcess, new_server: NewServer, connect: Connect, tmp_path: Path
) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    with connect(server) as connection:
        upload(connection)
        train(connection.client.torch, 2.0)
    refused = command("backup", backup, "--handover", "--data-dir", server.data_dir)
    assert refused.returncode == 8
    assert "in use by another server" in refused.stderr
    server.stop()
    keys = tmp_path / "keys"
    recipient = age_key(server.data_dir, keys)
    done("backup", backup, "--handover", "--recipient", recipient, "--data-dir", server.data_dir)
    assert "was handed over" in refusal_to_start(server.data_dir)
    assert b"AGE-SECRET-KEY" not in backup.read_bytes()
    assert command("backup", "--verify", backup).returncode == 2
    assert "handover" in done("backup", "--verify", backup, "--identity", keys)
    assert "all go on" in done("restore", backup, "--identity", keys, "--data-dir", restored)
    server.data_dir, server.log_file = restored, tmp_path / "restored.log"
    server.start()  # at the address from before
    with connect(server) as connection:
        budget = connection.client.torch.list_remote_datasets()[0].budget()
        assert (budget.frozen, budget.spent, budget.remaining) == ("", 2.0, 4.0)
        train(connection.client.torch, 2.0)
    assert "everything holds" in done("ledger", "fsck", "--data-dir", restored)


def age_key(data_dir: Path, path: Path) -> str:
    """Writes a key of age, the one that a data directory has, to a file, and says its public half."""
    shutil.copy(data_dir / "keys" / "blobs.agekey", path)
    database = (data_dir / "bastionlab.db").read_bytes()
    at = database.index(b"age1")
    return database[at : at + 62].decode()
