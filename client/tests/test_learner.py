"""check, plan, fit, get_model: what is sent, what is said, what is spent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tiny_models as models
import torch
from conftest import rows
from fake_refusals import Kind, detail, refuse
from fake_server import FakeServer
from fake_service import NANO
from torch import nn

from bastionlab import errors
from bastionlab.torch import SGD, Adam, AdamW, RemoteDataset, RemoteLearner, TorchClient
from bastionlab.torch._archive import ModelUpload
from bastionlab.v1 import error_pb2


@pytest.fixture
def model() -> nn.Module:
    return nn.Linear(8, 2)


@pytest.fixture
def learner(client: TorchClient, dataset: RemoteDataset, model: nn.Module) -> RemoteLearner:
    return client.RemoteLearner(model, dataset, "cross_entropy", 4, progress=False)


def test_nothing_is_sent_before_it_is_needed_and_then_once(server: FakeServer, learner: RemoteLearner) -> None:
    assert "UploadModel" not in server.calls
    learner.check()
    learner.plan(1, 1.0)
    learner.fit(1, 1.0)
    learner.fit(1, 1.0)
    assert server.calls.count("UploadModel") == 1


def test_check_says_what_was_understood(learner: RemoteLearner) -> None:
    report = learner.check()
    assert report.operators == {"aten::linear": 1, "aten::dropout": 3}
    assert report.one_record_at_a_time == {"aten::dropout": 2}
    assert [(p.name, p.dtype, p.shape, p.trainable, p.measurement) for p in report.parameters] == [
        ("weight", "float32", (2, 8), True, "linear"),
        ("bias", "float32", (2,), True, "linear"),
    ]
    assert str(report).splitlines() == [
        "input_0 float32[8] -> output float32[1, 2]",
        "2 of 2 parameters are trained",
        "parameter  form           measured by",
        "weight     float32[2, 8]  linear",
        "bias       float32[2]     linear",
        "operator       uses",
        "aten::dropout  3, 2 one record at a time",
        "aten::linear   1",
    ]


def test_plan_costs_nothing(server: FakeServer, learner: RemoteLearner, dataset: RemoteDataset) -> None:
    plan = learner.plan(nb_epochs=2, eps=2.0)
    assert (plan.steps, plan.batch_size, plan.sample_rate, plan.max_batch_size) == (20, 10, 0.1, 4)
    assert (plan.epsilon, plan.remaining_after, plan.noise_multiplier, plan.release_mode) == (2.0, 4.0, 1.5, "certified")
    assert plan.obtainable == 6.5
    assert dataset.budget().spent == 0.0
    assert str(plan).splitlines() == [
        "epochs            2",
        "steps             20 of 10 records on average (rate 0.1)",
        "records per pass  4",
        "noise multiplier  1.5, gradients clipped at 1",
        "epsilon           2 at delta 0.000167",
        "losses            of every epoch, a record's up to 2",
        "remaining after   4",
        "obtainable        eps 6.5 by a run of this shape",
        "release mode      certified, eta 0.016, grid error 4e-05",
        "time              about 2 s",
    ]


def test_what_is_shown_is_what_is_authorised(server: FakeServer, learner: RemoteLearner) -> None:
    plan = learner.plan(1, 2.0)
    run = learner.fit(1, 2.0)
    assert run.plan == plan
    assert [call for call in server.calls if call != "ListReceipts"][-3:] == ["PlanTraining", "StartTraining", "WatchRun"]
    assert server.runs[run.id].plan.charge == plan.charge


OVERRIDES = [
    (dict(batch_size=25), "batch_size", 25),
    (dict(max_batch_size=2), "max_batch_size", 2),
    (dict(max_grad_norm=0.5), "max_grad_norm", 0.5),
    (dict(delta=1e-7), "delta", 1e-7),
]


@pytest.mark.parametrize(("given", "field", "expected"), OVERRIDES)
def test_fit_may_override(given: dict[str, Any], field: str, expected: float, server: FakeServer, learner: RemoteLearner) -> None:
    first = server.requests[learner.fit(1, 1.0, **given).id]
    assert getattr(first, field) == expected
    second = server.requests[learner.fit(1, 1.0).id]
    assert getattr(second, field) != expected, "for that run only"


def test_fit_may_override_the_learning_rate_and_nothing_else_of_the_optimizer(
    client: TorchClient, dataset: RemoteDataset, server: FakeServer, model: nn.Module
) -> None:
    learner = client.RemoteLearner(model, dataset, "cross_entropy", 4, SGD(lr=0.1, momentum=0.9), progress=False)
    sent = [server.requests[learner.fit(1, 1.0, lr=lr).id].optimizer.sgd for lr in (None, 0.5)]
    assert [(sgd.lr, sgd.momentum) for sgd in sent] == [(0.1, 0.9), (0.5, 0.9)]


@pytest.mark.parametrize(
    ("optimizer", "kind", "lr"), [(Adam(lr=5e-5), "adam", 5e-5), (AdamW(), "adamw", 1e-3), (SGD(lr=0.1), "sgd", 0.1)]
)
def test_optimizers(optimizer: Any, kind: str, lr: float, client: TorchClient, dataset: RemoteDataset, server: FakeServer) -> None:
    learner = client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, optimizer, progress=False)
    sent = server.requests[learner.fit(1, 1.0).id].optimizer
    assert sent.WhichOneof("kind") == kind
    assert getattr(sent, kind).lr == lr


def test_settings_of_the_learner_are_sent(client: TorchClient, dataset: RemoteDataset, server: FakeServer) -> None:
    learner = client.RemoteLearner(
        nn.Linear(8, 2),
        dataset,
        loss="l2",
        max_batch_size=4,
        model_name="mine",
        description="d",
        batch_size=20,
        max_grad_norm=2.0,
        metrics=True,
        release="exact",
        constant_time=True,
        progress=False,
    )
    run = learner.fit(1, 1.0)
    request = server.requests[run.id]
    assert (request.batch_size, request.max_grad_norm, request.release, request.device) == (20, 2.0, "exact", "cpu")
    assert request.constant_time
    assert request.metrics
    assert (run.name, run.description) == ("mine", "d")


def test_a_second_fit_goes_on_and_restart_begins_anew(server: FakeServer, learner: RemoteLearner, model: nn.Module) -> None:
    start = model.get_parameter("weight").detach().clone()
    first = learner.fit(1, 1.0)
    second = learner.fit(1, 1.0)
    assert server.requests[second.id].continue_run_id == first.id
    assert torch.equal(learner.get_model().get_parameter("weight"), start + 2)
    third = learner.fit(1, 1.0, restart=True)
    assert server.requests[third.id].continue_run_id == ""
    assert torch.equal(learner.get_model().get_parameter("weight"), start + 1)


def test_get_model_returns_the_very_module(learner: RemoteLearner, model: nn.Module) -> None:
    with pytest.raises(errors.InvalidArgument, match="nothing was trained yet"):
        learner.get_model()
    learner.fit(1, 1.0)
    assert learner.get_model() is model


def test_the_budget_is_enforced_and_its_figures_arrive(learner: RemoteLearner, dataset: RemoteDataset) -> None:
    learner.fit(nb_epochs=1, eps=4.5)
    with pytest.raises(errors.BudgetExceeded) as refused:
        learner.fit(nb_epochs=1, eps=2.0)
    error = refused.value
    assert (error.limit, error.spent, error.requested, error.remaining) == (6.0, 4.5, 2.0, 1.5)
    budget = dataset.budget()
    assert (budget.limit, budget.spent, budget.remaining) == (6.0, 4.5, 1.5)
    (entry,) = budget.runs
    assert (entry.epsilon, entry.status) == (4.5, "completed")
    assert str(budget).splitlines()[0] == "limit 6   spent 4.5   remaining 1.5   delta 0.001"
    assert entry.run in str(budget).splitlines()[2]


def test_without_noise_where_there_is_no_limit(client: TorchClient, model: nn.Module) -> None:
    dataset = client.RemoteDataset(rows(), privacy_limit=math.inf, progress=False)
    run = client.RemoteLearner(model, dataset, "cross_entropy", 4, progress=False).fit(nb_epochs=1)
    assert run.plan.epsilon == math.inf
    assert "privacy           none" in str(run.plan)
    budget = dataset.budget()
    assert (budget.limit, budget.spent, budget.remaining) == (None, math.inf, math.inf)
    assert str(budget).startswith("limit none   spent inf   remaining -")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no eps on a limited dataset": (dict(nb_epochs=1), "eps is missing: the dataset has a limit of 6"),
    "a negative eps": (dict(nb_epochs=1, eps=-1.0), "eps is -1.0"),
    "an eps of nothing": (dict(nb_epochs=1, eps=0), "eps is 0"),
    "an eps that is no number": (dict(nb_epochs=1, eps=math.nan), "eps is nan"),
    "an infinite eps": (dict(nb_epochs=1, eps=math.inf), "eps is inf"),
    "an eps in words": (dict(nb_epochs=1, eps="2"), "eps is '2'"),
    "no epochs": (dict(nb_epochs=0, eps=1.0), "nb_epochs is 0"),
    "more than 64 bits": (dict(nb_epochs=1, eps=1.0, max_batch_size=2**63), f"max_batch_size is {2**63}"),
    "an eps too large for a float": (dict(nb_epochs=1, eps=10**400), "eps is 1000"),
    "an array of eps": (dict(nb_epochs=1, eps=np.array([1.0])), "eps is array"),
    "half a record": (dict(nb_epochs=1, eps=1.0, batch_size=0.5), "batch_size is 0.5"),
    "no pass": (dict(nb_epochs=1, eps=1.0, max_batch_size=0), "max_batch_size is 0"),
    "a negative norm": (dict(nb_epochs=1, eps=1.0, max_grad_norm=-1), "max_grad_norm is -1"),
    "a delta that is no number": (dict(nb_epochs=1, eps=1.0, delta=math.nan), "delta is nan"),
    "a learning rate that is no number": (dict(nb_epochs=1, eps=1.0, lr=math.nan), "lr is nan"),
    "resume": (dict(nb_epochs=1, eps=1.0, resume=True), "later release"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused_before_the_model_is_sent(case: str, server: FakeServer, learner: RemoteLearner) -> None:
    arguments, words = BAD[case]
    with pytest.raises(errors.InvalidArgument, match=words) as refused:
        learner.fit(**arguments)
    assert refused.value.charged == "nothing"
    assert "UploadModel" not in server.calls


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(device="gpu"), "no device 'gpu'.*cpu, cuda"),
        (dict(device="cuda:0"), "no device 'cuda:0'"),
        (dict(device=torch.device("cuda")), "no device device"),
        (dict(device=None), "no device None"),
        (dict(loss="hinge"), "no loss 'hinge'.*cross_entropy"),
        (dict(max_batch_size=0), "max_batch_size is 0"),
        (dict(max_batch_size=True), "max_batch_size is True"),
        (dict(max_grad_norm=math.inf), "max_grad_norm is inf"),
        (dict(batch_size=-1), "batch_size is -1"),
        (dict(model="resnet"), "the model is a str"),
        (dict(remote_dataset="SMS"), "remote_dataset is a str"),
        (dict(optimizer=torch.optim.SGD([torch.zeros(1, requires_grad=True)])), "optimizer is a SGD.*without parameters"),
    ],
)
def test_a_learner_that_cannot_be(change: dict[str, Any], words: str, client: TorchClient, dataset: RemoteDataset) -> None:
    good = dict(model=nn.Linear(8, 2), remote_dataset=dataset, loss="cross_entropy", max_batch_size=4)
    with pytest.raises(errors.InvalidArgument, match=words):
        client.RemoteLearner(**(good | change))  # type: ignore[arg-type]


def test_a_run_on_a_gpu_is_said_wherever_it_is_seen(
    server: FakeServer, client: TorchClient, dataset: RemoteDataset, model: nn.Module
) -> None:
    learner = client.RemoteLearner(model, dataset, "cross_entropy", 4, device="cuda", progress=False)
    with pytest.raises(errors.InvalidArgument, match="not offered"):
        learner.plan(1, 1.0)
    server.devices = ("cuda",)
    plan = learner.plan(1, 1.0)
    assert (plan.device, plan.seconds) == ("cuda", 0.0)
    assert str(plan).splitlines()[-3:] == [
        "device            cuda",
        "time              not known",
        "warning: on cuda nothing is attested",
    ]
    with pytest.warns(errors.BastionLabWarning, match="nothing is attested") as said:
        run = learner.fit(1, 1.0)
    assert len(said) == 1
    assert server.requests[run.id].device == "cuda"
    assert (run.plan.device, run.receipts[0].device) == ("cuda", "cuda")
    on_cpu = client.RemoteLearner(model, dataset, "cross_entropy", 4, progress=False).fit(1, 1.0)
    assert (on_cpu.plan.device, on_cpu.receipts[0].device) == ("cpu", "cpu")


def test_scalars_of_numpy_and_torch_are_numbers(client: TorchClient, dataset: RemoteDataset, server: FakeServer) -> None:
    settings: dict[str, Any] = dict(max_batch_size=np.int64(4), batch_size=torch.tensor(20), progress=False)
    learner = client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", **settings)
    numbers: dict[str, Any] = dict(nb_epochs=np.int32(1), eps=np.float32(0.5), lr=torch.tensor(0.25), max_grad_norm=np.float64(2))
    run = learner.fit(**numbers)
    request = server.requests[run.id]
    assert (request.max_batch_size, request.batch_size, request.nb_epochs, request.epsilon) == (4, 20, 1.0, 0.5)
    assert (request.optimizer.adam.lr, request.max_grad_norm) == (0.25, 2.0)


def test_warnings_of_a_plan_are_said(learner: RemoteLearner, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from fake_training import Training

    original = Training._price

    def price(self: Any, request: Any, context: Any) -> Any:
        plan = original(self, request, context)
        plan.warnings.append("learning rate times steps is tiny")
        return plan

    monkeypatch.setattr(Training, "_price", price)
    assert "warning: learning rate times steps is tiny" in str(learner.plan(1, 1.0))
    with pytest.warns(errors.BastionLabWarning, match="tiny") as said:
        learner.fit(1, 1.0)
    assert said[0].filename == __file__


def incompatible(operator: str) -> error_pb2.ErrorDetail:
    model = error_pb2.IncompatibleModel(operator=operator, layer="head", reason="no rule")
    return detail(Kind.KIND_INCOMPATIBLE_MODEL, f"{operator} cannot be trained privately", "leave it out", model=model)


def test_a_scripted_form_that_is_refused_is_traced(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    server.model_refusals = [incompatible("prim::If")]
    learner = client.RemoteLearner(models.ByShape(), dataset, "cross_entropy", 4, progress=False)
    with pytest.warns(errors.BastionLabWarning, match="its scripted form was refused: prim::If"):
        learner.check()
    assert server.calls.count("UploadModel") == 2


def test_a_refusal_of_both_forms_stands(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    server.model_refusals = [incompatible("prim::If"), incompatible("aten::lstm")]
    learner = client.RemoteLearner(models.ByShape(), dataset, "cross_entropy", 4, progress=False)
    with (
        pytest.warns(errors.BastionLabWarning, match="its scripted form was refused"),
        pytest.raises(errors.IncompatibleModel, match="aten::lstm") as refused,
    ):
        learner.check()
    assert refused.value.layer == "head"


def test_a_decision_by_value_is_not_traced_away(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    server.model_refusals = [incompatible("prim::If")]
    learner = client.RemoteLearner(models.Branching(), dataset, "cross_entropy", 4, progress=False)
    with pytest.raises(errors.IncompatibleModel, match="prim::If"):
        learner.check()
    assert server.calls.count("UploadModel") == 1


def test_a_model_that_cannot_be_scripted_is_traced_with_a_warning(client: TorchClient) -> None:
    data = [({"input_ids": torch.zeros(8).long(), "attention_mask": torch.ones(8).long()}, 1)] * 20
    dataset = client.RemoteDataset(data, privacy_limit=6.0, progress=False)
    learner = client.RemoteLearner(models.Encoder(), dataset, "cross_entropy", 4, progress=False)
    with pytest.warns(errors.BastionLabWarning, match="was traced.*any number of arguments") as said:
        learner.fit(1, 1.0)
    assert said[0].filename == __file__, "it points at the line that needed it"
    assert learner.get_model() is learner.model


@pytest.mark.parametrize("named", [True, False])
def test_what_compiles_and_cannot_be_saved_is_traced(named: bool, client: TorchClient) -> None:
    inputs = [torch.randn(8), torch.ones(8)]
    item: Any = (dict(zip(("x", "mask"), inputs, strict=True)) if named else inputs, 1)
    dataset = client.RemoteDataset([item] * 20, privacy_limit=6.0, progress=False)
    learner = client.RemoteLearner(models.Optional(), dataset, "cross_entropy", 4, progress=False)
    with pytest.warns(errors.BastionLabWarning, match="was traced"):
        assert learner.fit(1, 1.0).status == "completed"


def texts(client: TorchClient, public: dict[str, Any] | None = None) -> RemoteDataset:
    data = [({"input_ids": torch.zeros(8).long(), "attention_mask": torch.ones(8).long()}, 1)] * 20
    return client.RemoteDataset(data, privacy_limit=6.0, public=public, progress=False)


def test_a_trace_that_is_another_model_is_refused_before_anything_is_spent(client: TorchClient, server: FakeServer) -> None:
    dataset = texts(client)
    learner = client.RemoteLearner(models.Counting(), dataset, "cross_entropy", 4, progress=False)
    with pytest.raises(errors.IncompatibleModel, match=r"computes something else.*any number of arguments") as refused:
        learner.fit(1, 1.0)
    assert (refused.value.charged, "torch.where" in refused.value.next) == ("nothing", True)
    assert "UploadModel" not in server.calls
    assert dataset.budget().spent == 0.0


@pytest.mark.parametrize("make", [models.Chancy, models.ChancyByPython, models.ChancyByNumPy])
def test_decisions_by_chance_are_refused(make: Any, client: TorchClient, dataset: RemoteDataset, server: FakeServer) -> None:
    learner = client.RemoteLearner(make(), dataset, "cross_entropy", 4, progress=False)
    with pytest.raises(errors.IncompatibleModel, match="decides by chance") as refused:
        learner.fit(1, 1.0)
    assert (refused.value.charged, bool(refused.value.next)) == ("nothing", True)
    assert "UploadModel" not in server.calls


def test_decisions_by_value_that_a_trace_takes_once_for_all_are_named(client: TorchClient) -> None:
    learner = client.RemoteLearner(models.Forgetful(), texts(client), "cross_entropy", 4, progress=False)
    with pytest.warns(errors.BastionLabWarning, match="DECIDES BY VALUES"):
        learner.check()


def test_a_model_with_fewer_classes_than_are_published_is_refused(client: TorchClient, server: FakeServer) -> None:
    dataset = client.RemoteDataset(rows(), privacy_limit=6.0, public={"classes": 3}, progress=False)
    with pytest.raises(errors.IncompatibleModel, match="tells 2 classes apart, the dataset's owner published 3") as refused:
        client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False).fit(1, 1.0)
    assert (refused.value.charged, refused.value.next) == ("nothing", "give its last layer 3 outputs")
    assert "UploadModel" not in server.calls
    for width in (3, 4):
        assert client.RemoteLearner(nn.Linear(8, width), dataset, "cross_entropy", 4, progress=False).check()
    assert client.RemoteLearner(nn.Linear(8, 1), dataset, "l2", 4, progress=False).check()


def test_a_refused_model_costs_nothing_and_can_be_sent_again(
    server: FakeServer, client: TorchClient, learner: RemoteLearner
) -> None:
    server.before["UploadModel"] = refuse(Kind.KIND_NOT_FOUND, "the dataset was deleted")
    with pytest.raises(errors.NotFound):
        learner.fit(1, 1.0)
    del server.before["UploadModel"]
    assert learner.fit(1, 1.0).status == "completed"


def test_any_bytes_may_be_sent_as_a_model(client: TorchClient, dataset: RemoteDataset, tmp_path: Any) -> None:
    archive = tmp_path / "hostile.pt"
    archive.write_bytes(b"PK" + bytes(3_000_000))
    with pytest.raises(errors.InvalidArgument, match="cannot be read"):
        ModelUpload("hostile", "", dataset.identifier, "cross_entropy").send(dataset._session, archive, progress=False)


def test_large_models_go_in_chunks_under_their_name(client: TorchClient, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = client.RemoteDataset(rows(20, 1000), privacy_limit=6.0, progress=False)
    learner = client.RemoteLearner(nn.Linear(1000, 800), dataset, "cross_entropy", 4, model_name="large")
    learner.check()
    assert "Sending large: 100%" in capsys.readouterr().err


def test_amounts_are_exact(learner: RemoteLearner, server: FakeServer) -> None:
    run = learner.fit(1, 0.1)
    assert server.runs[run.id].plan.epsilon_nano == NANO // 10
    assert run.plan.epsilon == 0.1
