"""A link that is lost: the server proves itself anew, the user signs in again, and what may be repeated is."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fake_refusals import once
from fake_server import FakeServer
from middlemen import Switch
from software_device import SoftwareDevice, policy_for
from torch import nn

from bastionlab import Connection, errors
from bastionlab import _methods as methods
from bastionlab.torch import RemoteDataset, RemoteLearner, TorchClient
from bastionlab.torch import _watch as watch_module
from bastionlab.v1 import training_pb2


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture(params=["exporter", "key"])
def connection(request: pytest.FixtureRequest, server: FakeServer) -> Iterator[Connection]:
    policy = policy_for(server.device, storage_levels=["file", "memory"], binding=request.param, development=True)
    with Connection("localhost", server.port, attestation=policy) as connection:
        yield connection


@pytest.fixture
def learner(client: TorchClient, dataset: RemoteDataset) -> RemoteLearner:
    return client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False)


def test_reads_survive_a_restart_with_another_key(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    for _ in range(3):
        server.restart()
        assert [each.identifier for each in client.list_remote_datasets()] == [dataset.identifier]
        assert dataset.budget().spent == 0
    assert server.calls.count("GetEvidence") == server.calls.count("SignIn") == 4


def test_each_link_meets_the_memory_of_the_ledger(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    presented = len(server.ledger.presented)
    server.restart()
    client.runs()
    assert len(server.ledger.presented) == presented + 1
    order = [call for call in server.calls if call in ("GetEvidence", "SignIn", "PresentReceipts", "ListRuns")]
    # The call that found the link broken never arrived.
    assert order[-4:] == ["GetEvidence", "SignIn", "PresentReceipts", "ListRuns"]


def test_the_attested_key_of_the_ledger_decides(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    server.ledger.key = Ed25519PrivateKey.generate()
    server.restart()
    with pytest.warns(errors.PrivacyWarning, match="is another one than before"):
        client.runs()


def test_a_run_is_watched_across_a_restart(server: FakeServer, learner: RemoteLearner) -> None:
    server.hold_runs = True

    def restart() -> None:
        while "WatchRun" not in server.calls:
            time.sleep(0.01)
        server.restart()
        server.release_runs()

    thread = threading.Thread(target=restart)
    thread.start()
    assert learner.fit(1, 1.0).status == "completed"
    thread.join()
    assert server.calls.count("StartTraining") == 1


def test_a_server_that_is_away_for_a_while(server: FakeServer, client: TorchClient) -> None:
    server.stop()
    for _ in range(2):
        with pytest.raises(errors.ServerUnavailable):
            client.runs()
    server.start()
    assert client.runs() == []


def cut_once(server: FakeServer, switch: Switch, method: str) -> None:
    """The connection breaks when the call has arrived."""
    server.before[method] = once(lambda _: switch.cut())


@pytest.fixture
def switched(server: FakeServer, connection: Connection) -> Iterator[tuple[Switch, TorchClient]]:
    with (
        Switch(server.port) as switch,
        Connection("localhost", switch.port, attestation=connection.attestation) as by_switch,
    ):
        yield switch, by_switch.client.torch


def test_a_read_that_was_cut_is_made_again(server: FakeServer, switched: tuple[Switch, TorchClient]) -> None:
    switch, client = switched
    cut_once(server, switch, "ListRuns")
    assert client.runs() == []
    assert server.calls.count("ListRuns") == 2


def test_a_read_is_made_again_once(server: FakeServer, switched: tuple[Switch, TorchClient]) -> None:
    switch, client = switched
    server.before["ListRuns"] = lambda _: switch.cut()
    with pytest.raises(errors.ServerUnavailable, match="was lost"):
        client.runs()
    assert server.calls.count("ListRuns") == 2


def test_a_start_that_was_cut_is_not_made_again(
    server: FakeServer, switched: tuple[Switch, TorchClient], dataset: RemoteDataset
) -> None:
    switch, client = switched
    remote = client.list_remote_datasets()[0]
    learner = client.RemoteLearner(nn.Linear(8, 2), remote, "cross_entropy", 4, progress=False)
    learner.check()
    cut_once(server, switch, "StartTraining")
    with pytest.raises(errors.ServerUnavailable) as refused:
        learner.fit(1, 1.0)
    assert refused.value.charged.startswith("perhaps the price of this run")
    assert server.calls.count("StartTraining") == 1
    assert client.runs() is not None, "the next call connects anew"


def test_a_start_that_was_never_sent_is_made(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    """With the exporter it is known that the connection has ended."""
    session = dataset._session
    if session._last.link._tunnel is None:
        pytest.skip("gRPC does not tell")
    learner = client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False)
    plan = learner.plan(1, 1.0)
    request = learner._request(1, 1.0, None, {})
    request.model_id = learner.check().model
    link = session._last.link
    server.restart()
    link._tunnel._thread.join(5)  # type: ignore[union-attr]
    starting = training_pb2.StartTrainingRequest(request=request, charge=plan.charge)
    assert session.call(session.training.StartTraining, starting).id


def test_two_threads_make_one_link(server: FakeServer, client: TorchClient) -> None:
    server.restart()
    found: list[Any] = []

    def read() -> None:
        try:
            found.append(client.runs())
        except errors.BastionLabError as error:
            found.append(error)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [[]] * 6
    assert server.calls.count("GetEvidence") == 2


def test_a_token_is_good_on_its_link_only(server: FakeServer, connection: Connection) -> None:
    session = connection.client._session
    first = session._last
    with Connection("localhost", server.port, attestation=connection.attestation) as other:
        stolen = other.client._session._last
        call = stolen.bind(session.training.ListRuns)
        if first.link.binding == 2:
            with pytest.raises(grpc.RpcError):
                call(training_pb2.ListRunsRequest(), metadata=first.metadata)
        else:
            call(training_pb2.ListRunsRequest(), metadata=first.metadata)


def test_a_restarted_server_that_runs_other_code_is_told_nothing(server: FakeServer, client: TorchClient) -> None:
    server.device = SoftwareDevice(measurement=bytes(48))
    server.restart()
    calls = len(server.calls)
    for _ in range(2):
        with pytest.raises(errors.AttestationError) as refused:
            client.runs()
        assert refused.value.check == "measurement"
    assert set(server.calls[calls:]) == {"GetEvidence"}


def test_a_watch_ends_where_the_server_does_not_pass_any_more(server: FakeServer, learner: RemoteLearner) -> None:
    server.hold_runs = True

    def restart() -> None:
        while "WatchRun" not in server.calls:
            time.sleep(0.01)
        server.device = SoftwareDevice(debug=True)
        server.restart()
        server.release_runs()

    thread = threading.Thread(target=restart)
    thread.start()
    with pytest.raises(errors.AttestationError) as refused:
        learner.fit(1, 1.0)
    thread.join()
    assert refused.value.check == "debug"


def test_what_a_new_start_brings_is_said_once(server: FakeServer, client: TorchClient) -> None:
    server.development = True
    server.restart()
    with pytest.warns(errors.PrivacyWarning, match="DEVELOPMENT MODE"):
        client.runs()
    server.restart()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.runs()


def test_every_call_of_the_protocol_is_judged() -> None:
    """Whoever adds a call says whether it may be made twice."""
    once_only = {
        "ApproveRun",
        "CancelRun",
        "DeleteDataset",
        "DenyRun",
        "GrantAccess",
        "Hello",
        "LowerLimit",
        "RevokeAccess",
        "SignIn",
        "StartTest",
        "StartTraining",
        "UploadDataset",
    }
    services = (methods.AUDIT, methods.DATASETS, methods.LEDGER, methods.MODELS, methods.SESSIONS, methods.TRAINING)
    assert {method.name for service in services for method in service} == once_only | methods.REPEATABLE
    assert not once_only & methods.REPEATABLE
    with pytest.raises(AttributeError, match="no call Nothing"):
        _ = methods.DATASETS.Nothing
