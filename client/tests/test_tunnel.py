"""The tunnel under gRPC: whole bytes, one local client, typed errors whatever the other end does, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fake_server import FakeServer, self_signed
from middlemen import Hostile, Switch, serve_tls
from OpenSSL import SSL

from bastionlab import Connection, errors
from bastionlab import _link as link_module
from bastionlab import _tunnel as tunnel_module
from bastionlab._acceptance import Acceptance
from bastionlab._address import Address
from bastionlab._channel import tunnelled_channel
from bastionlab._methods import metadata
from bastionlab._relay import BUFFER_BYTES, relay
from bastionlab._tls import new_context, shake_hands
from bastionlab._tunnel import Tunnel
from bastionlab.v1 import attestation_pb2, attestation_pb2_grpc


def tunnels() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "tunnel" in thread.name]


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = tempfile.mkdtemp(prefix="t-")  # short, and no other process's
    monkeypatch.setattr(tempfile, "tempdir", own)
    yield
    assert tunnels() == []
    assert os.listdir(own) == []
    os.rmdir(own)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "EVIDENCE_TIMEOUT_SECONDS", 1.5)
    monkeypatch.setattr(tunnel_module, "CONNECT_TIMEOUT_SECONDS", 1.0)


def address(port: int) -> Address:
    return Address("127.0.0.1", port, f"localhost:{port}")


def silence(tls: SSL.Connection, peer: socket.socket) -> None:
    while tls.recv(1 << 16):
        pass


def garbage(tls: SSL.Connection, peer: socket.socket) -> None:
    tls.sendall(secrets.token_bytes(1 << 16))
    silence(tls, peer)


def without_end(tls: SSL.Connection, peer: socket.socket) -> None:
    while True:
        tls.sendall(bytes(1 << 16))


def half_a_frame(tls: SSL.Connection, peer: socket.socket) -> None:
    tls.sendall(b"\x00\x00\x06\x04\x00\x00\x00\x00")
    silence(tls, peer)


SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def settings_and_silence(tls: SSL.Connection, peer: socket.socket) -> None:
    tls.sendall(SETTINGS)
    silence(tls, peer)


def settings_and_an_end(tls: SSL.Connection, peer: socket.socket) -> None:
    tls.sendall(SETTINGS)
    tls.recv(1 << 16)
    tls.shutdown()


def settings_and_other_tls(tls: SSL.Connection, peer: socket.socket) -> None:
    tls.sendall(SETTINGS)
    peer.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
    silence(tls, peer)


def a_flood_of_headers(tls: SSL.Connection, peer: socket.socket) -> None:
    tls.sendall(SETTINGS)
    while True:
        tls.sendall(b"\x00\x40\x00\x01\x00\x00\x00\x00\x01" + secrets.token_bytes(1 << 14))


def a_flood_of_pings(tls: SSL.Connection, peer: socket.socket) -> None:
    tls.sendall(SETTINGS)
    while True:
        tls.sendall(b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8))


def an_end_at_once(tls: SSL.Connection, peer: socket.socket) -> None:
    pass


BEHAVIOURS: list[Callable[[SSL.Connection, socket.socket], None]] = [
    silence,
    garbage,
    without_end,
    half_a_frame,
    settings_and_silence,
    settings_and_an_end,
    settings_and_other_tls,
    a_flood_of_headers,
    a_flood_of_pings,
    an_end_at_once,
]


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("then", BEHAVIOURS, ids=lambda then: then.__name__)
def test_whatever_a_stranger_sends_ends_in_an_error_in_time(then: Callable[[SSL.Connection, socket.socket], None]) -> None:
    began = time.monotonic()
    with Hostile(then) as hostile, pytest.raises((errors.ServerUnavailable, errors.AttestationError)) as refused:
        _ = Connection("localhost", hostile.port).client
    assert time.monotonic() - began < 10
    assert str(hostile.port) in str(refused.value)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("alpn", [None, b"http/1.1"])
def test_what_speaks_no_http2(alpn: bytes | None) -> None:
    with Hostile(silence, alpn) as hostile, pytest.raises(errors.ServerUnavailable, match=r"does not speak"):
        _ = Connection("localhost", hostile.port).client


@pytest.mark.usefixtures("_impatient")
def test_who_shakes_no_hands() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(errors.ServerUnavailable, match="does not answer in time"),
    ):
        _ = Connection("localhost", silent.getsockname()[1]).client


def test_a_key_of_another_kind() -> None:
    with Hostile(silence) as hostile:
        hostile._key = rsa.generate_private_key(65537, 2048)  # type: ignore[assignment]
        _, hostile._certificate = self_signed(hostile._key)
        with pytest.raises(errors.AttestationError) as refused:
            _ = Connection("localhost", hostile.port).client
        assert refused.value.check == "tls"


def ask(channel: object) -> attestation_pb2.Evidence:
    stub = attestation_pb2_grpc.AttestationServiceStub(channel)
    request = attestation_pb2.GetEvidenceRequest(nonce=bytes(32), binding=attestation_pb2.BINDING_KEY)
    evidence: attestation_pb2.Evidence = stub.GetEvidence(request, metadata=metadata(), timeout=10)
    return evidence


def test_the_local_end_is_for_this_process_and_once(server: FakeServer) -> None:
    tunnel = Tunnel(address(server.port))
    name = Path(tunnel.target.removeprefix("unix:"))
    assert stat.S_IMODE(name.parent.stat().st_mode) == 0o700
    script = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(name)!r}); print(s.recv(9))"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    assert other.stdout.strip() == "b''", "another process, though of this user, is sent away"
    channel = tunnelled_channel(tunnel)
    assert ask(channel).format == "simulated"
    assert not name.exists()
    channel.close()
    tunnel.close()
    assert not name.parent.exists()


def test_nobody_takes_the_name_of_a_connection_that_was_cut(server: FakeServer) -> None:
    """gRPC would connect to it, and tell whoever listens there what was meant for the server."""
    with Switch(server.port) as switch:
        link = link_module.open_link(address(switch.port), Acceptance())
        assert link._tunnel is not None
        name = Path(link._tunnel.target.removeprefix("unix:"))
        switch.cut()
    deadline = time.monotonic() + 10
    while not link.is_lost:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert stat.S_IMODE(name.parent.stat().st_mode) == 0o700
    with pytest.raises(FileExistsError):
        name.parent.mkdir()
    assert list(name.parent.iterdir()) == []
    link.close()
    assert not name.parent.exists()


# In a process of its own: forking the one that runs the fake server would share that server's descriptors too.
FORKING = """
import os
from bastionlab._channel import tunnelled_channel
from bastionlab._tunnel import Tunnel
from test_tunnel import address, ask

tunnel = Tunnel(address({port}))
child = os.fork()
if child == 0:
    try:
        tunnel.close()
        tunnel._forget_directory()
    finally:
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0
tunnel._thread.join(0.2)
assert tunnel.is_open
channel = tunnelled_channel(tunnel)
print(ask(channel).format)
channel.close()
tunnel.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_fork_does_not_end_the_connection_of_its_parent(server: FakeServer) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": tempfile.gettempdir()}
    script = FORKING.format(port=server.port)
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "simulated\n"


class Unreadable:
    """A connection with a certificate that OpenSSL took and the stricter reader does not."""

    def get_peer_certificate(self, *, as_cryptography: bool) -> None:
        raise ValueError("error parsing asn1 value")


def test_a_certificate_that_cannot_be_read() -> None:
    with pytest.raises(errors.AttestationError) as refused:
        tunnel_module._certificate_of(Unreadable())  # type: ignore[arg-type]
    assert refused.value.check == "tls"


def test_a_tunnel_that_nobody_used_ends(server: FakeServer) -> None:
    tunnel = Tunnel(address(server.port))
    tunnel.close()
    assert not tunnel.is_open
    tunnel.close()


def test_the_exporter_is_of_one_connection(server: FakeServer) -> None:
    first, second = Tunnel(address(server.port)), Tunnel(address(server.port))
    assert first.exporter != second.exporter
    assert first.public_key == second.public_key
    first.close()
    second.close()


def test_a_place_with_a_long_name(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(long))
    with Connection("localhost", server.port) as connection:
        assert connection.client.torch.runs() == []


def test_connections_leave_no_threads_and_no_files(server: FakeServer) -> None:
    def once() -> None:
        with Connection("localhost", server.port) as connection:
            connection.client.torch.runs()
            assert len(tunnels()) == 1

    once()
    assert tunnels() == []
    if not Path("/proc/self/fd").exists():
        return
    # The server is in this process too, and closes its ends a moment later.
    open_before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        once()
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/fd")) > open_before + 2:
        assert time.monotonic() < deadline, "files stay open"
        time.sleep(0.05)


def test_a_connection_that_is_dropped_ends_too(server: FakeServer) -> None:
    connection = Connection("localhost", server.port)
    connection.client.torch.runs()
    del connection
    deadline = time.monotonic() + 10
    while tunnels():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def connected(far: socket.socket) -> SSL.Connection:
    tls = SSL.Connection(new_context(SSL.TLS_CLIENT_METHOD), None)
    tls.set_connect_state()
    shake_hands(tls, far, 10)
    return tls


def test_bytes_arrive_whole_both_ways_at_once() -> None:
    """More than every buffer on the way holds, in pieces of every size, with a reader that is slower than the writer."""
    key, certificate = self_signed()
    here, near = socket.socketpair()
    far, peer = socket.socketpair()
    stop, wake = socket.socketpair()

    def echo() -> None:
        with peer, contextlib.suppress(SSL.Error):
            tls = serve_tls(peer, key, certificate)
            while True:
                tls.sendall(tls.recv(10_000))

    echoing = threading.Thread(target=echo)
    echoing.start()
    tls = connected(far)

    def carry() -> None:
        with near, far:
            relay(tls, far, near, stop)

    relaying = threading.Thread(target=carry)
    relaying.start()
    sent = secrets.token_bytes(5 * BUFFER_BYTES + 12345)

    def write() -> None:
        at = 0
        while at < len(sent):
            size = 1 + secrets.randbelow(300_000)
            here.sendall(sent[at : at + size])
            at += size

    writing = threading.Thread(target=write)
    writing.start()
    received = bytearray()
    while len(received) < len(sent):
        received += here.recv(1 + secrets.randbelow(100_000))
        if len(received) % 7 == 0:
            time.sleep(0.002)
    writing.join()
    assert received == sent
    here.close()
    for thread in (relaying, echoing):
        thread.join(10)
        assert not thread.is_alive(), "the end of one side is the end of the other"
    stop.close()
    wake.close()


def test_a_side_that_takes_nothing_costs_no_more_than_the_buffers() -> None:
    key, certificate = self_signed()
    here, near = socket.socketpair()
    far, peer = socket.socketpair()
    stop, wake = socket.socketpair()
    sent = [0]

    def flood() -> None:
        with peer, contextlib.suppress(SSL.Error):
            tls = serve_tls(peer, key, certificate)
            while True:
                tls.sendall(bytes(1 << 16))
                sent[0] += 1 << 16

    flooding = threading.Thread(target=flood)
    flooding.start()
    tls = connected(far)
    relaying = threading.Thread(target=relay, args=(tls, far, near, stop))
    relaying.start()
    before = -1
    while sent[0] != before:
        before = sent[0]
        time.sleep(0.3)
    assert sent[0] < 4 * BUFFER_BYTES
    wake.send(b"x")
    relaying.join(10)
    assert not relaying.is_alive()
    for each in (here, near, far, stop, wake):
        each.close()
    flooding.join(10)
    assert not flooding.is_alive()
