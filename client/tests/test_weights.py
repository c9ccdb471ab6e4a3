"""Weights come back by name, into the very module that was sent; what does not fit changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import tiny_models as models
import torch
from fake_server import FakeServer
from torch import nn

from bastionlab import errors
from bastionlab.torch import RemoteDataset, Run, TorchClient
from bastionlab.torch._weights import load_into


@pytest.fixture
def run(client: TorchClient, dataset: RemoteDataset) -> Run:
    learner = client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False)
    return learner.fit(nb_epochs=1, eps=1.0)


def grown(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() + 1 for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_parameters_are_overwritten_in_place() -> None:
    model = nn.Linear(3, 2)
    held = model.weight
    expected = held.detach() + 1
    assert load_into(model, grown(model)) is model
    assert model.weight is held
    assert torch.equal(held, expected)
    assert held.requires_grad


def test_frozen_parameters_and_buffers_stay() -> None:
    model = models.Normalised()
    model.conv.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    load_into(model, grown(model))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"norm.weight", "norm.bias", "head.weight", "head.bias"}


@pytest.mark.parametrize("names", [["words.weight"], ["out.weight"], ["words.weight", "out.weight"]])
def test_a_tied_parameter_comes_back_under_any_of_its_names(names: list[str]) -> None:
    model = models.Tied()
    weights = grown(model)
    shared = weights.pop("words.weight")
    load_into(model, weights | dict.fromkeys(names, shared))
    assert model.out.weight is model.words.weight
    assert torch.equal(model.out.weight, shared)


CHANGES: dict[str, tuple[Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], str]] = {
    "an unknown name": (lambda w: w | {"other": torch.zeros(1)}, "no parameter 'other'"),
    "nothing": (lambda w: {}, "they are none"),
    "another shape": (lambda w: w | {"weight": torch.zeros(3, 2)}, r"'weight' is torch.float32 \[2, 3\], what was trained is"),
    "another dtype": (lambda w: w | {"bias": w["bias"].double()}, "'bias' is torch.float32"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_changes_nothing(change: str) -> None:
    model = nn.Linear(3, 2)
    before = copy.deepcopy(model.state_dict())
    alter, words = CHANGES[change]
    with pytest.raises(errors.InvalidArgument, match=words):
        load_into(model, alter(grown(model)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_was_not_trained_keeps_its_own_values_and_is_named() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = copy.deepcopy(model.state_dict())
    weights = {name: tensor for name, tensor in grown(model).items() if name.startswith("1.")}
    with pytest.warns(errors.BastionLabWarning, match="'0.weight' and 1 more was not trained"):
        load_into(model, weights)
    expected = before | weights
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def half_frozen() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).train()
    model[0].requires_grad_(False)
    model[1].eval()
    return model


def test_a_fresh_module_takes_the_weights_of_a_run_found_again(client: TorchClient, dataset: RemoteDataset) -> None:
    model = half_frozen()
    run = client.RemoteLearner(model, dataset, "cross_entropy", 4, progress=False).fit(nb_epochs=1, eps=1.0)
    fresh = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    own = fresh.get_parameter("0.weight").detach().clone()
    with pytest.warns(errors.BastionLabWarning, match="'0.weight' and 1 more was not trained"):
        assert client.run(run.id).get_model(fresh, progress=False) is fresh
    assert torch.equal(fresh.get_parameter("0.weight"), own)
    assert torch.equal(fresh.get_parameter("2.weight"), model.get_parameter("2.weight") + 1)


def test_a_state_dict_holds_what_was_trained_and_loads_not_strictly(client: TorchClient, dataset: RemoteDataset) -> None:
    model = half_frozen()
    weights = client.RemoteLearner(model, dataset, "cross_entropy", 4, progress=False).fit(nb_epochs=1, eps=1.0).get_model()
    assert set(weights) == {"1.weight", "1.bias", "2.weight", "2.bias"}
    assert model.load_state_dict(weights, strict=False).unexpected_keys == []


def test_tied_weights_come_under_all_of_their_names_where_the_module_is_known(client: TorchClient) -> None:
    data = [(torch.zeros(8).long(), torch.zeros(8).long())] * 20
    dataset = client.RemoteDataset(data, privacy_limit=6.0, progress=False)
    model = models.Tied()
    run = client.RemoteLearner(model, dataset, "cross_entropy", 4, progress=False).fit(nb_epochs=1, eps=1.0)
    weights = run.get_model(progress=False)
    assert set(weights) == set(model.state_dict())
    assert torch.equal(weights["out.weight"], weights["words.weight"])
    model.load_state_dict(weights)
    assert len(client.run(run.id).get_model(progress=False)) == len(weights) - 1


def test_a_run_gives_a_state_dict_or_fills_a_module(run: Run) -> None:
    weights = run.get_model()
    assert set(weights) == {"weight", "bias"}
    model = nn.Linear(8, 2)
    assert run.get_model(model) is model
    assert torch.equal(model.weight, weights["weight"])
    with pytest.raises(errors.InvalidArgument, match="the model is a str"):
        run.get_model("model")  # type: ignore[call-overload]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut short": (lambda file: file[:-1], "bytes were announced"),
    "grown": (lambda file: file + bytes(5000), "bytes were announced"),
    "altered": (lambda file: file[:-1] + b"\x7f", "its digest is wrong"),
    "empty": (lambda file: b"", "bytes were announced"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_download_is_noticed(damage: str, server: FakeServer, run: Run) -> None:
    server.download_filter, words = DAMAGE[damage]
    with pytest.raises(errors.BastionLabError, match=words) as refused:
        run.get_model()
    assert "nothing is lost" in refused.value.next


def test_progress(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.get_model()
    assert "Receiving weights: 100%" in capsys.readouterr().err
    run.get_model(progress=False)
    assert capsys.readouterr().err == ""
