"""What an operator relies on: a stop that loses nothing under way, metrics that name nobody, a unit that systemd takes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import small
import torch
from server_process import ROOT, SERVER, ServerProcess, free_port
from test_survival import learner_for, start, wait_for_state
from torch import Tensor
from torch.utils.data import Dataset

from bastionlab import Connection
from bastionlab.errors import BastionLabError, ServerUnavailable

Connect = Callable[..., Connection]

DEPLOY = ROOT / "server" / "deploy"
NAME = "MARKER-name-4711"
VALUE = 4711.25


class SlowToRead(Dataset[tuple[Tensor, Tensor]]):
    """Records that take a while to read: their upload is under way for as long."""

    def __init__(self, records: int, seconds: float) -> None:
        self.records, self.seconds = records, seconds
        self.began = threading.Event()

    def __len__(self) -> int:
        return self.records

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index >= self.records // 2:
            self.began.set()
            time.sleep(self.seconds / self.records)
        return torch.full((1 << 14,), VALUE), torch.tensor(index % 3)


def ask(port: int, page: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BastionLabError as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, outcome


def test_an_orderly_stop_loses_nothing_that_is_under_way(new_server: Callable[..., ServerProcess], connect: Connect) -> None:
    metrics = free_port()
    server = new_server(environment={"BASTIONLAB_METRICS_LISTEN": f"127.0.0.1:{metrics}"})
    with connect(server) as connection, connect(server) as watching, connect(server, "other") as other:
        client = connection.client.torch
        client.RemoteDataset(small.dataset(records=64), privacy_limit=6.0, name=NAME, progress=False)
        run_id = start(client, learner_for(client, small.Slow(width=160), metrics=True), server, nb_epochs=3, eps=2.0, batch_size=8)
        wait_for_state(server, 0)
        watcher, watched = in_thread(lambda: watching.client.torch.run(run_id).wait(progress=False))
        slow = SlowToRead(400, seconds=12)
        upload, uploaded = in_thread(
            lambda: other.client.torch.RemoteDataset(slow, privacy_limit=6.0, name="under way", progress=False)
        )
        assert slow.began.wait(60)
        status, page = ask(metrics, "metrics")
        assert status == 200
        assert 'bastionlab_runs{status="running"} 1' in page
        assert 'bastionlab_uploads{state="streaming"} 1' in page
        for secret in (
            NAME,
            run_id,
            str(VALUE),
            str(server.port),
            connection.client.torch.list_remote_datasets()[0].identifier,
        ):
            assert secret not in page, "the metrics name somebody, or something of theirs"
        assert ask(metrics, "readyz") == (200, "ready\n")

        began = time.monotonic()
        statuses: set[int] = set()

        def watch_readiness() -> None:
            while True:
                try:
                    statuses.add(ask(metrics, "readyz")[0])
                except OSError:
                    return
                time.sleep(0.05)

        probe = threading.Thread(target=watch_readiness, daemon=True)
        probe.start()
        assert server.stop() == 0
        took = time.monotonic() - began
        assert took < 10, f"it took {took:.1f} s"
        probe.join(10)
        assert 503 in statuses, "while it stopped it called itself ready"
        assert server.trainers() == []
        log = server.log()
        assert log.index('"msg":"stopping"') < log.index('"msg":"stopped"')

        server.start()
        for thread in (watcher, upload):
            thread.join(180)
            assert not thread.is_alive(), "a client hangs"
        # Each of them went on at the server that came back, or was told in words that it had gone.
        for what, outcome in (("watcher", watched), ("upload", uploaded)):
            assert len(outcome) == 1, what
            if isinstance(outcome[0], BastionLabError):
                assert isinstance(outcome[0], ServerUnavailable), f"{what}: {outcome[0]!r}"
    with connect(server) as connection:
        client = connection.client.torch
        run = client.run(run_id).wait(progress=False)
        assert run.status == "completed", "the run goes on at the next start"
        assert [each.epoch for each in run.history] == [1, 2, 3]
        named = {dataset.name for dataset in client.list_remote_datasets()}
        whole = not isinstance(uploaded[0], BastionLabError)
        assert named == ({NAME, "under way"} if whole else {NAME}), "an upload is there whole, or not at all"


def test_a_stop_before_the_server_is_ready_is_no_failure(tmp_path: Path) -> None:
    server = ServerProcess(data_dir=tmp_path / "data", log_file=tmp_path / "log")
    arguments = ["serve", "--listen", f"127.0.0.1:{server.port}", "--data-dir", server.data_dir]
    with server.log_file.open("wb") as log:
        server.process = subprocess.Popen([SERVER, *arguments], stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while '"msg":"ledger opened"' not in server.log():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert server.stop() == 0, server.log()
    assert "stopped before it was ready" in server.log()
    server.start()
    assert server.stop() == 0


def test_a_second_signal_ends_a_server_that_lets_calls_finish(new_server: Callable[..., ServerProcess], connect: Connect) -> None:
    server = new_server(environment={"BASTIONLAB_DRAIN_TIME": "10m"})
    with connect(server) as connection:
        slow = SlowToRead(400, seconds=300)
        in_thread(lambda: connection.client.torch.RemoteDataset(slow, privacy_limit=6.0, name="under way", progress=False))
        assert slow.began.wait(60)
        assert server.process is not None
        server.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(1)
        server.process.terminate()
        assert server.process.wait(5) == -signal.SIGTERM


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    unit = tmp_path / "bastionlab.service"
    unit.write_text((DEPLOY / "bastionlab.service").read_text().replace("/usr/bin/bastionlab", str(ROOT / "bin" / "bastionlab")))
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
    ours = [line for line in verified.stderr.splitlines() if str(unit) in line]
    assert ours == [], "systemd ignores a line"
    # 10 is a service without any hardening; above 3 the test fails.
    exposed = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=30", unit], capture_output=True, text=True, check=False
    )
    assert exposed.returncode == 0, exposed.stdout[-400:]


def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool here (Debian: prometheus)")
    checked = subprocess.run([promtool, "check", "rules", DEPLOY / "alerts.yaml"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
