"""Rows planted with a marker: nothing that the scientist's client receives contains it, in any encoding tried here."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import torch
from server_process import ServerProcess
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from bastionlab import Connection, _session
from bastionlab.errors import BastionLabError
from bastionlab.torch import SGD

# As float32, as int64 and as text: a value no run would produce by chance.
MARKER_FLOAT = struct.unpack("<f", b"ROWS")[0]
MARKER_INT = 0x5345435245544D41


def forbidden() -> list[bytes]:
    values = [struct.pack("<f", MARKER_FLOAT), struct.pack("<q", MARKER_INT), str(MARKER_INT).encode(), repr(MARKER_FLOAT).encode()]
    return values + [f"{MARKER_FLOAT:.4f}".encode()] + [base64.b64encode(v)[:-2] for v in values[:2]]


class RecordingChannel(grpc.Channel):
    """A channel that notes every byte it hands up: messages before they are decoded, and what comes with an error."""

    def __init__(self, channel: grpc.Channel, seen: list[bytes]) -> None:
        self._channel, self._seen = channel, seen

    def _noting(self, kind: str, method: str, arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        decode = settings["response_deserializer"]

        def noting(message: bytes) -> object:
            self._seen.append(message)
            return decode(message)

        return getattr(self._channel, kind)(method, *arguments, **(settings | {"response_deserializer": noting}))

    def unary_unary(self, method: str, *arguments: Any, **settings: Any) -> Any:
        return self._noting("unary_unary", method, arguments, settings)

    def unary_stream(self, method: str, *arguments: Any, **settings: Any) -> Any:
        return self._noting("unary_stream", method, arguments, settings)

    def stream_unary(self, method: str, *arguments: Any, **settings: Any) -> Any:
        return self._noting("stream_unary", method, arguments, settings)

    def stream_stream(self, method: str, *arguments: Any, **settings: Any) -> Any:
        return self._noting("stream_stream", method, arguments, settings)

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> RecordingChannel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every byte of every message, status text and trailer that gRPC hands to the client."""
    seen: list[bytes] = []
    secure_channel, error_of = grpc.secure_channel, _session.error_of

    def noting_errors(error: grpc.RpcError, *arguments: Any) -> Exception:
        seen.append((error.details() or "").encode())
        seen.extend(repr(item).encode() for item in error.trailing_metadata() or ())
        return error_of(error, *arguments)

    monkeypatch.setattr(grpc, "secure_channel", lambda *a, **k: RecordingChannel(secure_channel(*a, **k), seen))
    monkeypatch.setattr(_session, "error_of", noting_errors)
    return seen


class Loud(nn.Module):
    """Multiplies what it can get hold of into its output and its gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.table = nn.Embedding(4, 4)

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        return self.head(x * 1e6) + self.table(token % 4).sum(-1, keepdim=True)


class OutOfRange(nn.Module):
    """Indexes with a private value: libtorch's own error text would name it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 2)

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        return self.table(token) + x.sum()


@pytest.mark.parametrize("model", [Loud, OutOfRange])
def test_no_response_contains_a_planted_row(
    model: type[nn.Module], server: ServerProcess, connect: Callable[..., Connection], received: list[bytes]
) -> None:
    rows = 64
    planted = TensorDataset(torch.full((rows, 4), MARKER_FLOAT), torch.full((rows,), MARKER_INT), torch.arange(rows).remainder(2))
    pairs = [((x, token), label) for x, token, label in planted]
    with connect(server, "owner") as connection:
        connection.client.torch.RemoteDataset(pairs, privacy_limit=6.0, name="planted", progress=False)
    received.clear()
    with connect(server, "scientist") as connection:
        client = connection.client.torch
        remote = client.list_remote_datasets()[0]
        learner = client.RemoteLearner(
            model(), remote, max_batch_size=8, loss="cross_entropy", optimizer=SGD(lr=1.0), metrics=False, progress=False
        )
        learner.check()
        learner.plan(nb_epochs=2, eps=2.0)
        learner.fit(nb_epochs=2, eps=2.0)
        learner.get_model()
        learner.test(remote, eps=1.0)
        learner.test(remote, "cross_entropy", eps=1.0)
        remote.budget()
        for mistake in (dict(eps=7.0), dict(eps=float("nan")), dict(eps=2.0, batch_size=10**9)):
            with pytest.raises(BastionLabError):
                learner.fit(nb_epochs=2, **mistake)
    everything = b"\n".join(received)
    assert len(received) > 10, "the recorder saw next to nothing"
    assert b"planted" in everything, "the recorder missed the listing"
    for value in forbidden():
        assert value not in everything
        assert value not in server.log_file.read_bytes()
