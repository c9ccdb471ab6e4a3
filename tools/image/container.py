"""A container, as the docker command line has it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
START_SECONDS = 60


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

    def start(self) -> None:
        docker("start", self.name)
        self.wait_until_healthy()

    def stop(self) -> float:
        """SIGTERM, and the seconds until its end; fails where it did not end by itself, in order."""
        began = time.monotonic()
        docker("kill", "--signal", "TERM", self.name)
        while self.inspect()["State"]["Running"]:
            assert time.monotonic() < began + 10, f"it did not stop within 10 s:\n{self.logs()}"
            time.sleep(0.05)
        took = time.monotonic() - began
        status = self.inspect()["State"]["ExitCode"]
        assert status == 0, f"it stopped with status {status}:\n{self.logs()}"
        return took

    def kill(self) -> None:
        docker("kill", "--signal", "KILL", self.name)
        docker("wait", self.name, check=False)

    def logs(self) -> str:
        done = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True)
        return done.stdout + done.stderr

    def remove(self) -> None:
        docker("rm", "--force", self.name, check=False)
