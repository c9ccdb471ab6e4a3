"""An upload whose connection breaks goes on where it was, with a server that proved itself anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
import torch
from conftest import rows
from fake_ledger import FakeLedger
from fake_refusals import Kind, once, refuse
from fake_server import FakeServer
from middlemen import Middleman, Switch
from torch.utils.data import Dataset

from bastionlab import Connection, errors
from bastionlab.torch import TorchClient, _going_on, _upload
from bastionlab.v1 import dataset_pb2

PER_BATCH = 10
BATCHES = 10


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_upload, "BATCH_BYTES", PER_BATCH * 40)
    monkeypatch.setattr(_going_on, "_FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def switch(server: FakeServer) -> Iterator[Switch]:
    with Switch(server.port) as switch:
        yield switch


@pytest.fixture
def client(switch: Switch) -> Iterator[TorchClient]:
    with Connection("localhost", switch.port) as connection:
        yield connection.client.torch


class Counted(Dataset[Any]):
    def __init__(self) -> None:
        self.rows = rows()
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        self.read.append(index)
        return self.rows[index]


def after(batches: int, do: Callable[[], Any], times: int = 1) -> Callable[[grpc.ServicerContext], None]:
    """For `before["batch"]`: whenever the server got so many batches more, so often; it cuts the stream."""
    seen = [0, times]

    def hook(context: grpc.ServicerContext) -> None:
        seen[0] += 1
        if seen[0] % batches == 0 and seen[1] > 0:
            seen[1] -= 1
            do()
            wait_until(lambda: not context.is_active())  # or what is under way already would arrive

    return hook


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def sent(client: TorchClient) -> Any:
    dataset = Counted()
    return client.RemoteDataset(dataset, privacy_limit=6.0, name="digits", progress=False), dataset


def assert_whole(server: FakeServer) -> None:
    (stored,) = server.datasets.values()
    assert torch.equal(stored.column("input.input_0"), rows().tensors[0])
    assert torch.equal(stored.column("label"), rows().tensors[1])


def test_it_goes_on_where_it_was(server: FakeServer, switch: Switch, client: TorchClient) -> None:
    server.before["batch"] = after(4, switch.cut)
    made, dataset = sent(client)
    assert_whole(server)
    assert made.identifier in server.datasets
    assert server.datasets[made.identifier].header.after_batches == 4
    assert dataset.read.count(0) == 2, "the schema's, and once to be sent: what the server has is not read again"
    assert server.calls.count("GetEvidence") == 2
    assert server.calls.count("UploadDataset") == 2


def test_it_may_be_cut_often(server: FakeServer, switch: Switch, client: TorchClient) -> None:
    server.before["batch"] = after(2, switch.cut, times=4)
    sent(client)
    assert_whole(server)
    assert server.calls.count("UploadDataset") == 5


def test_a_server_that_was_restarted_and_kept_it(server: FakeServer, switch: Switch, client: TorchClient) -> None:
    went = threading.Event()

    def come_back() -> None:
        went.wait(20)
        server.restart()

    server.before["batch"] = after(4, went.set)
    thread = threading.Thread(target=come_back)
    thread.start()
    made, _ = sent(client)
    thread.join()
    assert_whole(server)
    assert server.datasets[made.identifier].header.after_batches == 4


def test_a_server_that_knows_nothing_of_it_gets_all(server: FakeServer, switch: Switch, client: TorchClient) -> None:
    def forget() -> None:
        switch.cut()
        server.uploads.clear()

    server.before["batch"] = after(4, forget)
    made, dataset = sent(client)
    assert_whole(server)
    assert server.datasets[made.identifier].header.after_batches == 0
    assert dataset.read.count(0) == 3


@pytest.mark.filterwarnings("ignore:the ledger of the server at:UserWarning")
def test_it_does_not_go_on_with_another_ledger(
    server: FakeServer, switch: Switch, client: TorchClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its limit was computed for the ledger of before, which knows what was spent of these records."""

    def start_anew() -> None:
        server.ledger = FakeLedger()
        switch.cut()

    monkeypatch.setattr(_upload, "BATCH_BYTES", 1 << 18)
    server.before["batch"] = after(2, start_anew)
    large = [(torch.zeros(1 << 16), 0)] * 80  # more than is under way at any time
    with pytest.raises(errors.NotFound, match="has another ledger") as refused:
        client.RemoteDataset(large, privacy_limit=1.0, progress=False)
    assert refused.value.charged == "nothing"
    assert server.datasets == {}
    assert server.calls.count("UploadDataset") == 1


@pytest.mark.filterwarnings("ignore:the ledger of the server at:UserWarning")
def test_a_link_that_was_lost_before_the_upload_leads_to_no_other_ledger(
    server: FakeServer, switch: Switch, client: TorchClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bastionlab.torch import _dataset as dataset_module

    honest = dataset_module.continue_accounts

    def and_then_it_restarts(*given: Any) -> Any:
        terms = honest(*given)
        server.ledger = FakeLedger()
        switch.cut()
        wait_until(lambda: client._session._last.link.is_lost)
        return terms

    monkeypatch.setattr(dataset_module, "continue_accounts", and_then_it_restarts)
    with pytest.raises(errors.NotFound, match="has another ledger"):
        sent(client)
    assert "UploadDataset" not in server.calls


@pytest.mark.filterwarnings("ignore:the ledger of the server at:UserWarning")
def test_where_it_may_have_arrived_it_is_not_said_to_have_failed(server: FakeServer, switch: Switch, client: TorchClient) -> None:
    def start_anew(_: grpc.ServicerContext) -> None:
        server.ledger = FakeLedger()
        switch.cut()

    server.before["committed"] = once(start_anew)
    with pytest.raises(errors.ServerUnavailable, match="may have got all"):
        sent(client)
    assert server.calls.count("UploadDataset") == 1


def test_a_server_that_tells_of_others_gets_all_under_a_new_name(
    server: FakeServer, switch: Switch, client: TorchClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lying(*_: Any) -> dataset_pb2.UploadStanding:
        return dataset_pb2.UploadStanding(batches=2, records=PER_BATCH * 2 + 1)

    monkeypatch.setattr("fake_datasets.Datasets.GetUpload", lying)
    server.restart()
    switch.target = server.port
    server.before["batch"] = after(4, switch.cut)
    sent(client)
    assert_whole(server)
    assert len(server.uploads) == 2


def test_an_answer_that_was_lost_makes_no_second_dataset(server: FakeServer, switch: Switch, client: TorchClient) -> None:
    server.before["committed"] = once(lambda _: switch.cut())
    made, _ = sent(client)
    assert_whole(server)
    assert made.identifier in server.datasets
    assert server.calls.count("UploadDataset") == 2


def test_what_the_server_refuses_is_not_tried_again(server: FakeServer, client: TorchClient) -> None:
    server.before["batch"] = refuse(Kind.KIND_INVALID_ARGUMENT, "too large")
    with pytest.raises(errors.InvalidArgument, match="too large"):
        sent(client)
    server.before["batch"] = refuse(Kind.KIND_UNAVAILABLE, "the server stops", "come back later")
    with pytest.raises(errors.ServerUnavailable, match="the server stops"):
        sent(client)
    assert server.calls.count("UploadDataset") == 2
    assert "GetUpload" not in server.calls


def test_a_server_that_stays_away(server: FakeServer, switch: Switch, client: TorchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_going_on, "PATIENCE_SECONDS", 0.2)

    def vanish() -> None:
        switch.target = 1
        switch.cut()

    server.before["batch"] = after(4, vanish)
    with pytest.raises(errors.ServerUnavailable, match="the upload of 'digits' was cut, and could not go on") as refused:
        sent(client)
    assert "of its 100 records" in refused.value.what
    assert refused.value.charged == "nothing"
    assert server.datasets == {}


def test_a_way_that_breaks_each_time_without_progress(server: FakeServer, switch: Switch, client: TorchClient) -> None:
    def lose(context: grpc.ServicerContext) -> None:
        switch.cut()
        while context.is_active():
            time.sleep(0.001)
        context.abort(grpc.StatusCode.CANCELLED, "the client has gone")  # else a batch that had come already would be kept

    server.before["UploadDataset"] = lose
    with pytest.raises(errors.ServerUnavailable, match="it was cut 5 times in a row; the server has kept 0 of its 100 records"):
        sent(client)


def test_a_server_that_is_not_there_at_the_beginning_is_said_at_once(
    server: FakeServer, switch: Switch, client: TorchClient
) -> None:
    switch.target = 1
    switch.cut()
    client._session._last.link._tunnel._thread.join(5)  # type: ignore[union-attr]
    with pytest.raises(errors.ServerUnavailable) as refused:
        sent(client)
    assert "could not go on" not in refused.value.what


def test_a_server_that_does_not_pass_gets_nothing_of_the_rest(server: FakeServer, switch: Switch, client: TorchClient) -> None:
    with Middleman(server.port) as middleman:

        def swap() -> None:
            switch.target = middleman.port
            switch.cut()

        server.before["batch"] = after(4, swap)
        with pytest.raises(errors.AttestationError) as refused:
            sent(client)
    assert refused.value.check == "binding"
    assert b"GetUpload" not in middleman.heard
    assert b"UploadDataset" not in middleman.heard


def test_a_model_that_was_cut_is_sent_again(server: FakeServer, switch: Switch, client: TorchClient) -> None:
    sent(client)
    server.before["UploadModel"] = once(lambda _: switch.cut())
    learner = client.RemoteLearner(torch.nn.Linear(8, 2), client.list_remote_datasets()[0], "cross_entropy", 4, progress=False)
    assert learner.check().model in server.archives
    assert server.calls.count("UploadModel") == 2
