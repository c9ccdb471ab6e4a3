"""test() and what it costs; the losses of a run."""

from __future__ import annotations

import math
from typing import Any

import pytest
from conftest import rows
from fake_server import FakeServer
from torch import nn
from torch.utils.data import Subset

from bastionlab import errors
from bastionlab.torch import RemoteDataset, RemoteLearner, TestResult, TorchClient
from bastionlab.torch._measured import with_error


@pytest.fixture
def both(client: TorchClient) -> RemoteDataset:
    """A training set with a test set beside it."""
    return client.RemoteDataset(rows(), Subset(rows(), range(30)), privacy_limit=6.0, name="digits", progress=False)


@pytest.fixture
def learner(client: TorchClient, both: RemoteDataset) -> RemoteLearner:
    return client.RemoteLearner(nn.Linear(8, 2), both, "cross_entropy", 4, progress=False)


def test_the_test_set_is_a_dataset_with_an_account_of_its_own(both: RemoteDataset) -> None:
    test_set = both.test_dataset
    assert test_set is not None
    assert (test_set.name, test_set.nb_samples, test_set.privacy_limit, test_set.delta) == ("digits (test)", 30, 6.0, both.delta)
    assert test_set.test_dataset is None


def test_a_test_is_charged_to_the_test_set(both: RemoteDataset, learner: RemoteLearner, server: FakeServer) -> None:
    result = learner.test(eps=2.0)
    assert (result.metric, result.value, result.standard_error, result.epsilon) == ("accuracy", 0.75, 0.02, 2.0)
    assert float(result) == 0.75
    assert str(result) == "accuracy 0.75 +- 0.02 (eps 2)"
    assert both.budget().spent == 0.0
    test_set = both.test_dataset
    assert test_set is not None
    assert test_set.budget().spent == 2.0
    (request,) = server.tests.values()
    assert (request.dataset_id, request.metric, request.weights_run_id) == (test_set.identifier, "accuracy", "")


def test_what_is_tested_is_the_last_finished_run(learner: RemoteLearner, server: FakeServer, both: RemoteDataset) -> None:
    run = learner.fit(1, 1.0)
    learner.test(eps=1.0)
    learner.get_model()
    result = learner.test(both, "cross_entropy", eps=1.0)
    requests = list(server.tests.values())
    assert [request.weights_run_id for request in requests] == [run.id, run.id]
    assert [request.metric for request in requests] == ["accuracy", "cross_entropy"]
    assert requests[1].dataset_id == both.identifier
    assert learner.fit(1, 1.0).id != result.run, "a test is nothing to go on from"


def test_a_module_that_was_changed_since_is_not_tested_in_another_place(learner: RemoteLearner) -> None:
    learner.fit(1, 1.0)
    nn.init.zeros_(learner.model.weight)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument, match="the model was changed"):
        learner.test(eps=1.0)


def test_what_fits_is_said_where_a_test_does_not(learner: RemoteLearner, both: RemoteDataset) -> None:
    learner.test(eps=5.0)
    with pytest.raises(errors.BudgetExceeded) as refused:
        learner.test(eps=2.0)
    assert (refused.value.limit, refused.value.spent, refused.value.remaining) == (6.0, 5.0, 1.0)


REFUSED: list[tuple[dict[str, Any], type[errors.BastionLabError], str]] = [
    ({}, errors.InvalidArgument, "eps is missing: the tested dataset has a limit of 6"),
    ({"eps": -1.0}, errors.InvalidArgument, "eps is -1"),
    ({"dataset": rows(), "eps": 1.0}, errors.InvalidArgument, "dataset is a TensorDataset"),
]


@pytest.mark.parametrize(("given", "kind", "words"), REFUSED, ids=[row[2] for row in REFUSED])
def test_refused_before_anything_is_sent(
    given: dict[str, Any], kind: type[errors.BastionLabError], words: str, learner: RemoteLearner, server: FakeServer
) -> None:
    with pytest.raises(kind, match=words):
        learner.test(**given)
    assert "PlanTest" not in server.calls
    assert "UploadModel" not in server.calls


def test_without_a_test_set_there_is_nothing_to_test_on(client: TorchClient, dataset: RemoteDataset) -> None:
    learner = client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False)
    with pytest.raises(errors.NotFound, match="no test set was uploaded beside 'digits'") as refused:
        learner.test(eps=1.0)
    assert "test_dataset=" in refused.value.next


@pytest.mark.filterwarnings("ignore::bastionlab.errors.PrivacyWarning")
def test_without_noise_is_said_loudly(client: TorchClient, server: FakeServer) -> None:
    open_set = client.RemoteDataset(rows(), privacy_limit=math.inf, name="open", progress=False)
    learner = client.RemoteLearner(nn.Linear(8, 2), open_set, "cross_entropy", 4, progress=False)
    with pytest.warns(errors.BastionLabWarning, match="testing without noise"):
        result = learner.test(open_set)
    assert str(result) == "accuracy 0.75 +- 0.02 (without noise)"
    assert open_set.budget().spent == math.inf


def test_the_price_is_said_before_it_is_paid(
    client: TorchClient, both: RemoteDataset, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    server.before["StartTest"] = lambda _: said.append(capsys.readouterr().err)
    client.RemoteLearner(nn.Linear(8, 2), both, "cross_entropy", 4, progress=True).test(eps=2.0)
    assert "testing on 'digits (test)' spends eps 2, after it 4 remain" in said[0]
    assert "Test" in capsys.readouterr().err


def test_a_test_is_found_again_as_a_run(learner: RemoteLearner, client: TorchClient) -> None:
    result = learner.test(eps=1.0)
    found = client.run(result.run)
    assert found.result == result
    with pytest.raises(errors.InvalidArgument, match="is no test"):
        _ = learner.fit(1, 1.0).result


def test_a_failed_test_says_so(learner: RemoteLearner, client: TorchClient, server: FakeServer) -> None:
    run = client.run(learner.test(eps=1.0).run)
    server.runs[run.id].status = 5
    server.runs[run.id].spent = "eps 1"
    with pytest.raises(errors.TrainingFailed, match=r"the test .* failed") as refused:
        _ = client.run(run.id).result
    assert (refused.value.charged, refused.value.next) == ("eps 1", "start another with test()")


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (0.4312, 0.049, "0.43 +- 0.05"),
        (0.9134, 0.0041, "0.913 +- 0.004"),
        (0.5, 0.096, "0.5 +- 0.1"),
        (12.3, 4.0, "12 +- 4"),
        (123.0, 40.0, "123 +- 40"),
        (-0.01, 0.3, "-0.0 +- 0.3"),
        (0.123456, 0.0, "0.1235"),
    ],
)
def test_a_value_is_shown_to_the_first_digit_of_its_error(value: float, error: float, shown: str) -> None:
    assert with_error(value, error) == shown


def test_results_are_no_tests_of_pytests() -> None:
    assert TestResult.__test__ is False


def test_losses_are_asked_for_unless_they_are_switched_off(client: TorchClient, both: RemoteDataset, server: FakeServer) -> None:
    for given, asked in (({}, True), ({"metrics": True}, True), ({"metrics": False}, False)):
        learner = client.RemoteLearner(nn.Linear(8, 2), both, "cross_entropy", 4, progress=False, **given)  # type: ignore[arg-type]
        assert learner.plan(1, 1.0).loss_bound == (2.0 if asked else 0.0)
        assert server.requests[learner.fit(1, 1.0).id].metrics is asked


def test_a_runs_history_has_an_entry_for_each_epoch(learner: RemoteLearner, client: TorchClient) -> None:
    run = learner.fit(2, 1.0)
    assert [(each.epoch, each.steps, each.loss, each.standard_error) for each in run.history] == [
        (1, 10, 1.0, 0.05),
        (2, 10, 0.5, 0.05),
    ]
    assert [str(each) for each in run.history] == ["epoch 1: loss 1.00 +- 0.05", "epoch 2: loss 0.50 +- 0.05"]
    assert client.run(run.id).history == run.history


def test_a_run_without_losses_has_no_history(client: TorchClient, both: RemoteDataset) -> None:
    learner = client.RemoteLearner(nn.Linear(8, 2), both, "cross_entropy", 4, metrics=False, progress=False)
    assert learner.fit(2, 1.0).history == []
    assert "losses" not in str(learner.plan(1, 1.0))


def test_the_plan_says_what_becomes_of_losses(learner: RemoteLearner) -> None:
    assert "losses            of every epoch, a record's up to 2" in str(learner.plan(1, 1.0))


def test_the_bars_show_the_losses(client: TorchClient, both: RemoteDataset, capsys: pytest.CaptureFixture[str]) -> None:
    learner = client.RemoteLearner(nn.Linear(8, 2), both, "cross_entropy", 4, progress=True)
    learner.fit(2, 1.0)
    said = capsys.readouterr().err
    assert "Epoch 1/2 - train" in said
    assert "loss 1.00 +- 0.05" in said
    assert "loss 0.50 +- 0.05" in said
