"""Rows planted with a marker: nothing that the scientist's client receives contains it, in any encoding tried here."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable

import grpc
import pytest
import torch
from server_process import ServerProcess
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from bastionlab import Connection
from bastionlab.errors import BastionLabError
from bastionlab.torch import SGD

# As float32, as int64 and as text: a value no run would produce by chance.
MARKER_FLOAT = struct.unpack("<f", b"ROWS")[0]
MARKER_INT = 0x5345435245544D41


def forbidden() -> list[bytes]:
    values = [struct.pack("<f", MARKER_FLOAT), struct.pack("<q", MARKER_INT), str(MARKER_INT).encode(), repr(MARKER_FLOAT).encode()]
    return values + [f"{MARKER_FLOAT:.4f}".encode()] + [base64.b64encode(v)[:-2] for v in values[:2]]


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every byte of every message, status text and trailer that gRPC hands to the client."""
    seen: list[bytes] = []

    def record(value: object) -> None:
        if hasattr(value, "SerializeToString"):
            seen.append(value.SerializeToString())

    class Recorder(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor):
        def _note(self, call: object) -> None:
            for key, value in list(call.trailing_metadata() or ()) + list(call.initial_metadata() or ()):  # type: ignore[attr-defined]
                seen.append(key.encode() + b"=" + (value if isinstance(value, bytes) else value.encode()))
            seen.append((call.details() or "").encode())  # type: ignore[attr-defined]

        def intercept_unary_unary(self, continuation, details, request):  # noqa: ANN001, ANN202
            call = continuation(details, request)
            if call.code() is grpc.StatusCode.OK:
                record(call.result())
            self._note(call)
            return call

        def intercept_stream_unary(self, continuation, details, requests):  # noqa: ANN001, ANN202
            return self.intercept_unary_unary(continuation, details, requests)

        def intercept_unary_stream(self, continuation, details, request):  # noqa: ANN001, ANN202
            call = continuation(details, request)
            return _Recorded(call, record, self._note)

    original = grpc.secure_channel

    def recorded(*arguments: object, **settings: object) -> grpc.Channel:
        return grpc.intercept_channel(original(*arguments, **settings), Recorder())

    monkeypatch.setattr(grpc, "secure_channel", recorded)
    return seen


class _Recorded:
    """A response stream that notes what passes."""

    def __init__(self, call: object, record: Callable[[object], None], note: Callable[[object], None]) -> None:
        self._call, self._record, self._note = call, record, note

    def __iter__(self) -> _Recorded:
        return self

    def __next__(self) -> object:
        try:
            value = next(self._call)  # type: ignore[call-overload]
        except (StopIteration, grpc.RpcError):
            self._note(self._call)
            raise
        self._record(value)
        return value

    def __getattr__(self, name: str) -> object:
        return getattr(self._call, name)


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
