"""A client and a server one minor version apart: what they need of each other is there, on a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import small
from google.protobuf import descriptor_pb2
from server_process import ROOT, ServerProcess

from bastionlab import Connection, __version__, errors
from bastionlab import _link as link_module
from bastionlab.torch import SGD

sys.path.insert(0, str(ROOT / "tools" / "compatibility"))
import protocol

MAJOR, MINOR, _ = (int(part) for part in __version__.split("."))
NEXT_MINOR, NEXT_MAJOR = f"{MAJOR}.{MINOR + 1}.0", f"{MAJOR + 1}.0.0"
# Field 2000, which no version has: three bytes.
UNKNOWN_FIELD = bytes([0x82, 0x7D, 0x03]) + b"new"


def walk_through(connection: Connection) -> None:
    client = connection.client.torch
    dataset = client.RemoteDataset(small.dataset(), privacy_limit=6.0, name="digits", progress=False)
    learner = client.RemoteLearner(
        small.linear(), client.list_remote_datasets()[0], "cross_entropy", 8, SGD(lr=0.5), progress=False
    )
    run = learner.fit(nb_epochs=1, eps=2.0)
    learner.get_model()
    assert (run.status, dataset.budget().remaining, len(client.audit()) > 0) == ("completed", 4.0, True)
    assert dataset.receipts()


def build(directory: Path, version: str, number: int) -> Path:
    """The server of another version: an overlay over the two lines that say so, since nothing of a server that runs could."""
    changes = {
        "internal/version/version.go": (r'const Number = ".*"', f'const Number = "{version}"'),
        "internal/server/protocol.go": (r"const Protocol = \d+", f"const Protocol = {number}"),
    }
    replaced = {}
    for path, (line, other) in changes.items():
        source = ROOT / "server" / path
        changed, count = re.subn(line, other, source.read_text())
        assert count == 1, path
        replaced[str(source)] = str(directory / source.name)
        Path(replaced[str(source)]).write_text(changed)
    overlay, program = directory / "overlay.json", directory / "bastionlab"
    overlay.write_text(json.dumps({"Replace": replaced}))
    command = ["go", "build", "-trimpath", "-overlay", str(overlay), "-o", str(program), "./cmd/bastionlab"]
    subprocess.run(command, cwd=ROOT / "server", env=os.environ | {"CGO_ENABLED": "0"}, check=True)
    return program


def test_a_newer_servers_minor_version_is_nothing_to_talk_about(
    tmp_path: Path, new_server: Callable[..., ServerProcess], connect: Callable[..., Connection]
) -> None:
    server = new_server(program=build(tmp_path, NEXT_MINOR, MAJOR))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        connection = connect(server)
        walk_through(connection)
    assert connection.client.info.version == NEXT_MINOR
    assert not [each for each in heard if "minor version" in str(each.message)]
    (dataset,) = connection.client.torch.list_remote_datasets()
    assert {receipt.release for receipt in dataset.receipts()} == {NEXT_MINOR}
    assert "untested_with" not in server.log()


def test_a_server_of_the_next_major_version_is_refused_by_name(
    tmp_path: Path, new_server: Callable[..., ServerProcess], connect: Callable[..., Connection]
) -> None:
    server = new_server(program=build(tmp_path, NEXT_MAJOR, MAJOR + 1))
    with pytest.raises(errors.VersionMismatch, match=f"install the Python client of BastionLab {NEXT_MAJOR}") as refused:
        _ = connect(server).client
    assert f"speaks protocol {MAJOR}; this server is BastionLab {NEXT_MAJOR} and speaks protocol {MAJOR + 1}" in str(refused.value)


class _Newer:
    """A channel of a client that says more than this protocol knows, in every message of every call."""

    def __init__(self, channel: grpc.Channel, said: list[str]) -> None:
        self._channel, self._said = channel, said

    def __getattr__(self, name: str) -> Any:
        genuine = getattr(self._channel, name)
        if name not in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            return genuine

        def call(method: str, request_serializer: Any = None, **other: Any) -> Any:
            def more(message: Any) -> bytes:
                self._said.append(method)
                return bytes(request_serializer(message)) + UNKNOWN_FIELD

            return genuine(method, request_serializer=more, **other)

        return call


@pytest.fixture
def newer_client(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes this client one of the next minor version; returns which calls it has made."""
    said: list[str] = []
    genuine = link_module.tunnelled_channel
    monkeypatch.setattr(link_module, "tunnelled_channel", lambda tunnel: _Newer(genuine(tunnel), said))
    for module in ("_methods", "_sign_in", "_server_info"):
        monkeypatch.setattr(f"bastionlab.{module}.__version__", NEXT_MINOR)
    return said


def test_a_newer_client_is_served(newer_client: list[str], server: ServerProcess, connect: Callable[..., Connection]) -> None:
    walk_through(connect(server))
    assert len(set(newer_client)) > 10
    assert f'"client":"{NEXT_MINOR}"' in server.log()


@pytest.mark.parametrize("version", [f"{MAJOR}.{MINOR + 2}.0", f"{MAJOR}.{MINOR + 20}.3"])
def test_a_client_far_away_is_served_and_both_say_so(
    version: str, server: ServerProcess, connect: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("_methods", "_sign_in", "_server_info"):
        monkeypatch.setattr(f"bastionlab.{module}.__version__", version)
    with pytest.warns(errors.BastionLabWarning, match=f"is BastionLab {__version__} and this client is {version}: more than one"):
        assert connect(server).client.torch.runs() == []
    (line,) = [line for line in server.log().splitlines() if "untested_with" in line]
    assert '"level":"WARN"' in line
    assert f'"client":"{version}"' in line


# ---- the protocol only grows ----


def test_nothing_of_the_frozen_protocols_was_taken_away() -> None:
    now = protocol.compiled()
    frozen = protocol.frozen()
    assert f"{MAJOR}.{MINOR}" in frozen, "python tools/compatibility/protocol.py freeze"
    for version, before in frozen.items():
        if version.startswith(f"{MAJOR}."):
            assert protocol.taken_away(before, now) == [], f"peers of {version} rely on it"


def test_the_clients_code_is_that_of_the_protocol() -> None:
    from bastionlab.v1 import (
        attestation_pb2,
        audit_pb2,
        dataset_pb2,
        error_pb2,
        ledger_pb2,
        model_pb2,
        session_pb2,
        training_pb2,
        user_pb2,
    )

    modules = [attestation_pb2, audit_pb2, dataset_pb2, error_pb2, ledger_pb2, model_pb2, session_pb2, training_pb2, user_pb2]
    generated = descriptor_pb2.FileDescriptorSet()
    for module in modules:
        generated.file.add().ParseFromString(module.DESCRIPTOR.serialized_pb)
    assert protocol.facts(generated) == protocol.facts(protocol.compiled())


def _file(descriptors: descriptor_pb2.FileDescriptorSet, name: str) -> Any:
    (found,) = [file for file in descriptors.file if file.name == f"bastionlab/v1/{name}.proto"]
    return found


def _field(descriptors: descriptor_pb2.FileDescriptorSet) -> Any:
    (message,) = [message for message in _file(descriptors, "session").message_type if message.name == "HelloResponse"]
    return message.field[0]


def _status(descriptors: descriptor_pb2.FileDescriptorSet) -> Any:
    (found,) = [enum for enum in _file(descriptors, "training").enum_type if enum.name == "RunStatus"]
    return found


def _hello(descriptors: descriptor_pb2.FileDescriptorSet) -> Any:
    return _file(descriptors, "session").service[0].method[0]


TAKEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a file": (lambda d: d.file.remove(_file(d, "user")), "bastionlab.v1.UserService"),
    "a service": (lambda d: _file(d, "session").service.pop(0), "bastionlab.v1.SessionService/Hello is gone"),
    "a method": (lambda d: _file(d, "session").service[0].method.pop(0), "bastionlab.v1.SessionService/Hello is gone"),
    "a method's request": (lambda d: setattr(_hello(d), "input_type", ".bastionlab.v1.SignInRequest"), "SessionService/Hello was"),
    "a method's stream": (lambda d: setattr(_hello(d), "server_streaming", True), "SessionService/Hello was"),
    "a message": (lambda d: _file(d, "session").message_type.pop(0), "bastionlab.v1.HelloRequest is gone"),
    "a field's number": (lambda d: setattr(_field(d), "number", 9), "HelloResponse.server_version was"),
    "a field's type": (lambda d: setattr(_field(d), "type", 12), "HelloResponse.server_version was"),
    "a field's name": (lambda d: setattr(_field(d), "name", "version"), "HelloResponse.server_version is gone"),
    "a field's count": (lambda d: setattr(_field(d), "label", 3), "HelloResponse.server_version was"),
    "a value": (lambda d: _status(d).value.pop(1), "RunStatus."),
    "a value's number": (lambda d: setattr(_status(d).value[1], "number", 77), "RunStatus."),
}


@pytest.mark.parametrize("what", TAKEN)
def test_what_is_taken_away_is_found(what: str) -> None:
    take, named = TAKEN[what]
    before, now = (protocol.frozen()[f"{MAJOR}.{MINOR}"] for _ in range(2))
    take(now)
    assert any(named in line for line in protocol.taken_away(before, now))


def test_what_is_added_is_nothing_taken_away() -> None:
    before, now = (protocol.frozen()[f"{MAJOR}.{MINOR}"] for _ in range(2))
    _file(now, "session").message_type[0].field.add(name="more", number=2000, type=9, label=1)
    _file(now, "session").service[0].method.add(name="More", input_type="a", output_type="b")
    _status(now).value.add(name="RUN_STATUS_MORE", number=99)
    assert protocol.taken_away(before, now) == []
