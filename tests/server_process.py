"""A real server on a data directory of its own, for tests that stop, kill and restart it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER = ROOT / "bin" / "bastionlab"
TRAINER = ROOT / "bin" / "bastionlab-trainer"
REPLAY_SERVER = ROOT / "build" / "bastionlab-replay"
REPLAY_TRAINER = ROOT / "build" / "bastionlab-trainer-replay"
# Takes the stand-in device of the engine's tests for a GPU.
STANDIN_TRAINER = ROOT / "build" / "bastionlab-trainer-standin"

# A server that ends is noticed at once; this bounds one that hangs, on a machine whose processors others have.
START_SECONDS = 180
STOP_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ServerProcess:
    data_dir: Path
    log_file: Path
    port: int = field(default_factory=free_port)
    program: Path = SERVER
    trainer: Path = TRAINER
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> ServerProcess:
        command = [
            self.program,
            "serve",
            "--listen",
            f"127.0.0.1:{self.port}",
            "--data-dir",
            self.data_dir,
            "--trainer",
            self.trainer,
        ]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdout=log, stderr=log, env=os.environ | self.environment
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server stopped at once:\n{self.log()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the server did not answer within {START_SECONDS} s:\n{self.log()}")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def kill(self) -> None:
        """kill -9: nothing of the server's own runs any more."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def trainers(self) -> list[int]:
        """The process ids of the trainers that this server has running."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                status = (entry / "status").read_text()
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"PPid:\t{self.pid}\n" in status and len(command) > 1 and command[1] in (b"train", b"test"):
                found.append(int(entry.name))
        return found
