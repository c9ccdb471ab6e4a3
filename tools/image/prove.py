#!/usr/bin/env python3
"""Builds the container image as the README says and shows that it does what docs/operations/container.md claims.

    .venv/bin/python tools/image/prove.py

Needs the docker command line, with an engine or with podman to stand for one (as root), and port 50056. Prints what was
measured; fails at the first claim that does not hold.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from container import HERE, Container, docker, engine
from people import ROOT, People

sys.path.insert(0, str(ROOT / "tests"))

from server_process import free_port

IMAGE = "bastionlab"
USER = "50056"
DATA = "/var/lib/bastionlab"
PROFILE = ROOT / "server/deploy/seccomp.json"
SHUT_IN = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
# What an engine mounts into every container, in memory; podman adds the last three to a read-only one.
ENGINES_OWN = {"/dev/shm", "/dev/mqueue", "/tmp", "/var/tmp", "/run"}


def say(what: str) -> None:
    print(f"image: {what}", flush=True)


def build() -> None:
    base = re.search(r"^ARG BASE=(\S+)$", (ROOT / "server/Dockerfile").read_text(), re.MULTILINE)
    assert base
    if (
        not docker("images", "--quiet", base[1])
        and subprocess.run(["docker", "pull", "--quiet", base[1]], capture_output=True).returncode != 0
    ):
        say(f"no registry hands out {base[1]}: debootstrap makes it")
        subprocess.run([str(HERE / "base.sh"), base[1]], check=True)
    began = time.monotonic()
    docker("build", "-t", "bastionlab:latest", ".", cwd=ROOT / "server")  # word for word, as is the run below
    say(f"built in {time.monotonic() - began:.0f} s, {json.loads(docker('image', 'inspect', IMAGE))[0]['Size'] / 1e6:.0f} MB")


@contextmanager
def running(*arguments: str) -> Iterator[Container]:
    container = Container(docker("run", *arguments))
    try:
        say(f"docker run {' '.join(arguments)}: ready after {container.wait_until_healthy():.1f} s")
        yield container
    finally:
        container.remove()


def check_the_user(container: Container) -> None:
    status = Path(f"/proc/{container.pid}/status").read_text()
    for field in ("Uid", "Gid"):
        assert re.search(rf"^{field}:\t{USER}\t{USER}\t{USER}\t{USER}$", status, re.MULTILINE), status
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE), status


def check_what_is_writable(container: Container) -> None:
    command = [sys.executable, str(HERE / "writable.py"), str(container.pid), USER]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert DATA in found, "the check sees what can be written"
    elsewhere = {path for path in found if path != DATA and not path.startswith(DATA + "/")}
    assert elsewhere <= ENGINES_OWN, f"user {USER} can write in {elsewhere}"
    say(f"user {USER}, without capabilities, can write in {DATA} and in what the engine adds: {sorted(elsewhere)}")


def doctor(*options: str) -> dict[str, str]:
    """What is missing, with why."""
    findings = json.loads(docker("run", "--rm", *options, IMAGE, "doctor", "--json", check=False))
    return {found["name"]: found["detail"] for found in findings if not found["ok"]}


def without_namespaces(directory: Path) -> Path:
    """The profile, with the rules for new processes that Docker's has: none in a namespace of its own."""
    profile = json.loads(PROFILE.read_text())
    none = [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    profile["syscalls"] = [rule for rule in profile["syscalls"] if rule["names"] != ["clone"] or rule["args"] == none]
    made = directory / "without-namespaces.json"
    made.write_text(json.dumps(profile))
    return made


def check_the_sandbox(directory: Path) -> None:
    plain = doctor()
    say(f"doctor, as this engine starts containers: lacks {plain or 'nothing'}")
    assert set(plain) <= {"sandbox: namespaces"}, plain
    whole = doctor(*SHUT_IN, "--security-opt", f"seccomp={PROFILE}")
    assert whole == {}, f"with the profile the sandbox lacks {whole}"
    say("doctor, shut in and with deploy/seccomp.json: lacks nothing")
    as_docker = f"seccomp={without_namespaces(directory)}"
    assert set(doctor("--security-opt", as_docker)) == {"sandbox: namespaces"}
    with running("-d", "--security-opt", as_docker, IMAGE) as container:
        refused = container.register("hospital")
        assert "lacks namespaces" in refused, f"somebody could be registered: {refused}"
    say("without namespaces, as under Docker's own profile: development mode serves, and nobody can be registered")


def check_restarts(container: Container, people: People) -> None:
    people.walk_through()
    spent = {"SMSSpamCollection": 2.0}
    people.expect_spent(spent)
    say(f"the walk-through was played; SIGTERM ends it in {container.stop():.1f} s with status 0")
    container.start()
    people.expect_spent(spent)
    people.upload("long")
    spent["long"] = 1.0
    run = people.start_a_long_run()
    say(f"while a run trains, SIGTERM ends it in {container.stop():.1f} s with status 0")
    container.start()
    people.expect_spent(spent)
    assert people.status_of(run) in ("queued", "running", "completed"), people.status_of(run)
    container.kill()
    container.start()
    people.expect_spent(spent)
    assert people.status_of(run) in ("waiting", "queued", "running", "completed"), people.status_of(run)
    say(f"after kill -9 the budgets are the same; the run is {people.status_of(run)}")


def check_the_plain_lines() -> None:
    with running("-p", "50056:50056", "-d", "bastionlab") as container:
        assert "development mode" in container.logs(), container.logs()
        check_the_user(container)
        with tempfile.TemporaryDirectory() as home:
            People(Path(home), 50056).walk_through()
        say(f"the walk-through was played on it; SIGTERM ends it in {container.stop():.1f} s with status 0")


def check_shut_in() -> None:
    port, volume = free_port(), f"bastionlab-proof-{free_port()}"
    options = ("--security-opt", f"seccomp={PROFILE}", "-p", f"127.0.0.1:{port}:50056", "-v", f"{volume}:{DATA}")
    try:
        with running("-d", *SHUT_IN, *options, "bastionlab") as container, tempfile.TemporaryDirectory() as home:
            check_the_user(container)
            check_what_is_writable(container)
            check_restarts(container, People(Path(home), port))
        with running("-d", *SHUT_IN, *options, "bastionlab") as another, tempfile.TemporaryDirectory() as home:
            People(Path(home), port).expect_spent({"SMSSpamCollection": 2.0, "long": 1.0})
            say(f"another container on the volume has the same budgets; SIGTERM ends it in {another.stop():.1f} s")
    finally:
        docker("volume", "rm", volume, check=False)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, engine(Path(directory)) as which:
        say(f"with {which}")
        build()
        check_the_sandbox(Path(directory))
        check_the_plain_lines()
        check_shut_in()
    say("proven")


if __name__ == "__main__":
    main()
