"""What owners and scientists get to know of accounts: receipts, joined uploads, limits of single scientists."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import fake_datasets
import grpc
import pytest
from conftest import rows
from fake_ledger import FakeLedger, LedgerService
from fake_refusals import Kind, once, refuse
from fake_server import FakeServer
from fake_service import NANO
from receipt_writer import charge_of
from torch import nn

from bastionlab import Connection, Identity, errors, verify_receipt
from bastionlab._receipt_book import ReceiptBook
from bastionlab.torch import Budget, RemoteDataset, RemoteLearner, ScientistLimit, TorchClient
from bastionlab.v1 import dataset_pb2, ledger_pb2, training_pb2


@pytest.fixture
def learner(client: TorchClient, dataset: RemoteDataset) -> RemoteLearner:
    return client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False)


def book_of(server: FakeServer) -> list[str]:
    return [f"{each.account[:4]} {each.seq} {each.type}" for each in ReceiptBook(server.ledger.public.hex()).all()]


def kinds(receipts: Any) -> list[str]:
    return [each.type for each in receipts]


def test_an_upload_brings_its_first_receipt(server: FakeServer, dataset: RemoteDataset) -> None:
    assert book_of(server) == [f"{dataset.identifier[:4]} 1 open"]
    (opened,) = dataset.receipts()
    assert (opened.type, opened.limit, opened.owner) == ("open", 6.0, dataset._session.user)


def test_a_run_brings_its_receipts(server: FakeServer, dataset: RemoteDataset, learner: RemoteLearner) -> None:
    run = learner.fit(1, 2.0)
    calls = list(server.calls)
    assert run.receipt.outcome == "completed"
    assert server.calls == calls, "what is in the book is not asked for"
    assert kinds(run.receipts) == ["reserve", "data", "settle"]
    priced = run.receipts[0]
    assert (priced.epsilon, priced.charge, priced.run) == (2.0, run.plan.charge, run.id)
    assert len(book_of(server)) == 4
    tested = learner.test(dataset, eps=0.5)
    assert [each.run for each in ReceiptBook(server.ledger.public.hex()).all()[4:]] == [tested.run] * 3
    assert verify_receipt(ReceiptBook(server.ledger.public.hex()).path) == dataset.receipts()


def test_the_price_is_in_the_book_before_the_run_has_ended(server: FakeServer, learner: RemoteLearner) -> None:
    seen: list[list[str]] = []
    server.before["WatchRun"] = lambda context: seen.append(book_of(server))
    learner.fit(1, 2.0)
    assert [each.split()[2] for each in seen[0]] == ["open", "reserve"]


def test_a_run_found_again_has_its_receipts(server: FakeServer, client: TorchClient, learner: RemoteLearner) -> None:
    run = learner.fit(1, 2.0)
    with Connection("localhost", server.port, identity=Identity.create("other")) as connection:
        ReceiptBook(server.ledger.public.hex()).path.unlink()
        assert connection.client.torch.run(run.id).receipt == run.receipt


def test_what_the_book_lost_of_a_run_comes_back(server: FakeServer, learner: RemoteLearner) -> None:
    run = learner.fit(1, 2.0)
    path = ReceiptBook(server.ledger.public.hex()).path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[3:]))
    with Connection("localhost", server.port) as connection:
        found = connection.client.torch.run(run.id)
        assert kinds(found.receipts) == ["reserve", "data", "settle"]


def test_a_run_that_goes_on_has_the_newest_there_is(server: FakeServer, client: TorchClient, learner: RemoteLearner) -> None:
    server.interrupt_runs = 1
    server.before["WatchRun"] = once(lambda context: context.abort(grpc.StatusCode.INTERNAL, "gone"))
    with pytest.raises(errors.BastionLabError):
        learner.fit(1, 1.0)
    (run,) = client.runs()
    assert run.receipt.type == "reserve"
    run.cancel()
    assert (run.receipt.type, run.receipt.outcome) == ("settle", "cancelled")


def test_receipts_that_cannot_be_had_fail_no_training(server: FakeServer, learner: RemoteLearner) -> None:
    server.before["ListReceipts"] = refuse(Kind.KIND_INTERNAL, "the ledger is busy")
    with pytest.warns(errors.PrivacyWarning, match="could not be fetched") as told:
        run = learner.fit(1, 1.0)
    assert len([each for each in told if each.category is errors.PrivacyWarning]) == 2
    assert run.status == "completed"
    del server.before["ListReceipts"]
    assert len(run.receipts) == 3


def test_a_run_without_receipts_is_told(server: FakeServer, learner: RemoteLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeLedger, "reserve", lambda *_: None)
    monkeypatch.setattr(FakeLedger, "of_run", lambda *_, **__: None)
    with pytest.warns(errors.PrivacyWarning, match="nothing proves what it was charged"):
        run = learner.fit(1, 1.0)
    with pytest.raises(errors.NotFound, match="no receipt of the run"):
        _ = run.receipt
    assert run.receipts == []


def test_another_price_than_the_one_shown(server: FakeServer, client: TorchClient, learner: RemoteLearner) -> None:
    def dearer(members: dict[str, Any]) -> dict[str, Any]:
        if members["type"] == "reserve":
            members["epsilon"] += 1
            members["after"]["spent"] += 1
            members["charge"] = charge_of(members)
        return members

    server.ledger.bend = dearer
    with pytest.raises(errors.AttestationError) as refused:
        learner.fit(1, 1.0)
    error = refused.value
    assert error.check == "charge"
    assert "perhaps the price" in error.charged
    assert learner._started is not None, "the run is known all the same"
    assert client.runs()[0].id in error.expected


BENT: dict[str, tuple[Callable[[ledger_pb2.Receipt], ledger_pb2.Receipt], str]] = {
    "body": (lambda r: ledger_pb2.Receipt(body=r.body.replace(b'"seq":1', b'"seq":2'), signature=r.signature, key=r.key), "form"),
    "signature": (lambda r: ledger_pb2.Receipt(body=r.body, signature=bytes(64), key=r.key), "signature"),
    "key": (lambda r: ledger_pb2.Receipt(body=r.body, signature=r.signature, key=bytes(32)), "signature"),
}


@pytest.mark.parametrize("case", BENT)
def test_what_does_not_verify_is_an_error_at_once(case: str, server: FakeServer, dataset: RemoteDataset) -> None:
    server.ledger.resign, check = BENT[case]
    for ask in (dataset.receipts, dataset.budget):
        with pytest.raises(errors.AttestationError) as refused:
            ask()
        assert refused.value.check == check


def test_a_receipt_by_another_key_than_the_servers(server: FakeServer, dataset: RemoteDataset, client: TorchClient) -> None:
    another = FakeLedger(account_of=dict(server.ledger.account_of))
    another.open(server.datasets[dataset.identifier].message)
    server.ledger.resign = lambda receipt: another.books[dataset.identifier][0]
    with pytest.raises(errors.AttestationError) as refused:
        dataset.budget()
    assert refused.value.check == "key"


def test_two_stories_are_kept_and_believed_no_more(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    learner = client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False)
    learner.fit(1, 1.0)
    # Put back to before the run, without a new sign-in, and gone on from there.
    server.ledger.forget(dataset.identifier, 3)
    message = server.datasets[dataset.identifier].message
    for limit in (5, 4, 3):
        server.ledger.write("limit", message, limit=limit * NANO)
    with pytest.raises(errors.AttestationError) as refused:
        dataset.budget()
    assert refused.value.check == "fork"
    assert "two stories" in refused.value.next
    assert len(book_of(server)) > 4, "both are kept"
    for ask in (dataset.budget, dataset.receipts, lambda: learner.plan(1, 1.0)):
        with pytest.raises(errors.AttestationError):
            ask()
    with pytest.raises(errors.AttestationError) as refused:
        verify_receipt(ReceiptBook(server.ledger.public.hex()).path)
    assert refused.value.check == "fork"
    server.restart()
    assert client.runs() != []
    with pytest.raises(errors.AttestationError) as refused:
        dataset.budget()
    assert refused.value.check == "ledger", "the server holds one of the two only"
    server.ledger.standings = lambda honest: (
        [ledger_pb2.Standing(state=ledger_pb2.Standing.STATE_KNOWN, newest_seq=99)] * len(honest)
    )
    server.restart()
    assert client.runs() != []
    with pytest.raises(errors.AttestationError) as refused:
        dataset.budget()
    assert refused.value.check == "fork", "whatever the server says"
    with (
        pytest.warns(errors.PrivacyWarning, match="has told two stories"),
        Connection("localhost", server.port) as connection,
        pytest.raises(errors.AttestationError),
    ):
        connection.client.torch.list_remote_datasets()[0].budget()


def test_sums_that_do_not_follow_are_believed_no_more(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    def forgetful(members: dict[str, Any]) -> dict[str, Any]:
        return members | ({"after": members["after"] | {"spent": 0}} if members["type"] == "settle" else {})

    server.ledger.bend = forgetful
    learner = client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False)
    with pytest.raises(errors.AttestationError) as refused:
        learner.fit(1, 1.0)
    assert refused.value.check == "sums"
    assert "sums are wrong" in refused.value.next
    with pytest.raises(errors.AttestationError, match="sums"):
        dataset.budget()
    with (
        pytest.warns(errors.PrivacyWarning, match="cannot both be of one ledger"),
        Connection("localhost", server.port) as connection,
        pytest.raises(errors.AttestationError),
    ):
        connection.client.torch.list_remote_datasets()[0].budget()


def test_a_ledger_that_became_shorter_is_noticed_by_its_owner(
    server: FakeServer, client: TorchClient, dataset: RemoteDataset
) -> None:
    dataset.lower_limit(5.0)
    dataset.lower_limit(4.0)
    server.ledger.forget(dataset.identifier)
    for _ in range(2):
        with pytest.raises(errors.AttestationError) as refused:
            dataset.budget()
        assert (refused.value.check, refused.value.seen) == ("ledger", "a ledger that holds 2")


def test_a_ledger_that_forgot_the_account(server: FakeServer, dataset: RemoteDataset) -> None:
    dataset.lower_limit(5.0)
    server.ledger.forget(dataset.identifier, 2)
    with pytest.raises(errors.AttestationError) as refused:
        dataset.budget()
    assert refused.value.seen == "a ledger that holds 0"


def test_budget_and_lower_limit_bring_what_others_did(server: FakeServer, dataset: RemoteDataset) -> None:
    message = server.datasets[dataset.identifier].message
    for limit in (5, 4):
        server.ledger.write("limit", message, limit=limit * NANO)
    dataset.budget()
    assert len(book_of(server)) == 3
    dataset.lower_limit(3.0)
    assert len(book_of(server)) == 4


def test_many_receipts_come_page_by_page(server: FakeServer, dataset: RemoteDataset) -> None:
    server.ledger.page = 3
    message = server.datasets[dataset.identifier].message
    for limit in range(20, 10, -1):
        server.ledger.write("limit", message, limit=limit)
    assert [each.seq for each in dataset.receipts()] == list(range(1, 12))
    before = len(server.calls)
    assert len(dataset.receipts()) == 11
    assert server.calls[before:] == ["ListReceipts"], "only what is new is asked for"


def test_a_server_that_goes_round_in_circles(server: FakeServer, dataset: RemoteDataset) -> None:
    message = server.datasets[dataset.identifier].message
    for limit in range(20, 10, -1):
        server.ledger.write("limit", message, limit=limit)
    server.ledger.page = 2
    server.ledger.resign = lambda receipt: server.ledger.books[dataset.identifier][1]
    with pytest.raises(errors.AttestationError, match="receipts in order"):
        dataset.receipts()


def test_what_is_missing_in_the_book_is_fetched_again(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    for limit in (5.0, 4.0, 3.0):
        dataset.lower_limit(limit)
    path = ReceiptBook(server.ledger.public.hex()).path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[3]]))
    with Connection("localhost", server.port) as connection:
        (found,) = connection.client.torch.list_remote_datasets()
        found.budget()
    assert sorted(each.split()[1] for each in book_of(server)) == ["1", "2", "3", "4"]


def hide(monkeypatch: pytest.MonkeyPatch, *hidden: int) -> None:
    """The server lists all receipts but those of these numbers."""
    honest = LedgerService.ListReceipts

    def some(self: LedgerService, request: Any, context: Any) -> ledger_pb2.ListReceiptsResponse:
        answer = honest(self, request, context)
        kept = [each for each in answer.receipts if json.loads(each.body)["seq"] not in hidden]
        return ledger_pb2.ListReceiptsResponse(receipts=kept, more=answer.more)

    monkeypatch.setattr(LedgerService, "ListReceipts", some)


@pytest.mark.parametrize(("hidden", "missing"), [((2, 3, 4), 4), ((3,), 3), ((1,), 1), ((1, 2, 3, 4, 5), 1)])
def test_an_owner_is_told_of_a_hole_in_the_account(
    hidden: tuple[int, ...], missing: int, server: FakeServer, dataset: RemoteDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Connection("localhost", server.port, identity=Identity.create("scientist")) as connection:
        (found,) = connection.client.torch.list_remote_datasets()
        connection.client.torch.RemoteLearner(nn.Linear(8, 2), found, "cross_entropy", 4, progress=False).fit(1, 1.0)
    server.ledger.write("limit", server.datasets[dataset.identifier].message, limit=5 * NANO)
    ReceiptBook(server.ledger.public.hex()).path.unlink()
    with monkeypatch.context() as patch:
        hide(patch, *hidden)
        server.restart()
        for ask in (dataset.receipts, dataset.budget):
            dataset._session.memory.book = ReceiptBook(server.ledger.public.hex())
            with pytest.raises(errors.AttestationError) as refused:
                ask()
            assert (refused.value.check, refused.value.seen) == ("chain", f"none of number {missing}")
    server.restart()
    assert kinds(dataset.receipts()) == ["open", "reserve", "data", "settle", "limit"]
    assert dataset.budget().limit == 5.0


def lies(server: FakeServer, monkeypatch: pytest.MonkeyPatch, lie: Callable[[dataset_pb2.Budget], None], times: int = 99) -> None:
    honest = fake_datasets.budget_of

    def told(*given: Any) -> dataset_pb2.Budget:
        nonlocal times
        budget, times = honest(*given), times - 1
        if times >= 0:
            lie(budget)
        return budget

    monkeypatch.setattr(fake_datasets, "budget_of", told)


LIES: dict[str, tuple[Callable[[dataset_pb2.Budget], None], str]] = {
    "a higher limit": (lambda budget: setattr(budget, "limit_nano", 7 * NANO), "7 in the budget"),
    "no limit": (lambda budget: budget.ClearField("limit_nano"), "none in the budget"),
    "frozen": (lambda budget: setattr(budget, "frozen", "why"), "a frozen account in the budget"),
    "no runs": (lambda budget: budget.ClearField("runs"), "no such run in the budget"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_budget_that_says_otherwise_than_the_receipts(
    lie: str, server: FakeServer, dataset: RemoteDataset, learner: RemoteLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner.fit(1, 1.0)
    bend, seen = LIES[lie]
    with monkeypatch.context() as patch:
        lies(server, patch, bend)
        with pytest.raises(errors.AttestationError) as refused:
            dataset.budget()
    assert (refused.value.check, refused.value.seen) == ("sums", seen)
    assert dataset.budget().spent == 1.0, "and what is right again is believed again"
    with monkeypatch.context() as patch:
        lies(server, patch, bend, times=1)
        assert dataset.budget().limit == 6.0, "an account that moved between the two answers is looked at again"


def test_a_run_that_was_given_back_need_not_be_in_the_budget(server: FakeServer, dataset: RemoteDataset) -> None:
    stored = server.datasets[dataset.identifier]
    charge = training_pb2.Charge(
        dataset_id=dataset.identifier, private=True, epsilon_nano=NANO, delta_atto=1,
        steps=[training_pb2.ChargedSteps(sample_rate=0.1, noise_multiplier=1.5, count=10)],
    )  # fmt: skip
    plan = training_pb2.Plan(charge=charge.SerializeToString(deterministic=True))
    run = training_pb2.Run(id="r1", scientist="5c" * 32, plan=plan)
    server.ledger.reserve(stored.message, run)
    with pytest.raises(errors.AttestationError, match="the run r1, charged in receipt 2"):
        dataset.budget()
    server.ledger.of_run("release", stored.message, run)
    assert dataset.budget().spent == 0
    assert kinds(dataset.receipts()) == ["open", "reserve", "release"]


def test_a_scientist_is_given_their_own_runs_only(server: FakeServer, dataset: RemoteDataset) -> None:
    dataset.lower_limit(5.0)
    with Connection("localhost", server.port, identity=Identity.create("scientist")) as connection:
        (found,) = connection.client.torch.list_remote_datasets()
        before = len(server.calls)
        found.budget()
        assert server.calls[before:] == ["GetBudget"]
        with pytest.raises(errors.PermissionDenied):
            found.receipts()


def test_an_owner_is_told_when_receipts_cannot_be_fetched(server: FakeServer, dataset: RemoteDataset) -> None:
    server.before["ListReceipts"] = refuse(Kind.KIND_INTERNAL, "the ledger is busy")
    with pytest.warns(errors.PrivacyWarning, match="could not be fetched"):
        assert dataset.budget().limit == 6.0


def test_records_that_were_uploaded_before(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False).fit(1, 2.0)
    server.lineages.append(dataset_pb2.Lineage(joined=[dataset.identifier, "7e" * 16]))
    with pytest.warns(errors.PrivacyWarning) as told:
        again = client.RemoteDataset(rows(), privacy_limit=6.0, name="again", progress=False)
    (text,) = (str(each.message) for each in told)
    assert "records of 'again' were uploaded before" in text
    assert f"the account of the dataset {dataset.identifier}, together with {'7e' * 16}; " in text
    assert "2 of a limit of 6 is spent already" in text
    assert told[0].filename == __file__
    assert kinds(again.receipts()) == ["open", "reserve", "data", "settle", "join"]
    assert again.receipts()[-1].accounts == ("7e" * 16,)


def test_a_dataset_whose_account_was_joined_to_another(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    second = client.RemoteDataset(rows(), privacy_limit=6.0, name="second", progress=False)
    for limit in (5.0, 4.0, 3.0):
        second.lower_limit(limit)
    server.lineages.append(dataset_pb2.Lineage(joined=[dataset.identifier, second.identifier]))
    with pytest.warns(errors.PrivacyWarning, match="uploaded before"):
        client.RemoteDataset(rows(), privacy_limit=6.0, name="third", progress=False)
    assert {each.account for each in second.receipts()} == {dataset.identifier}
    second.budget()


def test_a_spent_that_cannot_be_told_fails_no_upload(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    server.lineages.append(dataset_pb2.Lineage(joined=[dataset.identifier]))
    server.before["GetBudget"] = refuse(Kind.KIND_INTERNAL, "busy")
    with pytest.warns(errors.PrivacyWarning, match=r"its budget\(\) says what is spent already"):
        client.RemoteDataset(rows(), privacy_limit=6.0, progress=False)


def test_records_of_which_few_were_uploaded_before(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    shared = dataset_pb2.SharedRecords(dataset_id=dataset.identifier, records=9)
    server.lineages.append(dataset_pb2.Lineage(apart=[shared]))
    with pytest.warns(errors.PrivacyWarning) as told:
        client.RemoteDataset(rows(), privacy_limit=6.0, name="again", progress=False)
    (text,) = (str(each.message) for each in told)
    assert f"9 records of 'again' are in the dataset {dataset.identifier} too" in text
    assert "the accounts stay apart" in text


def test_a_limit_for_one_scientist(server: FakeServer, dataset: RemoteDataset) -> None:
    who = Identity.create("scientist").public_key.user
    dataset.lower_limit(2.0, scientist=who)
    assert dataset.privacy_limit == 6.0
    assert json.loads(server.ledger.books[dataset.identifier][-1].body)["scientist"] == who
    assert (dataset.receipts()[-1].type, dataset.receipts()[-1].scientist, dataset.receipts()[-1].limit) == ("limit", who, 6.0)


@pytest.mark.parametrize("scientist", ["", "alice", "AB" * 32, 7])
def test_what_is_no_scientist(scientist: Any, server: FakeServer, dataset: RemoteDataset) -> None:
    with pytest.raises(errors.InvalidArgument, match="scientist is"):
        dataset.lower_limit(2.0, scientist=scientist)
    assert "LowerLimit" not in server.calls


def test_a_budget_prints_what_there_is() -> None:
    message = dataset_pb2.Budget(
        limit_nano=6 * NANO,
        spent_nano=2 * NANO,
        remaining_nano=4 * NANO,
        delta_atto=10**15,
        frozen="a receipt was presented that the ledger does not hold",
        datasets=["aa", "bb"],
        scientists=[dataset_pb2.ScientistLimit(scientist="5c", limit_nano=NANO, spent_nano=NANO // 2)],
    )
    budget = Budget.from_message(message)
    assert budget.frozen.startswith("a receipt was presented")
    assert budget.datasets == ("aa", "bb")
    assert budget.scientists == (ScientistLimit("5c", 1.0, 0.5),)
    assert str(budget).splitlines() == [
        "limit 6   spent 2   remaining 4   delta 0.001",
        "FROZEN: a receipt was presented that the ledger does not hold",
        "drawn on by the datasets aa, bb",
        "scientist  limit  spent",
        "5c         1      0.5",
        "no runs",
    ]


def test_what_a_shape_could_get(client: TorchClient, learner: RemoteLearner) -> None:
    assert learner.plan(1, 2.0).obtainable == 6.5
    assert learner.fit(1, 2.0).plan.obtainable == 6.5
    free = client.RemoteDataset(rows(), privacy_limit=math.inf, progress=False)
    plan = client.RemoteLearner(nn.Linear(8, 2), free, "cross_entropy", 4, progress=False).plan(1, 2.0)
    assert plan.obtainable == math.inf
    assert "obtainable" not in str(plan)


def test_a_run_without_noise_has_an_infinite_price(client: TorchClient) -> None:
    free = client.RemoteDataset(rows(), privacy_limit=math.inf, progress=False)
    run = client.RemoteLearner(nn.Linear(8, 2), free, "cross_entropy", 4, progress=False).fit(1)
    assert (run.receipts[0].epsilon, run.receipt.spent, run.receipt.limit) == (math.inf, math.inf, None)
