"""A server whose ledger is not the one of before is noticed, and not asked anything about those accounts."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from conftest import rows
from fake_refusals import Kind, once, refuse
from fake_server import FakeServer
from receipt_vectors import KEY, receipt
from receipt_writer import public_hex
from torch import nn

from bastionlab import Connection, Identity, Receipt, errors, verify_receipt
from bastionlab import _ledger_memory as memory_module
from bastionlab._receipt_book import ReceiptBook, book_directory, pinned, pins_path
from bastionlab.torch import RemoteDataset, RemoteLearner, TorchClient
from bastionlab.v1 import dataset_pb2, error_pb2, ledger_pb2, training_pb2

FORGOT = "no longer holds receipt"


@pytest.fixture
def learner(client: TorchClient, dataset: RemoteDataset) -> RemoteLearner:
    return client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False)


def of_privacy(told: Any) -> list[Any]:
    return [each for each in told if issubclass(each.category, errors.PrivacyWarning)]


def fit(client: TorchClient, dataset: RemoteDataset, eps: float = 1.0) -> Any:
    return client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False).fit(1, eps)


@pytest.fixture
def again(server: FakeServer) -> Iterator[Callable[[], TorchClient]]:
    """Connects anew, as the same user."""
    opened: list[Connection] = []

    def connect() -> TorchClient:
        opened.append(Connection("localhost", server.port))
        return opened[-1].client.torch

    yield connect
    for connection in opened:
        connection.close()


def calls_on(client: TorchClient, dataset: RemoteDataset) -> dict[str, Callable[[], Any]]:
    learner = client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False)
    return {
        "budget": dataset.budget,
        "lower_limit": lambda: dataset.lower_limit(1.0),
        "receipts": dataset.receipts,
        "plan": lambda: learner.plan(1, 1.0),
        "fit": lambda: learner.fit(1, 1.0),
        "test": lambda: learner.test(dataset, eps=0.5),
        "delete": dataset.delete,
    }


def test_what_the_server_holds_is_known_again(server: FakeServer, client: TorchClient, dataset: RemoteDataset, again: Any) -> None:
    fit(client, dataset)
    assert again().runs() != []
    ((shown,),) = server.ledger.presented
    assert shown == server.ledger.books[dataset.identifier][-1]


def test_nothing_is_presented_where_there_is_nothing(server: FakeServer, client: TorchClient) -> None:
    assert client.runs() == []
    assert server.ledger.presented == []


def test_a_server_that_forgot(server: FakeServer, client: TorchClient, dataset: RemoteDataset, again: Any) -> None:
    fit(client, dataset)
    other = client.RemoteDataset(rows(), privacy_limit=2.0, name="other", progress=False)
    server.ledger.forget(dataset.identifier, 2)
    with pytest.warns(errors.PrivacyWarning, match=FORGOT) as told:
        later = again()
    (privacy,) = of_privacy(told)
    assert dataset.identifier in str(privacy.message)
    assert privacy.filename == __file__, "it points at the caller's line"
    found = {each.identifier: each for each in later.list_remote_datasets()}
    for name, call in calls_on(later, found[dataset.identifier]).items():
        before = list(server.calls)
        with pytest.raises(errors.AttestationError) as refused:
            call()
        error = refused.value
        assert (error.check, error.expected) == ("ledger", f"receipt 4 of account {dataset.identifier}"), name
        assert error.seen == "a ledger that holds 2"
        assert "newest copy" in error.next
        assert error.charged == "nothing"
        assert set(server.calls[len(before) :]) <= {"UploadModel"}, "nothing but the check has gone out"
    assert later.RemoteLearner(nn.Linear(8, 2), found[dataset.identifier], "cross_entropy", 4, progress=False).check().model
    assert found[other.identifier].budget().limit == 2.0, "other accounts are not concerned"
    assert [body["type"] for body in server.ledger.bodies(dataset.identifier)] == ["open", "reserve", "freeze"]


def test_runs_of_a_server_that_forgot(server: FakeServer, client: TorchClient, dataset: RemoteDataset, again: Any) -> None:
    done = fit(client, dataset)
    server.interrupt_runs = 2
    server.before["WatchRun"] = lambda context: context.abort(grpc.StatusCode.INTERNAL, "gone")
    for _ in range(2):
        with pytest.raises(errors.BastionLabError):
            fit(client, dataset)
    for each in server.runs.values():
        if each.id != done.id:
            each.status = training_pb2.RUN_STATUS_WAITING
    server.ledger.forget(dataset.identifier)
    with pytest.warns(errors.PrivacyWarning, match=FORGOT):
        later = again()
    waiting, second = [each for each in later.runs() if each.id != done.id]
    for act in (waiting.approve, lambda: waiting.receipts):
        with pytest.raises(errors.AttestationError) as refused:
            act()
        assert refused.value.check == "ledger"
    assert "ApproveRun" not in server.calls
    assert sorted(later.run(done.id).get_model(progress=False)) == ["bias", "weight"]
    waiting.deny("it was put back")
    second.cancel()
    assert {waiting.status, second.status} == {"failed", "cancelled"}


def test_it_is_noticed_when_the_token_has_to_be_got_anew(
    server: FakeServer, client: TorchClient, dataset: RemoteDataset, learner: RemoteLearner
) -> None:
    learner.fit(1, 1.0)
    server.ledger.forget(dataset.identifier, 3)
    server.restart()
    with pytest.warns(errors.PrivacyWarning, match=FORGOT), pytest.raises(errors.AttestationError) as refused:
        learner.fit(1, 1.0)
    assert refused.value.check == "ledger"
    assert server.calls.count("StartTraining") == 1


def test_once_the_newest_copy_is_back_all_is_well(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    fit(client, dataset)
    newest = list(server.ledger.books[dataset.identifier])
    server.ledger.forget(dataset.identifier)
    server.restart()
    with pytest.warns(errors.PrivacyWarning, match=FORGOT), pytest.raises(errors.AttestationError):
        dataset.budget()
    server.ledger.books[dataset.identifier] = newest
    server.restart()
    assert client.runs() != []
    assert dataset.budget().spent == 1.0
    assert len(dataset.receipts()) == 4


def test_it_is_said_once_for_as_long_as_it_lasts(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    fit(client, dataset)
    server.ledger.forget(dataset.identifier)
    server.restart()
    with pytest.warns(errors.PrivacyWarning, match=FORGOT):
        client.runs()
    server.restart()
    client.runs()
    with pytest.raises(errors.AttestationError):
        dataset.budget()


def test_a_scientist_notices_too(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    scientist = Identity.create("scientist")
    with Connection("localhost", server.port, identity=scientist) as connection:
        (found,) = connection.client.torch.list_remote_datasets()
        fit(connection.client.torch, found)
        found.budget()
    assert [body["seq"] for body in server.ledger.bodies(dataset.identifier)] == [1, 2, 3, 4]
    server.ledger.forget(dataset.identifier)
    with (
        pytest.warns(errors.PrivacyWarning, match=FORGOT),
        Connection("localhost", server.port, identity=scientist) as connection,
        pytest.raises(errors.AttestationError),
    ):
        fit(connection.client.torch, connection.client.torch.list_remote_datasets()[0])


def test_all_datasets_of_the_account_are_concerned(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    second = client.RemoteDataset(rows(50), privacy_limit=6.0, name="second", progress=False)
    server.lineages.append(dataset_pb2.Lineage(joined=[dataset.identifier, second.identifier]))
    with pytest.warns(errors.PrivacyWarning, match="uploaded before"):
        third = client.RemoteDataset(rows(), privacy_limit=6.0, name="third", progress=False)
    server.ledger.forget(dataset.identifier)
    server.restart()
    with pytest.warns(errors.PrivacyWarning, match=FORGOT):
        client.runs()
    for each in (dataset, second, third):
        with pytest.raises(errors.AttestationError):
            each.budget()


def answer_with(state: Any, newest: int = 99) -> Callable[[list[Any]], list[Any]]:
    return lambda honest: [ledger_pb2.Standing(state=state, newest_seq=newest) for _ in honest]


STANDINGS: dict[str, tuple[Callable[[list[Any]], list[Any]], str]] = {
    "forgotten": (answer_with(ledger_pb2.Standing.STATE_FORGOTTEN, 3), "a ledger that holds 3"),
    "another of that number": (
        answer_with(ledger_pb2.Standing.STATE_FORGOTTEN, 4),
        "a ledger that holds 4, and another one under that number",
    ),
    "said to be foreign": (answer_with(ledger_pb2.Standing.STATE_FOREIGN, 0), "a ledger that holds 0"),
    "said nothing": (answer_with(ledger_pb2.Standing.STATE_UNSPECIFIED, 0), "a ledger that holds 0"),
    "known, and yet fewer": (answer_with(ledger_pb2.Standing.STATE_KNOWN, 3), "a ledger that holds 3"),
}


@pytest.mark.parametrize("case", STANDINGS)
def test_only_one_answer_is_good(
    case: str, server: FakeServer, client: TorchClient, dataset: RemoteDataset, again: Callable[[], TorchClient]
) -> None:
    fit(client, dataset)
    server.ledger.standings, seen = STANDINGS[case]
    with pytest.warns(errors.PrivacyWarning, match=FORGOT):
        later = again()
    with pytest.raises(errors.AttestationError) as refused:
        later.list_remote_datasets()[0].budget()
    assert refused.value.seen == seen


def test_an_answer_that_leaves_some_out(server: FakeServer, client: TorchClient, dataset: RemoteDataset, again: Any) -> None:
    server.ledger.standings = lambda honest: []
    with pytest.raises(errors.AttestationError, match="a word on each"):
        again()


def test_a_server_that_signs_and_does_not_know_the_call(server: FakeServer, dataset: RemoteDataset, again: Any) -> None:
    def hook(context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method")

    server.before["PresentReceipts"] = hook
    for _ in range(2):
        with pytest.warns(errors.PrivacyWarning, match="does not say whether it holds receipt 1") as told:
            later = again()
        assert dataset.identifier in str(of_privacy(told)[0].message)
        for call in calls_on(later, later.list_remote_datasets()[0]).values():
            with pytest.raises(errors.AttestationError) as refused:
                call()
            assert (refused.value.check, refused.value.seen) == ("ledger", "a server that does not say what its ledger holds")
    del server.before["PresentReceipts"]
    assert again().list_remote_datasets()[0].budget().spent == 0


def test_a_server_that_will_not_say_is_not_spoken_to(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    server.before["PresentReceipts"] = once(refuse(Kind.KIND_INTERNAL, "the ledger is being read"))
    server.restart()
    with pytest.raises(errors.BastionLabError, match="the ledger is being read"):
        client.runs()
    assert server.calls[-1] == "PresentReceipts"
    assert client.runs() == [], "and the next call tries again"


def test_receipts_are_presented_in_parts(server: FakeServer, monkeypatch: pytest.MonkeyPatch, again: Any) -> None:
    server.ledger.key = KEY
    ReceiptBook(public_hex(KEY)).add(
        [each for n in range(25) if isinstance(each := verify_receipt(receipt("data", account=f"a{n}", dataset=f"d{n}")), Receipt)]
    )
    monkeypatch.setattr(memory_module, "PRESENTED_AT_ONCE", 10)
    with pytest.warns(errors.PrivacyWarning) as told:
        again()
    assert len(of_privacy(told)) == 25
    assert [len(each) for each in server.ledger.presented] == [10, 10, 5]
    monkeypatch.setattr(memory_module, "_PRESENTED_BYTES", 1500)
    with pytest.warns(errors.PrivacyWarning):
        again()
    assert {len(each) for each in server.ledger.presented[3:]} <= {1, 2}
    assert sum(len(each) for each in server.ledger.presented[3:]) == 25


def test_another_ledger_at_the_same_address(server: FakeServer, client: TorchClient, dataset: RemoteDataset, again: Any) -> None:
    fit(client, dataset)
    before = server.ledger.public.hex()
    assert pinned(f"localhost:{server.port}") == before
    server.ledger.key = KEY
    with pytest.warns(errors.PrivacyWarning, match="another one than before") as told:
        later = again()
    text = str(of_privacy(told)[0].message)
    address = f"localhost:{server.port}"
    assert f"4 receipts of that one are kept in {book_directory() / before}.jsonl" in text
    assert f'remove the line "{address}" from {pins_path()}' in text
    server.restart()
    assert later.runs() != []  # one connection says it once
    with pytest.warns(errors.PrivacyWarning, match="another one than before"):
        again()
    assert pinned(address) == before
    lines = pins_path().read_text().splitlines(keepends=True)
    pins_path().write_text("".join(line for line in lines if f'"{address}"' not in line))
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error", errors.PrivacyWarning)
            again()
    assert pinned(address) == public_hex(KEY)
    assert server.ledger.presented == [], "what another key signed is not shown"


def test_another_ledger_where_the_one_before_had_nothing(server: FakeServer, client: TorchClient, again: Any) -> None:
    server.ledger.key = KEY
    with pytest.warns(errors.PrivacyWarning, match="0 receipts of that one"):
        again()
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.PrivacyWarning)
        again()


def test_a_server_that_no_longer_signs(server: FakeServer, client: TorchClient, dataset: RemoteDataset, again: Any) -> None:
    fit(client, dataset)
    server.ledger.signs = False
    for _ in range(2):
        with pytest.warns(errors.PrivacyWarning, match="it signs no receipts"):
            later = again()
        for name, call in calls_on(later, later.list_remote_datasets()[0]).items():
            with pytest.raises(errors.AttestationError) as refused:
                call()
            assert refused.value.seen == "a server that signs no receipts any more", name
    server.ledger.signs = True
    assert again().list_remote_datasets()[0].budget().spent == 1.0


def test_a_server_without_receipts(server: FakeServer, client: TorchClient, again: Any) -> None:
    server.ledger.signs = False
    with pytest.warns(errors.PrivacyWarning, match="it signs no receipts"):
        later = again()
    data = later.RemoteDataset(rows(), privacy_limit=6.0, progress=False)
    run = fit(later, data)
    assert data.budget().spent == 1.0
    for ask in (data.receipts, lambda: run.receipt, lambda: run.receipts):
        with pytest.raises(errors.NotFound, match="signs no receipts"):
            ask()
    assert "ListReceipts" not in server.calls


def test_an_older_server_leaves_no_trace() -> None:
    with FakeServer(development=False) as server:
        server.ledger.signs = False
        server.restart()
        with Connection("localhost", server.port) as connection:
            fit(connection.client.torch, connection.client.torch.RemoteDataset(rows(), privacy_limit=6.0, progress=False))
    assert not book_directory().exists()


def test_a_key_that_is_none(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(server.ledger), "public", property(lambda _: b"short"))
    with pytest.raises(errors.AttestationError) as refused:
        _ = Connection("localhost", server.port).client
    assert refused.value.check == "key"


def test_a_home_that_takes_nothing_fails_nothing(server: FakeServer) -> None:
    identity = Identity.create("me")
    book_directory().write_text("in the way")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with Connection("localhost", server.port, identity=identity) as connection:
            data = connection.client.torch.RemoteDataset(rows(), privacy_limit=6.0, progress=False)
            run = fit(connection.client.torch, data)
            assert run.receipt.outcome == "completed"
            assert len(data.receipts()) == 4
    texts = [str(each.message) for each in of_privacy(told)]
    assert sum("cannot be remembered" in text for text in texts) == 1
    assert sum("receipts cannot be kept" in text for text in texts) == 1


def test_a_warning_that_is_an_error_leaves_no_half_signed_in_session(
    server: FakeServer, client: TorchClient, dataset: RemoteDataset
) -> None:
    fit(client, dataset)
    server.ledger.forget(dataset.identifier)
    server.restart()
    with pytest.raises(errors.PrivacyWarning):
        client.runs()
    assert client.runs() != []
    with pytest.raises(errors.AttestationError):
        dataset.budget()


def test_whoever_hears_a_warning_may_make_a_call(
    server: FakeServer, client: TorchClient, dataset: RemoteDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(client, dataset)
    server.ledger.forget(dataset.identifier)
    server.restart()
    heard: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda *_, **__: heard.append(len(client.runs())))
        threads = [threading.Thread(target=client.runs) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert heard == [1]


def test_what_the_server_could_not_prove_is_named(server: FakeServer, client: TorchClient) -> None:
    failed = error_pb2.FailedCheck(check="ledger", expected="the newest copy", seen="an older one")
    server.before["ListRuns"] = refuse(Kind.KIND_ATTESTATION, "the account is frozen", "ask the operator", check=failed)
    with pytest.raises(errors.AttestationError) as refused:
        client.runs()
    error = refused.value
    assert (error.check, error.expected, error.seen) == ("ledger", "the newest copy", "an older one")
    assert (error.what, error.charged, error.next) == ("the account is frozen", "nothing", "ask the operator")


def test_the_book_is_where_identities_are(dataset: RemoteDataset) -> None:
    assert book_directory().parent == (book_directory() / ".." / "identities").resolve().parent
    assert os.listdir(book_directory())
