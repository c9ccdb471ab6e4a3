"""Servers of other versions: what is taken, what is warned of, what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import grpc
import pytest
import torch
from conftest import rows
from fake_server import FakeServer

from bastionlab import Connection, __version__, errors
from bastionlab import _server_info as server_info
from bastionlab._version import PROTOCOL, is_far
from bastionlab.torch._run import status_name

NEAR = ["1.4.0", "1.4.9", "1.3.7", "1.5.0", "1.5.0-rc.1"]
FAR = ["1.2.9", "1.6.0", "1.40.0", "0.4.0", "2.4.0", "2.4.0-rc.1"]
UNREADABLE = ["", "1.9", "newest", "v9.9.9", "1.9999999.0", "1.٩.0"]


@pytest.mark.parametrize("other", [*NEAR, *FAR, *UNREADABLE])
def test_what_is_far(other: str) -> None:
    assert is_far("1.4.2", other) == (other in FAR)


def test_the_protocol_is_the_major_version() -> None:
    assert __version__.split(".")[0] == str(PROTOCOL), "peers of another major version would not be refused"


def neighbour(minors: int) -> str:
    major, minor, _ = __version__.split(".")
    return f"{major}.{int(minor) + minors}.0"


@pytest.mark.parametrize(("client", "warned"), [(neighbour(1), False), (neighbour(2), True), (neighbour(30), True)])
def test_a_client_is_told_that_the_server_is_far_away(
    client: str, warned: bool, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_info, "__version__", client)
    with warnings.catch_warnings(record=True) as heard, Connection("localhost", server.port) as connection:
        warnings.simplefilter("always")
        assert connection.client.torch.runs() == []
        server.restart()
        assert connection.client.torch.runs() == []
    told = [str(each.message) for each in heard if "more than one minor version" in str(each.message)]
    assert len(told) == warned, "once a connection"
    assert all(f"this client is {client}" in text and f"install the client of BastionLab {__version__}" in text for text in told)


def test_another_protocol_is_refused_with_what_to_install(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeServer, "enter", lambda self, context, method, signed_in=True: "")
    server.protocol, server.said_version = PROTOCOL + 1, f"{PROTOCOL + 1}.0.0"
    with pytest.raises(errors.VersionMismatch, match=f"install the client of BastionLab {PROTOCOL + 1}.0.0"):
        _ = Connection("localhost", server.port).client


def test_a_status_of_a_newer_server_has_a_name() -> None:
    assert status_name(99) == "status 99"  # type: ignore[arg-type]


# Field 2000, which no version has: three bytes.
UNKNOWN_FIELD = bytes([0x82, 0x7D, 0x03]) + b"new"


class _FirstProduct(grpc.ServerInterceptor):  # type: ignore[misc]
    """Knows none of our calls."""

    def intercept_service(self, go_on: Any, details: Any) -> Any:
        return None


def test_a_server_of_the_first_product_is_refused_by_name() -> None:
    with FakeServer(interceptors=[_FirstProduct()]) as server:
        with pytest.raises(errors.AttestationError, match=r"ask its operator whether it is BastionLab 1\.0 or newer") as refused:
            _ = Connection("localhost", server.port).client
        assert refused.value.check == "evidence"
        assert server.calls == []


class _Newer(grpc.ServerInterceptor):  # type: ignore[misc]
    """Adds to every answer a field that no version has."""

    def __init__(self) -> None:
        self.added = 0

    def intercept_service(self, go_on: Any, details: Any) -> Any:
        handler = go_on(details)
        if handler is None:
            return None

        def more(message: Any) -> bytes:
            self.added += 1
            return bytes(handler.response_serializer(message)) + UNKNOWN_FIELD

        return handler._replace(response_serializer=more)


@pytest.mark.filterwarnings("ignore:the learning rate times the number of steps:UserWarning")
def test_what_a_newer_server_says_besides_is_ignored() -> None:
    newer = _Newer()
    with FakeServer(development=False, interceptors=[newer]) as server, Connection("localhost", server.port) as connection:
        client = connection.client.torch
        dataset = client.RemoteDataset(rows(), privacy_limit=6.0, progress=False)
        learner = client.RemoteLearner(torch.nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False)
        assert learner.fit(nb_epochs=1, eps=2.0).status == "completed"
        learner.get_model()
        assert [entry.epsilon for entry in client.list_remote_datasets()[0].budget().runs] == [2.0]
        assert newer.added >= len(set(server.calls)) > 8
