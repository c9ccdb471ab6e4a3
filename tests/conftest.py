"""Fixtures of the tests of the whole: real server, real sandboxed trainer, the installed client."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server_process import SERVER, TRAINER, ServerProcess

from bastionlab import Connection, Identity


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="all rounds of the long tests")


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    for binary in (SERVER, TRAINER):
        assert binary.exists(), f"{binary} is missing: run `make` first"


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Makes servers, each on a directory of its own unless one is given, and stops them all in the end."""
    made: list[ServerProcess] = []

    def make(**settings: object) -> ServerProcess:
        number = len(made)
        settings.setdefault("data_dir", tmp_path / f"data-{number}")
        settings.setdefault("log_file", tmp_path / f"server-{number}.log")
        made.append(ServerProcess(**settings))  # type: ignore[arg-type]
        return made[-1].start()

    yield make
    for server in made:
        if server.process is not None and server.process.poll() is None:
            with contextlib.suppress(Exception):
                server.stop()
            server.process.kill()


@pytest.fixture
def server(new_server: Callable[..., ServerProcess]) -> ServerProcess:
    return new_server()


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Connection]]:
    """Connects to a server as somebody: `connect(server, "owner")`. The same name is the same key throughout a test."""
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "home"))
    opened: list[Connection] = []

    def make(server: ServerProcess, who: str = "owner") -> Connection:
        try:
            identity = Identity.load(who)
        except Exception:
            identity = Identity.create(who)
        opened.append(Connection("localhost", server.port, identity=identity))
        return opened[-1]

    yield make
    for connection in opened:
        with contextlib.suppress(Exception):
            connection.close()
