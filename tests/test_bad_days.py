"""A full disk and one that can only be read: typed errors for clients, a line for the operator, nothing lost, and on it goes.

Needs root, for a small file system of its own; docs/operations/faults.md is held to the sources for everybody."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small
from server_process import ROOT, ServerProcess
from test_receipts import command
from test_survival import learner_for, start, wait_for_state, wait_for_status

from bastionlab import Connection, Identity
from bastionlab.errors import ServerUnavailable
from bastionlab.torch import SGD

Connect = Callable[..., Connection]

pytestmark = [
    pytest.mark.filterwarnings("ignore:DEVELOPMENT MODE:UserWarning"),
    pytest.mark.filterwarnings("ignore:the evidence of the server at:UserWarning"),
    pytest.mark.filterwarnings("ignore:the learning rate times:UserWarning"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB that can be filled, and made read-only under whoever writes."""
    image, mounted = tmp_path / "disk", tmp_path / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(24 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], check=False, capture_output=True) if os.geteuid() == 0 else None
    if made is None or made.returncode or subprocess.run(["mount", "-o", "loop", image, mounted], check=False).returncode:
        pytest.skip("a small disk can be mounted by root only, where there are loop devices")
    yield mounted
    subprocess.run(["umount", "-l", mounted], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    for size in (1 << 16, 512, 1):
        try:
            while os.write(descriptor, b"\0" * size):
                pass
        except OSError:
            continue
    os.close(descriptor)
    return filler


class Attempts:
    """All that writes, by one who is owner and scientist."""

    def __init__(self, connection: Connection, server: ServerProcess) -> None:
        self.client, self.server = connection.client.torch, server
        self.dataset = self.client.RemoteDataset(small.dataset(), privacy_limit=6.0, name="d", progress=False)
        self.learner = self._learner()
        self.run = self.learner.fit(nb_epochs=1, eps=0.5, batch_size=50)
        self.limit, self.seed = 6.0, 0

    def _learner(self) -> Any:
        return self.client.RemoteLearner(
            small.linear(), self.dataset, loss="cross_entropy", max_batch_size=50, optimizer=SGD(lr=0.1), progress=False
        )

    def upload(self) -> None:
        self.seed += 1
        self.client.RemoteDataset(small.dataset(seed=self.seed), privacy_limit=6.0, name=f"d{self.seed}", progress=False)

    def charge(self) -> None:
        self.learner.fit(nb_epochs=1, eps=0.25, batch_size=50)

    def lower(self) -> None:
        self.dataset.lower_limit(self.limit - 0.125)
        self.limit -= 0.125

    def send_model(self) -> None:
        self._learner().check()

    def refused(self) -> dict[str, str]:
        said = {}
        for attempt in (self.upload, self.send_model, self.charge, self.lower):
            with pytest.raises(ServerUnavailable) as refused:
                attempt()
            said[attempt.__name__] = str(refused.value)
            assert "spent: nothing" in said[attempt.__name__]
        return said

    def all(self) -> None:
        for attempt in (self.upload, self.send_model, self.charge, self.lower):
            attempt()


def holds(directory: Path) -> None:
    for arguments in (["ledger", "fsck"], ["audit", "--verify"]):
        checked = command(*arguments, "--data-dir", directory)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(disk: Path, connect: Connect, tmp_path: Path) -> None:
    server = ServerProcess(data_dir=disk / "data", log_file=tmp_path / "log").start()
    try:
        with connect(server) as connection:
            everything = Attempts(connection, server)
            spent = everything.dataset.budget().spent
            filler = fill(disk)
            for _ in range(2):
                said = everything.refused()
            assert "no room left to store this" in said["upload"]
            assert "ledger has not taken this" in said["charge"]
            assert "make room" in said["lower"]
            no_room = command("backup", disk / "backup", "--data-dir", server.data_dir)
            assert no_room.returncode == 8
            assert "no room for the backup" in no_room.stderr
            assert not list(disk.glob("*backup*"))
            assert everything.dataset.budget().spent == spent, "what only reads goes on"
            assert everything.run.get_model()
            holds(server.data_dir)
            filler.unlink()
            everything.all()
            assert everything.dataset.budget().spent == spent + 0.25
            # A stop and a start on the full disk: it may refuse, in these words; it must not lose.
            filler = fill(disk)
            assert server.stop() == 0
            try:
                server.start()
            except AssertionError:
                assert server.process is not None
                assert server.process.poll() == 8, server.log()
                assert "no room left to store this" in server.log()
            assert server.stop() in (0, 8)
            filler.unlink()
            holds(server.data_dir)
            server.start()
        with connect(server) as connection:
            found = connection.client.torch.list_remote_datasets()
            assert next(each for each in found if each.name == "d").budget().spent == spent + 0.25
        assert "the audit log's mark was not written" in server.log()
    finally:
        server.stop()


def test_nobody_is_registered_on_a_full_disk(disk: Path, connect: Connect, tmp_path: Path) -> None:
    server = ServerProcess(data_dir=disk / "data", log_file=tmp_path / "log").start()
    key = tmp_path / "first.pub"
    key.write_text(Identity.create("first").public_key.pem)

    def register() -> subprocess.CompletedProcess[str]:
        return command("user", "add", "--role", "owner", key, "--data-dir", server.data_dir)

    try:
        filler = fill(disk)
        with pytest.raises(ServerUnavailable, match="no room"), connect(server, "stranger") as connection:
            connection.client.torch.runs()
        refused = register()
        assert refused.returncode == 8, refused.stderr
        assert re.search("no room|disk is full", refused.stderr)
        listed = command("user", "list", "--data-dir", server.data_dir)
        assert listed.returncode == 0
        assert "owner" not in listed.stdout
        filler.unlink()
        added = register()
        assert added.returncode == 0, added.stderr
    finally:
        server.stop()
    holds(server.data_dir)


def test_a_run_whose_state_finds_no_room_waits_for_the_owner_and_goes_on(
    disk: Path, connect: Connect, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--all"):
        pytest.skip("it takes half a minute: --all")
    server = ServerProcess(data_dir=disk / "data", log_file=tmp_path / "log").start()
    try:
        with connect(server) as connection:
            client = connection.client.torch
            dataset = client.RemoteDataset(small.dataset(records=64), privacy_limit=6.0, name="d", progress=False)
            run_id = start(
                client, learner_for(client, small.Slow(width=160), metrics=True), server, nb_epochs=3, eps=2.0, batch_size=8
            )
            wait_for_state(server, 0)
            filler = fill(disk)
            wait_for_status(client, run_id, "waiting")
            assert "cannot write a run's state; it waits for the dataset's owner" in server.log()
            assert dataset.budget().spent == 2.0, "it stays charged"
            filler.unlink()
            client.run(run_id).approve()
            run = client.run(run_id).wait(progress=False)
            assert run.status == "completed"
            assert [each.epoch for each in run.history] == [1, 2, 3]
            assert dataset.budget().spent == 2.0, "and is charged once"
    finally:
        server.stop()
    holds(server.data_dir)


def test_a_disk_that_turns_read_only_stops_what_changes_and_nothing_is_lost(
    disk: Path, connect: Connect, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--all"):
        pytest.skip("a full disk is tried in its place: --all")
    server = ServerProcess(data_dir=disk / "data", log_file=tmp_path / "log").start()
    with connect(server) as connection:
        everything = Attempts(connection, server)
        spent = everything.dataset.budget().spent
        subprocess.run(["mount", "-o", "remount,abort", disk], check=True)  # as after an error of the disk
        for text in everything.refused().values():
            assert "restart the server" in text
        assert everything.dataset.budget().spent == spent
        assert "the audit log cannot be written: nothing that changes anything" in server.log()
        server.stop()
        refused = command("serve", "--listen", "127.0.0.1:0", "--data-dir", server.data_dir)
        assert refused.returncode == 8
        assert "read-only file system" in refused.stderr
        holds(server.data_dir)
        # A copy can be taken of it, and everything goes on from there once the disk is mended.
        copied = command("backup", tmp_path / "backup", "--data-dir", server.data_dir)
        assert copied.returncode == 0, copied.stderr
        subprocess.run(["umount", disk], check=True)
        subprocess.run(["fsck.ext4", "-p", "-f", tmp_path / "disk"], check=False, capture_output=True)
        subprocess.run(["mount", "-o", "loop", tmp_path / "disk", disk], check=True)
        holds(server.data_dir)
        server.start()
    try:
        with connect(server) as connection:
            assert connection.client.torch.list_remote_datasets()[0].budget().spent == spent
    finally:
        server.stop()


def test_the_page_about_bad_days_has_the_texts_of_the_programs() -> None:
    page = (ROOT / "docs" / "operations" / "faults.md").read_text()
    sources = "\n".join(
        path.read_text()
        for path in (ROOT / "server").rglob("*.go")
        if not path.name.endswith("_test.go") and "build" not in path.parts
    )
    texts = [text for text in re.findall(r"`([^`]+)`", page) if text.count(" ") >= 3 and not text.startswith("bastionlab ")]
    assert len(texts) > 8
    missing = [text for text in texts if text not in sources and text != "read-only file system"]
    assert not missing
