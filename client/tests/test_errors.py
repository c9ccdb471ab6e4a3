"""A refusal becomes the exception of its kind, with its figures; no grpc.RpcError ever comes through."""

from __future__ import annotations

import pickle
from typing import Any

import grpc
import pytest
from fake_refusals import Kind, abort_with, detail, refuse
from fake_server import FakeServer

from bastionlab import Connection, errors
from bastionlab._refusals import DETAIL_KEY, error_of
from bastionlab.torch import TorchClient
from bastionlab.v1 import error_pb2

KINDS = [
    (Kind.KIND_INVALID_ARGUMENT, errors.InvalidArgument),
    (Kind.KIND_BUDGET_EXCEEDED, errors.BudgetExceeded),
    (Kind.KIND_INCOMPATIBLE_MODEL, errors.IncompatibleModel),
    (Kind.KIND_PERMISSION_DENIED, errors.PermissionDenied),
    (Kind.KIND_ATTESTATION, errors.AttestationError),
    (Kind.KIND_NOT_FOUND, errors.NotFound),
    (Kind.KIND_UNAVAILABLE, errors.ServerUnavailable),
    (Kind.KIND_VERSION_MISMATCH, errors.VersionMismatch),
    (Kind.KIND_TRAINING_FAILED, errors.TrainingFailed),
    (Kind.KIND_INTERNAL, errors.BastionLabError),
    (Kind.KIND_UNAUTHENTICATED, errors.PermissionDenied),
    (99, errors.BastionLabError),
]


def test_every_kind_of_the_protocol_is_in_the_table() -> None:
    assert {kind for kind, _ in KINDS} >= set(error_pb2.ErrorDetail.Kind.values()) - {Kind.KIND_UNSPECIFIED}


@pytest.mark.parametrize(("kind", "expected"), KINDS)
def test_kinds(kind: int, expected: type[errors.BastionLabError], server: FakeServer, client: TorchClient) -> None:
    server.before["ListDatasets"] = refuse(kind, "it was wrong", "do better")
    with pytest.raises(errors.BastionLabError) as refused:
        client.list_remote_datasets()
    error = refused.value
    assert type(error) is expected
    assert (error.what, error.charged, error.next) == ("it was wrong", "nothing", "do better")
    assert str(error) == "it was wrong; spent: nothing; do better"
    assert error.__cause__ is None
    assert error.__suppress_context__, "raised from None: gRPC's own error is no news to a user"


def test_figures_of_a_budget(server: FakeServer, client: TorchClient) -> None:
    figures = error_pb2.BudgetExceeded(
        limit_nano=6 * 10**9, spent_nano=4_500_000_000, requested_nano=2 * 10**9, remaining_nano=1_500_000_000
    )
    server.before["ListRuns"] = refuse(Kind.KIND_BUDGET_EXCEEDED, "too much", budget=figures)
    with pytest.raises(errors.BudgetExceeded) as refused:
        client.runs()
    assert (refused.value.limit, refused.value.spent, refused.value.requested, refused.value.remaining) == (6.0, 4.5, 2.0, 1.5)


def test_figures_of_a_model(server: FakeServer, client: TorchClient) -> None:
    model = error_pb2.IncompatibleModel(operator="aten::lstm", layer="encoder.rnn", reason="no rule")
    server.before["ListRuns"] = refuse(Kind.KIND_INCOMPATIBLE_MODEL, "the model does not fit", model=model)
    with pytest.raises(errors.IncompatibleModel) as refused:
        client.runs()
    assert (refused.value.operator, refused.value.layer, refused.value.reason) == ("aten::lstm", "encoder.rnn", "no rule")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.ServerUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.ServerUnavailable),
        (grpc.StatusCode.UNIMPLEMENTED, errors.VersionMismatch),
        (grpc.StatusCode.PERMISSION_DENIED, errors.PermissionDenied),
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidArgument),
        (grpc.StatusCode.NOT_FOUND, errors.NotFound),
        (grpc.StatusCode.INTERNAL, errors.BastionLabError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.BastionLabError),
        (grpc.StatusCode.UNKNOWN, errors.BastionLabError),
    ],
)
def test_a_status_without_detail(
    code: grpc.StatusCode, expected: type[errors.BastionLabError], server: FakeServer, client: TorchClient
) -> None:
    def hook(context: grpc.ServicerContext) -> None:
        context.abort(code, "some words")

    server.before["ListDatasets"] = hook
    with pytest.raises(errors.BastionLabError) as refused:
        client.list_remote_datasets()
    assert next(kind for kind in type(refused.value).__mro__ if kind.__module__ == errors.__name__) is expected


class Failed(grpc.RpcError):  # type: ignore[misc]
    def __init__(self, trailing: Any) -> None:
        self._trailing = trailing

    def trailing_metadata(self) -> Any:
        return self._trailing

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.INTERNAL

    def details(self) -> str:
        return "words"


@pytest.mark.parametrize("trailing", [None, (), ((DETAIL_KEY, b"\xff\xff"),), ((DETAIL_KEY, b""),), (("other", "x"),)])
def test_a_detail_that_cannot_be_read_leaves_the_status(trailing: Any) -> None:
    error = error_of(Failed(trailing), "here:1")
    assert type(error) is errors.BastionLabError
    assert "here:1" in str(error)


STREAMS = ["WatchRun", "DownloadWeights"]


@pytest.mark.parametrize("method", STREAMS)
def test_streams_are_mapped_too(method: str, server: FakeServer, connection: Connection) -> None:
    session = connection.client._session
    server.before[method] = refuse(Kind.KIND_NOT_FOUND, "no such run")
    from bastionlab.v1 import training_pb2

    request = getattr(training_pb2, f"{method}Request")()
    with pytest.raises(errors.NotFound):
        list(session.watch(getattr(session.training, method), request))


def test_a_stream_that_breaks_in_its_middle(server: FakeServer, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    from fake_training import Training

    from bastionlab.v1 import training_pb2

    def watch(self: Any, request: Any, context: Any) -> Any:
        yield training_pb2.Run(id="a")
        raise abort_with(context, detail(Kind.KIND_INTERNAL, "the server stopped"))

    monkeypatch.setattr(Training, "WatchRun", watch)
    server.restart()
    session = connection.client._session
    stream = session.watch(session.training.WatchRun, training_pb2.WatchRunRequest())
    assert next(stream).id == "a"
    with pytest.raises(errors.BastionLabError, match="the server stopped"):
        next(stream)


EXAMPLES: list[errors.BastionLabError] = [
    errors.InvalidArgument("x", next="y"),
    errors.BudgetExceeded(6.0, 4.0, 3.0, 2.0),
    errors.IncompatibleModel("aten::foo", "a.b", "because"),
    errors.AttestationError("policy", "a", "b"),
    errors.TrainingFailed("x", charged="eps 2"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error: errors.BastionLabError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EXAMPLES[1], "the run needs 3, 2 remain of the limit of 6 (4 spent); spent: nothing"),
        (EXAMPLES[2], "aten::foo in a.b: because; spent: nothing"),
        (errors.IncompatibleModel("", "", "because"), "because; spent: nothing"),
        (EXAMPLES[3], "check 'policy' failed: expected a, saw b; spent: nothing"),
        (EXAMPLES[4], "x; spent: eps 2"),
        (errors.ServerUnavailable("x", charged="", next="y"), "x; y"),
    ],
)
def test_texts(error: errors.BastionLabError, text: str) -> None:
    assert str(error) == text


def test_an_invalid_argument_is_a_value_error() -> None:
    assert issubclass(errors.InvalidArgument, ValueError)
