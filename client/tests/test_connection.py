"""Who is spoken to, how, and what is said when that fails."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import rows
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fake_refusals import Kind, once, refuse
from fake_server import FakeServer, self_signed

from bastionlab import Connection, Identity, __version__, errors
from bastionlab import _address as address_module


def test_a_name_for_this_machine_that_resolves_elsewhere_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(*_: object) -> None:
        raise AssertionError("another machine was spoken to")

    elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 50056))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: elsewhere)
    monkeypatch.setattr(socket, "create_connection", connected)
    with pytest.raises(errors.ServerUnavailable):
        _ = Connection("localhost").client


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_this_machine_is_accepted_with_a_warning(host: str, server: FakeServer) -> None:
    with (
        pytest.warns(errors.BastionLabWarning, match="has proved nothing about the code it runs"),
        Connection(host, server.port) as connection,
    ):
        info = connection.client.info
    assert (info.version, info.ledger_key) == (__version__, server.ledger.public.hex())


def test_development_mode_is_said_loudly_and_once_a_connection() -> None:
    with FakeServer() as server, Connection("localhost", server.port) as connection:
        with pytest.warns(errors.PrivacyWarning, match="DEVELOPMENT MODE"):
            _ = connection.client
        assert connection.client.info.development
        server.restart()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            connection.client.torch.runs()


def test_the_same_key_is_used_again(server: FakeServer) -> None:
    users = set()
    for _ in range(2):
        with Connection("localhost", server.port) as connection:
            users.add(connection.client.user)
    assert users == {Identity.default().public_key.user}


def test_a_given_identity_signs(server: FakeServer, tmp_path: Path) -> None:
    p256 = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "p256.pem"
    path.write_bytes(
        p256.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path.chmod(0o600)
    for identity in (Identity.create("ed25519"), Identity.load(str(path))):
        with Connection("localhost", server.port, identity=identity) as connection:
            assert connection.client.user == identity.public_key.user
    assert not (tmp_path / "home" / "identities" / "default.pem").exists(), "no key is made that nobody needs"


@pytest.mark.parametrize("bad", [dict(host=""), dict(host="localhost", identity="alice"), dict(host="localhost", port=0)])
def test_bad_arguments(bad: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidArgument):
        _ = Connection(**bad).client


def test_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(errors.ServerUnavailable) as refused:
            _ = Connection("localhost", port).client
    assert f"localhost:{port}" in str(refused.value)
    assert "bastionlab serve" in str(refused.value)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def serve_in_thread(listening: socket.socket, answer: Any) -> None:
    def serve() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            with peer:
                try:
                    answer(peer)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()


def test_what_listens_speaks_no_tls(listener: socket.socket) -> None:
    serve_in_thread(listener, lambda peer: peer.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n"))
    with pytest.raises(errors.ServerUnavailable, match=r"does not speak TLS 1\.3"):
        _ = Connection("localhost", listener.getsockname()[1]).client


def test_an_older_tls_is_refused(listener: socket.socket, tmp_path: Path) -> None:
    key, certificate = self_signed()
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    serve_in_thread(listener, lambda peer: context.wrap_socket(peer, server_side=True).close())
    with pytest.raises(errors.ServerUnavailable, match=r"does not speak TLS 1\.3"):
        _ = Connection("localhost", listener.getsockname()[1]).client


def test_a_token_that_runs_out_is_replaced(server: FakeServer) -> None:
    server.token_seconds = 0
    with Connection("localhost", server.port) as connection:
        for _ in range(3):
            connection.client.torch.runs()
    assert server.calls.count("SignIn") == 4


def test_a_server_that_forgot_the_token_is_told_again(server: FakeServer, connection: Connection) -> None:
    client = connection.client.torch
    server.restart()
    assert client.runs() == []
    server.tokens.clear()
    assert client.RemoteDataset(rows(), privacy_limit=1.0, progress=False).nb_samples == 100
    assert server.calls.count("SignIn") == 3


def test_a_server_that_never_accepts_the_token_is_asked_twice_only(server: FakeServer, connection: Connection) -> None:
    server.before["ListRuns"] = refuse(Kind.KIND_UNAUTHENTICATED, "the key was revoked", "ask the operator")
    with pytest.raises(errors.PermissionDenied, match="the key was revoked"):
        connection.client.torch.runs()
    assert server.calls.count("ListRuns") == 2


def test_one_refusal_of_the_token_goes_unnoticed(server: FakeServer, connection: Connection) -> None:
    server.before["ListRuns"] = once(refuse(Kind.KIND_UNAUTHENTICATED, "expired"))
    assert connection.client.torch.runs() == []


def test_another_protocol_is_a_version_mismatch(server: FakeServer) -> None:
    server.protocol = 2
    with pytest.raises(errors.VersionMismatch):
        _ = Connection("localhost", server.port).client


def test_a_server_that_answers_with_another_protocol(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("_methods", "_sign_in"):
        monkeypatch.setattr(f"bastionlab.{module}.PROTOCOL", 7)
    server.protocol = 7
    with Connection("localhost", server.port) as connection:
        _ = connection.client
    monkeypatch.setattr(FakeServer, "enter", lambda self, context, method, signed_in=True: "")
    server.protocol = 8
    with pytest.raises(errors.VersionMismatch, match="speaks protocol 8"):
        _ = Connection("localhost", server.port).client


def test_a_closed_connection_says_so_and_can_be_opened_again(server: FakeServer) -> None:
    connection = Connection("localhost", server.port)
    client = connection.client
    connection.close()
    with pytest.raises(errors.ServerUnavailable, match="was closed"):
        client.torch.runs()
    assert connection.client.torch.runs() == []
    connection.close()


def test_the_first_address_that_answers_is_used(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_module, "_addresses", lambda host, port: ["::1", "127.0.0.1"])
    assert address_module.reach("localhost", server.port).target == f"ipv4:127.0.0.1:{server.port}"
    assert address_module.Address("::1", 1, "x").target == "ipv6:[::1]:1"
