"""Whatever comes in on the server's port, honest clients are answered throughout, and the server's memory stays bounded."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server_process import ServerProcess

from bastionlab import Connection

Connect = Callable[..., Connection]

HALF_OPEN = 10_000
# What the server may take on top of what it has when it is idle.
GROWTH_MIB = 400
HONEST_SECONDS = 5.0
# An address of their own for the hostile: their ports stay taken for a minute, and other tests need the usual one's.
HOSTILE = ("127.0.0.2", 0)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def resident_mib(server: ServerProcess) -> float:
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the server has no memory")


class Honest:
    """Someone who connects, signs in and lists datasets, again and again; how long each took."""

    def __init__(self, connect: Connect, server: ServerProcess) -> None:
        self.seconds: list[float] = []
        self.errors: list[BaseException] = []
        self.peak_mib = 0.0
        self._connect, self._server = connect, server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                connection = self._connect(self._server, "honest")
                connection.client.torch.list_remote_datasets()
                connection.close()
            except Exception as error:
                self.errors.append(error)
            self.seconds.append(time.monotonic() - began)
            self.peak_mib = max(self.peak_mib, resident_mib(self._server))

    def __enter__(self) -> Honest:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < HALF_OPEN + 1000:
        pytest.skip(f"this machine lets a process have {hard} open files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def secure(server: ServerProcess) -> ssl.SSLSocket:
    """A stranger's connection, as far as keys."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=10, source_address=HOSTILE)
    return context.wrap_socket(plain, server_hostname="localhost")


def half_open(server: ServerProcess) -> list[socket.socket]:
    """Connections of which a part of the first message came, and no more."""
    held = []
    for number in range(HALF_OPEN):
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=10, source_address=HOSTILE)
            held.append(connection)
            connection.send(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
    assert len(held) == HALF_OPEN
    return held


def slow_clients(server: ServerProcess) -> list[socket.socket]:
    """Connections that have keys and then send a byte now and then."""
    held: list[socket.socket] = []
    for _ in range(200):
        with contextlib.suppress(OSError):
            held.append(secure(server))
    for at in range(len(PREFACE + SETTINGS)):
        for connection in held:
            with contextlib.suppress(OSError):
                connection.send((PREFACE + SETTINGS)[at : at + 1])
        time.sleep(0.02)
    return held


def fuzzed_frames(server: ServerProcess) -> list[socket.socket]:
    """HTTP/2 frames of every type and length with anything in them, and bytes that are no TLS at all."""
    dice = random.Random(6)
    for number in range(400):
        with contextlib.suppress(OSError):
            if number % 4 == 0:
                with socket.create_connection(("127.0.0.1", server.port), timeout=10, source_address=HOSTILE) as plain:
                    plain.send(dice.randbytes(dice.randrange(1, 4096)))
                continue
            with secure(server) as connection:
                connection.send(PREFACE + SETTINGS)
                for _ in range(dice.randrange(1, 20)):
                    body = dice.randbytes(dice.choice([0, 1, 4, 5, 8, 100, 16384, 20000]))
                    header = len(body).to_bytes(3, "big") + bytes([dice.randrange(12), dice.randrange(256)])
                    connection.send(header + dice.randrange(2**31).to_bytes(4, "big") + body)
    return []


def oversized_metadata(server: ServerProcess) -> list[socket.socket]:
    """Header lists of a hundred MiB, in frames that never say that they are the last."""
    held: list[socket.socket] = []
    literal = b"\x00\x01x\x7f\x80\x7f" + b"v" * 16383  # a header "x" with a value of 16510 bytes and more, of which a part comes
    for _ in range(20):
        with contextlib.suppress(OSError):
            connection = secure(server)
            held.append(connection)
            connection.send(PREFACE + SETTINGS + b"\x00\x00\x00\x01\x00\x00\x00\x00\x01")
            for _ in range(320):
                connection.send(len(literal).to_bytes(3, "big") + b"\x09\x00\x00\x00\x00\x01" + literal)
    return held


@pytest.mark.parametrize("attack", [half_open, slow_clients, fuzzed_frames, oversized_metadata], ids=lambda attack: attack.__name__)
def test_honest_clients_are_answered_throughout(
    server: ServerProcess, connect: Connect, many_files: None, attack: Callable[[ServerProcess], list[socket.socket]]
) -> None:
    connect(server, "honest").client.torch.list_remote_datasets()
    idle = resident_mib(server)
    with Honest(connect, server) as honest:
        held = attack(server)
        time.sleep(2)
    for connection in held:
        connection.close()
    assert not honest.errors, honest.errors[0]
    assert max(honest.seconds) < HONEST_SECONDS, f"an honest client waited for {max(honest.seconds):.1f} s"
    assert honest.peak_mib - idle < GROWTH_MIB, f"the server grew from {idle:.0f} to {honest.peak_mib:.0f} MiB"
    assert "panic" not in server.log()
    assert server.stop() == 0
