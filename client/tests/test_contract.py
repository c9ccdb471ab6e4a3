"""The same promises against a real server: BASTIONLAB_SERVER names the `bastionlab` binary, its trainer beside it.

What is tested with the fake server is not repeated; here it is what only both sides together can keep.
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_models as models
import torch
from conftest import rows
from torch import nn

from bastionlab import Connection, Identity, errors, verify_receipt
from bastionlab.torch import SGD, Adam, AdamW, RemoteDataset, TorchClient
from bastionlab.torch import _watch as watch_module
from bastionlab.torch._archive import ModelUpload

SERVER = os.environ.get("BASTIONLAB_SERVER", "")
START_SECONDS = 60

pytestmark = [
    pytest.mark.skipif(not SERVER, reason="needs BASTIONLAB_SERVER, the bastionlab binary"),
    pytest.mark.filterwarnings("ignore:DEVELOPMENT MODE:UserWarning"),
]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [SERVER, "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", str(directory / "data")]
    with (directory / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_until_it_listens(process, port, directory / "log")
            yield port
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server does not listen:\n{log.read_text()}")


@pytest.fixture
def client(port: int) -> Iterator[TorchClient]:
    with Connection("localhost", port) as connection:
        yield connection.client.torch


@pytest.fixture
def dataset(client: TorchClient) -> RemoteDataset:
    return client.RemoteDataset(rows(), privacy_limit=6.0, name="digits", progress=False)


def test_info(port: int) -> None:
    with Connection("localhost", port) as connection:
        info = connection.client.info
        assert info.development
        assert (info.platform, info.simulated, info.binding, info.storage_level) == ("simulated", True, "exporter", "file")
        assert info.boot_id
        assert connection.client.user == Identity.default().public_key.user


@pytest.mark.filterwarnings("ignore:1 records of 'texts .test.' are in the dataset [0-9a-f]* too, its training set:UserWarning")
def test_a_dataset_is_listed_as_it_was_uploaded(client: TorchClient) -> None:
    data = [({"input_ids": torch.zeros(8).long(), "attention_mask": torch.ones(8).long()}, 1)] * 30
    public = {"classes": 2, "ranges": {"input_ids": (0, 19)}}
    made = client.RemoteDataset(
        data, data[:20], privacy_limit=2.5, name="texts", description="d", declared_samples=50, public=public, progress=False
    )
    listed = client.list_remote_datasets()[0]
    for remote in (made, listed):
        assert (remote.name, remote.description, remote.nb_samples, remote.privacy_limit) == ("texts", "d", 50, 2.5)
        assert remote.delta == 1e-3
        assert str(remote.schema) == "input_ids int64[8], attention_mask int64[8] -> label int64[]"
        assert remote.schema.named
        assert remote.public.classes == 2
        assert remote.public.ranges["input_ids"] == (0, 19)
    assert listed.identifier == made.identifier


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
                                   torch.float16, torch.bfloat16, torch.float32, torch.float64])  # fmt: skip
def test_every_dtype_is_taken(dtype: torch.dtype, client: TorchClient) -> None:
    data = [(torch.ones(3).to(dtype), 0.5)] * 12
    assert client.RemoteDataset(data, privacy_limit=1.0, progress=False).schema.inputs[0].dtype == dtype


@pytest.mark.filterwarnings("ignore:the learning rate times:UserWarning")
def test_the_walk_through_and_a_second_fit(client: TorchClient, dataset: RemoteDataset) -> None:
    model = nn.Linear(8, 2)
    before = model.weight.detach().clone()
    learner = client.RemoteLearner(model, dataset, "cross_entropy", 4, Adam(lr=0.01), progress=False)
    plan = learner.plan(nb_epochs=2, eps=2.0)
    run = learner.fit(nb_epochs=2, eps=2.0)
    assert run.plan == plan
    assert (plan.epsilon, plan.remaining_after) == (2.0, 4.0)
    assert learner.get_model() is model
    assert not torch.equal(model.weight, before)
    first = run.get_model(progress=False)
    learner.fit(nb_epochs=1, eps=2.0, lr=1e-12)
    second = learner.fit(nb_epochs=1, eps=1.0, lr=1e-12, restart=True)
    # Without a step worth the name, the second fit stays at the first's weights, and a restart at the beginning.
    assert torch.allclose(client.runs()[1].get_model(progress=False)["weight"], first["weight"], atol=1e-6)
    assert torch.allclose(second.get_model(progress=False)["weight"], before, atol=1e-6)
    budget = dataset.budget()
    assert (budget.limit, budget.remaining, sum(entry.epsilon for entry in budget.runs)) == (6.0, 1.0, 5.0)
    assert 2.0 < budget.spent < 5.0, "runs cost less together than their eps add up to"
    assert [(entry.epsilon, entry.status) for entry in budget.runs if entry.run == run.id] == [(2.0, "completed")]
    with pytest.raises(errors.BudgetExceeded) as refused:
        learner.fit(nb_epochs=1, eps=6.0)
    error = refused.value
    assert (error.limit, error.spent, error.requested, error.remaining) == (6.0, budget.spent, 6.0, 1.0)


FORMS: dict[str, Any] = {
    "by name, traced": (models.Encoder, True, 2),
    "by position, traced": (models.Encoder, False, 2),
    "tied, scripted": (models.Tied, False, 1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:the model was traced:UserWarning")
def test_models_of_tokens(form: str, client: TorchClient) -> None:
    make, named, inputs = FORMS[form]
    columns = {"input_ids": torch.arange(8) % 7, "attention_mask": torch.tensor([1] * 5 + [0] * 3)}
    given = dict(list(columns.items())[:inputs])
    label: Any = torch.arange(8) % 5 if make is models.Tied else 1
    items = [(given if named else list(given.values()), label)] * 40
    dataset = client.RemoteDataset(items, privacy_limit=6.0, progress=False)
    model = make()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    learner = client.RemoteLearner(model, dataset, "cross_entropy", 8, SGD(lr=0.5), progress=False)
    assert {p.name for p in learner.check().parameters if p.trainable} >= set(before)
    learner.fit(nb_epochs=1, eps=1.0)
    learner.get_model()
    assert all(not torch.equal(value, before[name]) for name, value in model.named_parameters())


@pytest.mark.filterwarnings("ignore:the learning rate times the number of steps:UserWarning")
def test_a_run_that_nobody_waited_for_is_gone_on_from(
    client: TorchClient, dataset: RemoteDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    model = nn.Linear(8, 2)
    learner = client.RemoteLearner(model, dataset, "cross_entropy", 8, SGD(lr=0.1), progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(watch_module.EpochBars, "show", interrupt)
        with pytest.raises(KeyboardInterrupt):
            learner.fit(1, 0.5)
    first = client.runs()[0].wait(progress=False)
    weights = first.get_model(progress=False)["weight"]
    # Steps too small to see, from the weights of the first run.
    second = learner.fit(1, 0.5, lr=1e-9)
    assert torch.allclose(second.get_model(progress=False)["weight"], weights, atol=1e-6)
    assert learner.get_model() is model
    with torch.no_grad():
        model.weight.fill_(7.0)
    spent = dataset.budget().spent
    with pytest.raises(errors.InvalidArgument, match="was changed since it was sent"):
        learner.fit(1, 0.5)
    assert dataset.budget().spent == spent
    anew = learner.fit(1, 0.5, lr=1e-9, restart=True)
    assert torch.allclose(anew.get_model(progress=False)["weight"], torch.tensor(7.0), atol=1e-5)


def test_frozen_parameters_are_not_trained(client: TorchClient, dataset: RemoteDataset) -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    learner = client.RemoteLearner(model, dataset, "cross_entropy", 8, AdamW(), progress=False)
    run = learner.fit(nb_epochs=1, eps=1.0)
    assert set(run.get_model(progress=False)) == {"2.weight", "2.bias"}


@pytest.mark.filterwarnings("ignore:the model was traced:UserWarning")
def test_torchs_own_transformer_layer(client: TorchClient) -> None:
    items = [(torch.randn(4, 8), torch.randn(4, 8))] * 20
    dataset = client.RemoteDataset(items, privacy_limit=6.0, progress=False)
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    learner = client.RemoteLearner(model, dataset, "l2", 4, SGD(lr=0.1), progress=False)
    assert learner.fit(nb_epochs=1, eps=1.0).status == "completed"


@pytest.mark.filterwarnings("ignore:training without noise:UserWarning")
def test_without_noise_where_there_is_no_limit(client: TorchClient) -> None:
    dataset = client.RemoteDataset(rows(), privacy_limit=math.inf, progress=False)
    run = client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 8, SGD(lr=0.1), progress=False).fit(nb_epochs=1)
    assert run.plan.epsilon == math.inf
    assert dataset.budget().spent == math.inf


class Sorted(nn.Module):
    """Asks for how many values there are: its shapes depend on data."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) + torch.unique(x).shape[0]  # type: ignore[no-any-return]


REFUSED: dict[str, tuple[Any, type[errors.BastionLabError]]] = {
    "data-dependent control flow": (lambda: models.Branching(), errors.IncompatibleModel),
    "an operator that nobody needs": (lambda: Sorted(), errors.IncompatibleModel),
    "another number of outputs": (lambda: nn.Sequential(nn.Linear(8, 2), nn.Flatten(0)), errors.IncompatibleModel),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:the model was traced:UserWarning")
def test_models_that_are_refused_cost_nothing(case: str, client: TorchClient, dataset: RemoteDataset) -> None:
    make, kind = REFUSED[case]
    with pytest.raises(kind) as refused:
        client.RemoteLearner(make(), dataset, "cross_entropy", 8, progress=False).fit(1, 1.0)
    assert refused.value.next
    assert dataset.budget().spent == 0.0


def test_bytes_that_are_no_model(client: TorchClient, dataset: RemoteDataset, tmp_path: Path) -> None:
    archive = tmp_path / "model.pt"
    for content in (b"", b"PK\x03\x04" + b"\xff" * 5000, bytes(2 << 20)):
        archive.write_bytes(content)
        with pytest.raises((errors.InvalidArgument, errors.IncompatibleModel)):
            ModelUpload("hostile", "", dataset.identifier, "cross_entropy").send(dataset._session, archive, progress=False)


def test_limits_and_deletion(client: TorchClient, dataset: RemoteDataset, port: int) -> None:
    assert dataset.lower_limit(2.0).remaining == 2.0
    with pytest.raises(errors.InvalidArgument):
        dataset.lower_limit(3.0)
    with Connection("localhost", port, identity=Identity.create("stranger")) as connection:
        mine = {d.identifier: d for d in connection.client.torch.list_remote_datasets()}
        for forbidden in (mine[dataset.identifier].delete, lambda: mine[dataset.identifier].lower_limit(1.0)):
            with pytest.raises(errors.PermissionDenied):
                forbidden()
    dataset.delete()
    assert dataset.identifier not in {d.identifier for d in client.list_remote_datasets()}
    for gone in (dataset.delete, lambda: client.run("0" * 32)):
        with pytest.raises(errors.NotFound):
            gone()


def test_receipts_of_a_run_and_of_its_account(client: TorchClient, dataset: RemoteDataset, tmp_path: Path) -> None:
    run = client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 8, SGD(lr=0.1), progress=False).fit(1, 1.0)
    assert [each.type for each in run.receipts] == ["reserve", "data", "settle"]
    assert (run.receipts[0].epsilon, run.receipt.outcome, run.receipt.spent) == (1.0, "completed", 1.0)
    dataset.lower_limit(4.0)
    receipts = dataset.receipts()
    assert [each.type for each in receipts] == ["open", "reserve", "data", "settle", "limit"]
    assert [each.seq for each in receipts] == [1, 2, 3, 4, 5]
    book = tmp_path / "book.jsonl"
    for each in receipts:
        each.save(tmp_path / f"{each.seq}.json")
    book.write_bytes(b"".join((tmp_path / f"{each.seq}.json").read_bytes() for each in receipts))
    assert verify_receipt(book, receipts[0].key) == receipts


def test_the_same_records_again_draw_on_their_account(client: TorchClient, dataset: RemoteDataset) -> None:
    client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 8, SGD(lr=0.1), progress=False).fit(1, 1.0)
    with pytest.warns(errors.PrivacyWarning, match="uploaded before") as told:
        again = client.RemoteDataset(rows(), privacy_limit=6.0, progress=False)
    assert any("1 of a limit of 6 is spent already" in str(each.message) for each in told)
    assert again.budget().datasets
    assert (again.budget().spent, again.budget().remaining) == (1.0, 5.0)
    assert again.receipts()[-1].type == "join"


def test_an_upload_that_breaks_off_leaves_nothing(client: TorchClient) -> None:
    before = {d.identifier for d in client.list_remote_datasets()}
    items: list[Any] = [(torch.zeros(1000), 0)] * 3000
    items[2500] = (torch.zeros(1001), 0)
    with pytest.raises(errors.InvalidArgument, match="item 2500"):
        client.RemoteDataset(items, privacy_limit=1.0, progress=False)
    assert {d.identifier for d in client.list_remote_datasets()} == before


def test_progress_of_a_run(client: TorchClient, dataset: RemoteDataset, capsys: pytest.CaptureFixture[str]) -> None:
    client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, model_name="linear").fit(nb_epochs=2, eps=1.0)
    said = capsys.readouterr().err
    assert "Sending linear: 100%" in said
    assert "Epoch 1/2 - train: 100%" in said
    assert "Epoch 2/2 - train: 100%" in said
