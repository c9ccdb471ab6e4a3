"""A model that was changed after it was sent is sent again, or refused; never trained as it was before."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from fake_server import FakeServer
from torch import nn

from bastionlab import errors
from bastionlab.torch import RemoteDataset, RemoteLearner, TorchClient


@pytest.fixture
def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.1), nn.Linear(4, 2)).train()


@pytest.fixture
def learner(client: TorchClient, dataset: RemoteDataset, model: nn.Sequential) -> RemoteLearner:
    return client.RemoteLearner(model, dataset, "cross_entropy", 4, progress=False)


def fill(model: Any) -> None:
    with torch.no_grad():
        model[0].weight.fill_(7.0)


def other_values(model: Any) -> None:
    model.load_state_dict({name: value + 1 for name, value in model.state_dict().items()})


def freeze_a_layer(model: Any) -> None:
    model[1].eval()


def more_dropout(model: Any) -> None:
    model[1].p = 0.5


def replace_a_layer(model: Any) -> None:
    model[2] = nn.Linear(4, 3)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "in place": fill,
    "in place, past torch's counter": lambda model: model[2].bias.data.fill_(7.0),
    "load_state_dict": other_values,
    "requires_grad": lambda model: model[0].requires_grad_(False),
    "a layer in evaluation mode": freeze_a_layer,
    "a setting": more_dropout,
    "a layer": replace_a_layer,
}
NO_CHANGES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda model: None,
    "measured": lambda model: model.eval(),
    "measured, and back": lambda model: model.eval().train(),
    "the same values": lambda model: model.load_state_dict(copy.deepcopy(model.state_dict())),
    "gradients": lambda model: model(torch.zeros(1, 8)).sum().backward(),
}


def last_archive(server: FakeServer) -> Any:
    return torch.jit.load(io.BytesIO(list(server.archives.values())[-1]))


@pytest.mark.parametrize("change", CHANGES)
def test_before_a_run_it_is_sent_again(change: str, server: FakeServer, learner: RemoteLearner, model: nn.Sequential) -> None:
    learner.plan(1, 1.0)
    CHANGES[change](model)
    run = learner.fit(1, 1.0)
    assert server.calls.count("UploadModel") == 2
    assert server.requests[run.id].model_id == list(server.archives)[-1]
    sent = last_archive(server)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in sent.state_dict().items())
    assert [p.requires_grad for p in sent.parameters()] == [p.requires_grad for p in model.parameters()]


@pytest.mark.parametrize("change", NO_CHANGES)
def test_what_is_no_change_is_not_sent_again(change: str, server: FakeServer, learner: RemoteLearner, model: nn.Sequential) -> None:
    learner.check()
    NO_CHANGES[change](model)
    first = learner.fit(1, 1.0)
    NO_CHANGES[change](model)
    assert server.requests[learner.fit(1, 1.0).id].continue_run_id == first.id
    learner.get_model()
    NO_CHANGES[change](model)
    learner.fit(1, 1.0)
    assert server.calls.count("UploadModel") == 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("loaded", [True, False])
def test_after_a_run_it_is_refused_or_begun_anew(
    change: str, loaded: bool, server: FakeServer, learner: RemoteLearner, model: nn.Sequential, dataset: RemoteDataset
) -> None:
    first = learner.fit(1, 1.0)
    if loaded:
        learner.get_model()
    CHANGES[change](model)
    with pytest.raises(errors.InvalidArgument, match=f"was changed since it was sent.*{first.id}") as refused:
        learner.fit(1, 1.0)
    assert (refused.value.charged, "restart=True" in refused.value.next) == ("nothing", True)
    assert server.calls.count("UploadModel") == server.calls.count("StartTraining") == 1
    assert dataset.budget().spent == 1.0
    again = learner.fit(1, 1.0, restart=True)
    assert server.requests[again.id].continue_run_id == ""
    assert server.requests[again.id].model_id != server.requests[first.id].model_id
    assert server.requests[learner.fit(1, 1.0).id].continue_run_id == again.id


def test_a_change_that_was_planned_for_is_not_gone_on_without(learner: RemoteLearner, model: nn.Sequential) -> None:
    learner.fit(1, 1.0)
    fill(model)
    learner.plan(1, 1.0)
    with pytest.raises(errors.InvalidArgument, match="was changed since it was sent"):
        learner.fit(1, 1.0)


def test_weights_that_were_put_back_by_hand_are_a_change(learner: RemoteLearner, model: nn.Sequential) -> None:
    before = copy.deepcopy(model.state_dict())
    learner.fit(1, 1.0)
    learner.get_model()
    model.load_state_dict(before)
    with pytest.raises(errors.InvalidArgument, match="was changed since it was sent"):
        learner.fit(1, 1.0)


def test_weights_that_a_run_put_there_are_none(learner: RemoteLearner, model: nn.Sequential, server: FakeServer) -> None:
    first = learner.fit(1, 1.0)
    first.get_model(model, progress=False)
    assert server.requests[learner.fit(1, 1.0).id].continue_run_id == first.id
    begun_anew = learner.fit(1, 1.0, restart=True)
    assert server.requests[begun_anew.id].model_id == server.requests[first.id].model_id
    assert server.calls.count("UploadModel") == 1


def test_what_another_learner_put_there_is_a_change(
    client: TorchClient, learner: RemoteLearner, model: nn.Sequential, dataset: RemoteDataset, server: FakeServer
) -> None:
    other = client.RemoteLearner(model, dataset, "cross_entropy", 4, progress=False)
    other.check()
    learner.fit(1, 1.0)
    learner.get_model()
    run = other.fit(1, 1.0)
    assert server.calls.count("UploadModel") == 3
    assert server.requests[run.id].model_id == list(server.archives)[-1]


def test_every_kind_of_tensor_has_a_fingerprint() -> None:
    from bastionlab.torch._fingerprint import Fingerprint

    module = nn.Linear(2, 2)
    for number, dtype in enumerate((torch.bool, torch.int8, torch.bfloat16, torch.float64, torch.complex64)):
        module.register_buffer(f"b{number}", torch.ones(2, 3).t().to(dtype))
        module.register_buffer(f"s{number}", torch.ones(()).to(dtype))
    module.register_buffer("empty", torch.zeros(0))
    module.register_buffer("meta", torch.zeros(3, device="meta"))
    before = Fingerprint.of(module)
    assert Fingerprint.of(module) == before
    module.get_buffer("s2").zero_()
    assert Fingerprint.of(module).values != before.values
    with torch.no_grad():
        scripted = torch.jit.script(nn.Linear(2, 2))
    assert Fingerprint.of(scripted) == Fingerprint.of(scripted)
