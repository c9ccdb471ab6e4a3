"""This release goes on with the data directory of the one before, and nobody loses anything by it.

tests/data/upgrade/make.py made the directories, with the programs of the time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small
from server_process import SERVER, ServerProcess
from test_receipts import command

from bastionlab import Connection, Identity, errors
from bastionlab.torch import SGD

NewServer = Callable[..., ServerProcess]
FIXTURE = Path(__file__).resolve().parent / "data" / "upgrade" / "schema-5.tar.xz"

pytestmark = [
    pytest.mark.filterwarnings("ignore:the evidence of the server at:UserWarning"),
    pytest.mark.filterwarnings("ignore:the learning rate times:UserWarning"),
]


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The earlier release's directory, with its people and what they were told beside it."""
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "data"


def schema(directory: Path) -> int:
    with sqlite3.connect(directory / "bastionlab.db") as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def test_the_next_release_goes_on_where_the_last_one_stopped(earlier: Path, new_server: NewServer, tmp_path: Path) -> None:
    told: dict[str, Any] = json.loads((tmp_path / "told.json").read_text())
    assert schema(earlier) == 5
    before = command("ledger", "fsck", "--data-dir", earlier)
    assert before.returncode == 0, before.stdout + before.stderr
    server = new_server(data_dir=earlier)
    with (
        Connection("localhost", server.port, identity=Identity.load("owner")) as owning,
        Connection("localhost", server.port, identity=Identity.load("scientist")) as learning,
    ):
        owner, scientist = owning.client.torch, learning.client.torch
        dataset = next(each for each in owner.list_remote_datasets() if each.identifier == told["dataset"])
        budget = dataset.budget()
        assert [budget.limit, budget.spent, budget.remaining] == [told["limit"], told["spent"], told["remaining"]]
        assert [each.to_dict() for each in dataset.receipts()] == told["receipts"]
        assert [[run.id, run.status] for run in owner.runs()] == told["runs"]
        audit = [[line.action, line.allowed] for line in owner.audit()]
        assert [line for line in told["audit"] if line not in audit] == []
        # What was trained can be taken home and is what it was; one more run fits exactly as it would have.
        state = scientist.run(told["run"]).get_model()
        assert {name: value.tolist() for name, value in state.items()} == told["weights"]
        remote = next(each for each in scientist.list_remote_datasets() if each.name == "kept")
        learner = scientist.RemoteLearner(
            small.linear(), remote, loss="cross_entropy", max_batch_size=50, optimizer=SGD(lr=0.1), progress=False
        )
        with pytest.raises(errors.BudgetExceeded):
            learner.fit(nb_epochs=2, eps=told["remaining"] + 0.5, batch_size=50)
        assert learner.fit(nb_epochs=2, eps=2.0, batch_size=50).status == "completed"
        budget = dataset.budget()
        assert budget.remaining == told["remaining"] - 2.0
        assert told["spent"] < budget.spent <= told["spent"] + 2.0, "runs of before and after compose to less than their sum"
    assert server.stop() == 0
    after = command("ledger", "fsck", "--data-dir", earlier)
    assert after.returncode == 0, after.stdout + after.stderr
    assert command("audit", "--verify", "--data-dir", earlier).returncode == 0
    assert schema(earlier) > 5


def test_a_directory_of_a_later_release_is_refused_by_name(earlier: Path, tmp_path: Path) -> None:
    with sqlite3.connect(earlier / "bastionlab.db") as database:
        database.execute("PRAGMA user_version = 99")
    refused = command("serve", "--listen", "127.0.0.1:0", "--data-dir", earlier)
    assert refused.returncode == 9, refused.stderr
    assert "written by a newer release" in refused.stderr
    assert "start the release that wrote it, or a later one" in refused.stderr
    for arguments in (["backup", tmp_path / "b", "--data-dir", earlier], ["ledger", "fsck", "--data-dir", earlier]):
        assert command(*arguments).returncode == 0, "what only reads still does"
    into = command("restore", tmp_path / "b", "--data-dir", tmp_path / "into")
    assert into.returncode == 9
    assert "written by a newer release" in into.stderr
    assert not (tmp_path / "into").exists()


def test_an_upgrade_that_is_killed_is_made_or_not_made(earlier: Path, tmp_path: Path) -> None:
    """At whatever moment: the database has the earlier version, or this release's, and the next start goes on."""
    seen = set()
    for turn in range(5):
        directory = tmp_path / f"killed-{turn}"
        shutil.copytree(earlier, directory)
        process = subprocess.Popen(
            [SERVER, "serve", "--listen", "127.0.0.1:0", "--data-dir", directory],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.02 * turn)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        seen.add(schema(directory))
        assert command("ledger", "fsck", "--data-dir", directory).returncode == 0
    server = ServerProcess(data_dir=directory, log_file=tmp_path / "log").start()
    assert server.stop() == 0
    assert seen <= {5, schema(directory)}
    assert schema(directory) > 5
