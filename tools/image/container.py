"""A container, as the docker command line has it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
START_SECONDS = 60
STOP_SECONDS = 10


def docker(*arguments: str, check: bool = True, cwd: Path | None = None) -> str:
    program = ["docker"]
    # The docker command line sends the text of a profile, and podman takes it for a path.
    if any(argument.startswith("seccomp=") for argument in arguments) and podman_answers():
        program = ["podman", "--url", os.environ["DOCKER_HOST"]]
    done = subprocess.run([*program, *arguments], cwd=cwd, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)}: status {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


@contextmanager
def engine(directory: Path) -> Iterator[str]:
    """The engine that the docker command line speaks to; podman, started for the while, where there is none."""
    if answers():
        yield "the Docker engine that was there"
        return
    socket = directory / "engine.sock"
    service = subprocess.Popen([str(HERE / "engine.sh"), str(socket)], start_new_session=True)
    os.environ["DOCKER_HOST"] = f"unix://{socket}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            if service.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("podman does not serve Docker's interface")
            time.sleep(0.2)
        yield "podman, through Docker's interface"
    finally:
        del os.environ["DOCKER_HOST"]
        os.killpg(service.pid, 15)
        service.wait()


def answers() -> bool:
    return subprocess.run(["docker", "version"], capture_output=True).returncode == 0


def podman_answers() -> bool:
    done = subprocess.run(["docker", "version", "--format", "{{json .Server.Components}}"], capture_output=True, text=True)
    return "Podman" in done.stdout


@dataclass
class Container:
    name: str

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", self.name))[0]
        return found

    @property
    def pid(self) -> int:
        return int(self.inspect()["State"]["Pid"])

    def wait_until_healthy(self) -> float:
        """Asks what the image's health check asks; returns after how many seconds it was answered."""
        began = time.monotonic()
        while subprocess.run(["docker", "exec", self.name, "/usr/bin/bastionlab", "health"], capture_output=True).returncode != 0:
            if not self.inspect()["State"]["Running"] or time.monotonic() > began + START_SECONDS:
                raise AssertionError(f"it does not get ready:\n{self.logs()}")
            time.sleep(0.1)
        return time.monotonic() - began

    def register(self, name: str) -> str:
        """Registers a new key as an owner's; returns what was said."""
        key = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, check=True).stdout
        public = subprocess.run(["openssl", "pkey", "-pubout"], input=key, capture_output=True, check=True).stdout
        command = ["docker", "exec", "-i", self.name, "bastionlab", "user", "add", "--role", "owner", "--name", name, "-"]
        done = subprocess.run(command, input=public, capture_output=True)
        return (done.stdout + done.stderr).decode()

    def start(self) -> None:
        docker("start", self.name)
        self.wait_until_healthy()

    def stop(self) -> float:
        """SIGTERM, and the seconds from when the server had it to its end; fails where that was not soon, or not in order."""
        docker("kill", "--signal", "TERM", self.name)
        deadline = time.monotonic() + START_SECONDS  # the engine itself may be slow
        while self.inspect()["State"]["Running"]:
            if time.monotonic() > deadline:
                raise AssertionError(f"it does not stop:\n{self.logs()}")
            time.sleep(0.05)
        state = self.inspect()["State"]
        said = [line for line in self.logs().splitlines() if '"msg":"stopping"' in line]
        began = datetime.fromisoformat(json.loads(said[-1])["time"])
        took = (datetime.fromisoformat(state["FinishedAt"]) - began).total_seconds()
        assert 0 <= took < STOP_SECONDS, f"it took {took} s to stop:\n{self.logs()}"
        assert state["ExitCode"] == 0, f"it stopped with status {state['ExitCode']}:\n{self.logs()}"
        return took

    def kill(self) -> None:
        docker("kill", "--signal", "KILL", self.name)
        docker("wait", self.name, check=False)

    def logs(self) -> str:
        done = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True)
        return done.stdout + done.stderr

    def remove(self) -> None:
        docker("rm", "--force", self.name, check=False)
