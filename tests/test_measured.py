"""test() through the whole product: real server, sandboxed trainer, installed client."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import small
import torch
from server_process import REPLAY_SERVER, REPLAY_TRAINER, ServerProcess
from torch import nn

from bastionlab import Connection, errors
from bastionlab.torch import SGD

TRAINED_ON, TESTED_ON = 400, 300


def with_dropout() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Dropout(0.3), nn.Linear(small.FEATURES, 16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, small.CLASSES))


def true_accuracy(model: nn.Module, data: Any) -> float:
    x, y = data.tensors
    with torch.no_grad():
        return float((model.eval()(x).argmax(1) == y).double().mean())


def true_loss(model: nn.Module, data: Any, bound: float) -> float:
    x, y = data.tensors
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model.eval()(x), y, reduction="none").clamp(0, bound).double().mean())


def learner_of(client: Any, model: nn.Module, **settings: Any) -> Any:
    settings = {"max_batch_size": 64, "optimizer": SGD(lr=1.0), "metrics": False, "progress": False} | settings
    return client.RemoteLearner(model, client.list_remote_datasets()[0], loss="cross_entropy", **settings)


def test_a_trained_models_accuracy_is_what_it_is_within_the_noise(
    server: ServerProcess, connect: Callable[..., Connection]
) -> None:
    held_out = small.dataset(TESTED_ON, seed=1)
    with connect(server) as connection:
        client = connection.client.torch
        client.RemoteDataset(small.dataset(TRAINED_ON), held_out, privacy_limit=6.0, name="d", progress=False)
        remote = client.list_remote_datasets()[0]
        learner = learner_of(client, with_dropout())
        untrained = learner.test(eps=1.0)
        assert abs(untrained.value - true_accuracy(with_dropout(), held_out)) < 5 * untrained.standard_error
        learner.fit(nb_epochs=10, eps=6.0, batch_size=100)
        result = learner.test(eps=2.0)
        accuracy = true_accuracy(learner.get_model(), held_out)
        assert accuracy > 0.55, "guessing the most frequent class is right for half"
        assert 0 < result.standard_error < 0.02
        assert abs(result.value - accuracy) < 5 * result.standard_error
        measured = learner.test(metric="cross_entropy", eps=2.0)
        bound = 2 * math.log(small.CLASSES)
        assert abs(measured.value - true_loss(learner.get_model(), held_out, bound)) < 5 * measured.standard_error
        # The test set's own account is charged, and it alone; what does not fit is refused.
        assert remote.budget().spent == 6.0
        budget = remote.test_dataset.budget()
        assert [run.epsilon for run in budget.runs] == [1.0, 2.0, 2.0]
        assert 2.0 < budget.spent < 5.0, "three Gaussians cost less together than their eps add up to"
        with pytest.raises(errors.BudgetExceeded) as refused:
            learner.test(eps=5.0)
        assert (refused.value.limit, refused.value.spent, refused.value.remaining) == (6.0, budget.spent, 1.0)
        assert "eps 1 or less would fit" in refused.value.next
        assert remote.test_dataset.budget() == budget
        assert client.run(result.run).result == result


@pytest.mark.filterwarnings("ignore::bastionlab.errors.PrivacyWarning")
def test_without_noise_the_value_is_exact_and_the_account_infinite(
    server: ServerProcess, connect: Callable[..., Connection]
) -> None:
    data = small.dataset(TESTED_ON)
    with connect(server) as connection:
        client = connection.client.torch
        remote = client.RemoteDataset(data, privacy_limit=math.inf, name="open", progress=False)
        with pytest.warns(errors.BastionLabWarning, match="testing without noise"):
            result = learner_of(client, with_dropout()).test(remote)
        assert result.value == true_accuracy(with_dropout(), data)
        assert result.standard_error == 0
        assert remote.budget().spent == math.inf


def test_empty_slots_count_as_wrong(new_server: Callable[..., ServerProcess], connect: Callable[..., Connection]) -> None:
    """The mean is over what was declared: the true count is nobody's business. Without noise, which only a test build can be."""
    server = new_server(program=REPLAY_SERVER, trainer=REPLAY_TRAINER, environment={"BASTIONLAB_REPLAY_NOISE": "0"})
    data = small.dataset(100)
    with connect(server) as connection:
        client = connection.client.torch
        remote = client.RemoteDataset(data, privacy_limit=6.0, declared_samples=250, name="d", progress=False)
        result = learner_of(client, with_dropout()).test(remote, eps=1.0)
        assert result.value == pytest.approx(true_accuracy(with_dropout(), data) * 100 / 250, abs=1e-8)


def test_an_epochs_loss_is_the_true_mean_within_its_standard_error(
    server: ServerProcess, connect: Callable[..., Connection]
) -> None:
    data = small.dataset(4000)
    with connect(server) as connection:
        client = connection.client.torch
        client.RemoteDataset(data, privacy_limit=6.0, name="d", progress=False)
        # Every record in every step, and steps too small to change the loss: five measurements of one number.
        still = SGD(lr=1e-6)
        learner = learner_of(client, small.linear(), optimizer=still, metrics=True, max_batch_size=500)
        run = learner.fit(nb_epochs=5, eps=6.0, batch_size=4000)
        want = true_loss(small.linear(), data, run.plan.loss_bound)
        assert run.plan.loss_bound == pytest.approx(2 * math.log(small.CLASSES))
        assert [(each.epoch, each.steps) for each in run.history] == [(epoch, 1) for epoch in range(1, 6)]
        for each in run.history:
            assert 0 < each.standard_error < 0.05 * want, "the noise is small beside what it hides"
            assert abs(each.loss - want) < 5 * each.standard_error
        assert len({each.loss for each in run.history}) == 5
        assert client.run(run.id).history == run.history


@pytest.mark.filterwarnings("ignore::bastionlab.errors.BastionLabWarning")
def test_without_noise_an_epochs_loss_is_the_clamped_mean(server: ServerProcess, connect: Callable[..., Connection]) -> None:
    data = small.dataset(TRAINED_ON)
    with connect(server) as connection:
        client = connection.client.torch
        client.RemoteDataset(data, privacy_limit=math.inf, name="open", progress=False)
        learner = learner_of(client, small.linear(), optimizer=SGD(lr=1e-6), metrics=True)
        (epoch,) = learner.fit(nb_epochs=1, batch_size=TRAINED_ON).history
        assert epoch.standard_error == 0
        assert epoch.loss == pytest.approx(true_loss(small.linear(), data, 2 * math.log(small.CLASSES)), rel=1e-5)
        assert learner_of(client, small.linear()).fit(nb_epochs=1).history == []


def test_a_test_is_cancelled_like_a_run_and_stays_charged(server: ServerProcess, connect: Callable[..., Connection]) -> None:
    with connect(server) as connection:
        client = connection.client.torch
        remote = client.RemoteDataset(small.dataset(2000), privacy_limit=6.0, name="d", progress=False)
        with connect(server) as another:

            def cancel() -> None:
                runs: list[Any] = []
                deadline = time.monotonic() + 60
                while time.monotonic() < deadline and (not runs or runs[0].status != "running"):
                    runs = another.client.torch.runs()
                    time.sleep(0.05)
                runs[0].cancel()

            thread = threading.Thread(target=cancel)
            thread.start()
            with pytest.raises(errors.TrainingFailed, match="was cancelled"):
                learner_of(client, small.Slow()).test(remote, eps=1.0)
            thread.join()
        assert remote.budget().spent == 1.0
        assert server.trainers() == []
