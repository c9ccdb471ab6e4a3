"""Uploading a dataset, and what can be done with it afterwards."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from conftest import rows
from fake_refusals import Kind, once, refuse
from fake_server import FakeServer
from fake_service import ATTO
from torch.utils.data import Dataset, TensorDataset

from bastionlab import Connection, errors
from bastionlab.torch import PublicFacts, RemoteDataset, TorchClient
from bastionlab.torch import _upload as upload_module


def test_every_record_arrives_in_order(server: FakeServer, client: TorchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_module, "BATCH_BYTES", 7 * 40)  # 7 records of 8 floats and a label
    data = rows(100)
    remote = client.RemoteDataset(data, privacy_limit=6.0, name="digits", description="d", progress=False)
    stored = server.datasets[remote.identifier]
    assert [len(batch["label"]) for batch in stored.tensors] == [7] * 14 + [2]
    assert torch.equal(stored.column("input.input_0"), data.tensors[0])
    assert torch.equal(stored.column("label"), data.tensors[1])
    assert (stored.header.name, stored.header.description, stored.header.privacy_limit) == ("digits", "d", 6.0)
    assert not stored.header.HasField("delta")


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
                                   torch.float16, torch.bfloat16, torch.float32, torch.float64])  # fmt: skip
def test_every_dtype_arrives_as_it_is(dtype: torch.dtype, server: FakeServer, client: TorchClient) -> None:
    values = torch.arange(12).reshape(6, 2).to(dtype)
    remote = client.RemoteDataset(TensorDataset(values, torch.zeros(6)), privacy_limit=6.0, progress=False)
    arrived = server.datasets[remote.identifier].column("input.input_0")
    assert arrived.dtype == dtype
    assert torch.equal(arrived, values)
    assert remote.schema.inputs[0].dtype == dtype


def test_what_is_known_of_it_afterwards(client: TorchClient) -> None:
    data = [{"input_ids": torch.zeros(4, dtype=torch.int64), "labels": 1}] * 12
    public = {"classes": 2, "ranges": {"input_ids": (0, 30521)}}
    made = client.RemoteDataset(data, privacy_limit=2.5, public=public, progress=False)
    listed = client.list_remote_datasets()[0]
    for remote in (made, listed):
        assert remote.name == "list"
        assert remote.nb_samples == 12
        assert remote.privacy_limit == 2.5
        assert remote.delta == 1e-3
        assert remote.schema.named
        assert remote.public == PublicFacts(2, {"input_ids": (0.0, 30521.0)})
        assert str(remote) == f"list ({made.identifier}): size=12, desc=N/A"


def test_newest_first_and_without_test_sets(client: TorchClient) -> None:
    client.RemoteDataset(rows(), rows(20), privacy_limit=1.0, name="a", progress=False)
    client.RemoteDataset(rows(), privacy_limit=1.0, name="b", progress=False)
    assert [d.name for d in client.list_remote_datasets()] == ["b", "a"]
    assert [d.name for d in client.get_available_datasets()] == ["b", "a"]


def test_a_dataset_that_is_slow_to_read_is_sent_as_it_comes(
    server: FakeServer, client: TorchClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_module, "BATCH_SECONDS", 0.0)
    remote = client.RemoteDataset(rows(5), privacy_limit=6.0, progress=False)
    assert [len(batch["label"]) for batch in server.datasets[remote.identifier].tensors] == [1] * 5


def test_a_test_set_becomes_its_own_dataset_with_the_same_limit(server: FakeServer, client: TorchClient) -> None:
    remote = client.RemoteDataset(rows(100), rows(20), privacy_limit=6.0, name="digits", progress=False)
    train, test = server.datasets.values()
    assert train.message.test_id == test.message.id != remote.identifier
    assert test.header.test_of == remote.identifier
    assert test.header.name == "digits (test)"
    assert (test.message.privacy_limit_nano, test.message.delta_atto) == (6 * 10**9, ATTO // 1000)
    assert test.message.declared_samples == 20


def test_both_sets_or_none(server: FakeServer, client: TorchClient) -> None:
    def second_time(context: Any) -> None:
        server.before["UploadDataset"] = once(refuse(Kind.KIND_INVALID_ARGUMENT, "the disk is full"))

    server.before["UploadDataset"] = second_time
    with pytest.raises(errors.InvalidArgument, match="the disk is full"):
        client.RemoteDataset(rows(), rows(20), privacy_limit=6.0, progress=False)
    assert server.datasets == {}


def test_a_test_set_of_another_form_is_refused_before_anything_is_sent(server: FakeServer, client: TorchClient) -> None:
    with pytest.raises(errors.InvalidArgument, match="the test set holds input_0 float32"):
        client.RemoteDataset(rows(), rows(20, features=9), privacy_limit=6.0, progress=False)
    assert "UploadDataset" not in server.calls


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a negative limit": (dict(privacy_limit=-1.0), "privacy_limit is -1.0"),
    "no limit at all": (dict(privacy_limit=0), "privacy_limit is 0"),
    "a limit that is no number": (dict(privacy_limit=math.nan), "privacy_limit is nan"),
    "minus infinity": (dict(privacy_limit=-math.inf), "privacy_limit is -inf"),
    "a limit in words": (dict(privacy_limit="6"), "privacy_limit is '6'"),
    "True": (dict(privacy_limit=True), "privacy_limit is True"),
    "a delta of 1/n": (dict(privacy_limit=1.0, delta=0.01), "delta is 0.01"),
    "a negative delta": (dict(privacy_limit=1.0, delta=-1e-9), "delta is -1e-09"),
    "a delta that is no number": (dict(privacy_limit=1.0, delta=math.nan), "delta is nan"),
    "a delta without limit": (dict(privacy_limit=math.inf, delta=1e-5), "without a privacy_limit"),
    "fewer slots than records": (dict(privacy_limit=1.0, declared_samples=99), "declared_samples is 99"),
    "half a slot": (dict(privacy_limit=1.0, declared_samples=100.5), "declared_samples is 100.5"),
    "a name that is no text": (dict(privacy_limit=1.0, name=5), "name is a int"),
    "a description that is no text": (dict(privacy_limit=1.0, description=None), "description is a NoneType"),
    "permissions": (dict(privacy_limit=1.0, permissions={"get_model": False}), "permissions is a dict"),
    "public of another kind": (dict(privacy_limit=1.0, public={"mean": 0}), "something else than classes and ranges"),
    "public of an unknown tensor": (dict(privacy_limit=1.0, public={"ranges": {"y": (0, 1)}}), "the dataset has no 'y'"),
    "public with a range upside down": (dict(privacy_limit=1.0, public={"ranges": {"input_0": (1, 0)}}), "goes from 1 to 0"),
    "public with half a range": (dict(privacy_limit=1.0, public={"ranges": {"input_0": 1}}), "no pair of numbers"),
    "public with classes in words": (dict(privacy_limit=1.0, public={"classes": "two"}), "classes is 'two'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused_before_anything_is_sent(case: str, server: FakeServer, client: TorchClient) -> None:
    settings, words = BAD[case]
    with pytest.raises(errors.InvalidArgument, match=words) as refused:
        client.RemoteDataset(rows(), progress=False, **settings)
    assert refused.value.charged == "nothing"
    assert "UploadDataset" not in server.calls


def test_scalars_of_numpy_and_torch_are_numbers(server: FakeServer, client: TorchClient) -> None:
    numbers: dict[str, Any] = dict(privacy_limit=np.float32(6), delta=torch.tensor(2.0**-20), declared_samples=np.int64(120))
    made = client.RemoteDataset(rows(), public={"classes": np.int64(2)}, progress=False, **numbers)
    header = server.datasets[made.identifier].header
    assert (header.privacy_limit, header.delta, header.declared_samples, header.public.classes) == (6.0, 2.0**-20, 120, 2)
    limit: Any = np.int64(3)
    assert made.lower_limit(limit).limit == 3.0


def test_records_unlike_what_is_published_do_not_leave(server: FakeServer, client: TorchClient) -> None:
    x = torch.zeros(50, 3)
    x[33, 1] = 47.11
    for public, column in (({"ranges": {"input_0": (0, 1)}}, "input_0"), ({"classes": 2}, "label")):
        labels = torch.zeros(50, dtype=torch.int64)
        labels[33] = 2
        with pytest.raises(errors.InvalidArgument, match=f"item 33: {column} is outside") as refused:
            client.RemoteDataset(TensorDataset(x, labels), privacy_limit=1.0, public=public, progress=False)
        assert "47" not in str(refused.value)
    assert server.datasets == {}


def test_ignored_labels_are_of_no_class(client: TorchClient) -> None:
    labels = torch.tensor([[0, 1, -100], [1, -100, -100]])
    client.RemoteDataset(TensorDataset(torch.zeros(2, 3), labels), privacy_limit=1.0, public={"classes": 2}, progress=False)


def test_no_limit_is_said_loudly_in_development_mode() -> None:
    with FakeServer() as server, Connection("localhost", server.port) as connection:
        with pytest.warns(errors.PrivacyWarning, match="DEVELOPMENT MODE"):
            client = connection.client.torch
        with pytest.warns(errors.PrivacyWarning, match="NO PRIVACY LIMIT") as said:
            remote = client.RemoteDataset(rows(), progress=False)
        assert said[0].filename == __file__, "it points at the line that asked for it"
        assert remote.privacy_limit is None
        assert client.RemoteDataset(rows(), privacy_limit=math.inf, progress=False).privacy_limit is None


def test_no_limit_must_be_written_out_elsewhere(client: TorchClient) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"write math\.inf"):
        client.RemoteDataset(rows(), progress=False)
    assert client.RemoteDataset(rows(), privacy_limit=math.inf, progress=False).privacy_limit is None


class Large(Dataset[Any]):
    """64 MiB, made as it is read."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        return torch.full((1 << 18,), float(index)), index


def test_memory_stays_bounded(client: TorchClient, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Counted(Large):
        def __getitem__(self, index: int) -> Any:
            made.append(index)
            # numpy's memory is what tracemalloc sees.
            return np.full((1 << 18,), float(index), np.float32), index

    monkeypatch.setattr("fake_datasets.safetensors.torch.load", lambda file: {"input.input_0": [0], "label": [0]})
    tracemalloc.start()
    try:
        client.RemoteDataset(Counted(), privacy_limit=1.0, progress=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(made) == 65
    assert peak < 24 << 20


def test_an_upload_that_the_server_refuses_stops_reading(server: FakeServer, client: TorchClient) -> None:
    read: list[int] = []

    class Counted(Large):
        def __getitem__(self, index: int) -> Any:
            read.append(index)
            return super().__getitem__(index)

    server.before["UploadDataset"] = refuse(Kind.KIND_INVALID_ARGUMENT, "a dataset larger than the memory", "upload less")
    with pytest.raises(errors.InvalidArgument, match="larger than the memory"):
        client.RemoteDataset(Counted(), privacy_limit=1.0, progress=False)
    assert len(read) < 60


@pytest.mark.parametrize("stop", [RuntimeError("the owner's disk"), KeyboardInterrupt()])
def test_an_upload_that_breaks_off_leaves_nothing(stop: BaseException, server: FakeServer, client: TorchClient) -> None:
    class Breaks(Large):
        def __getitem__(self, index: int) -> Any:
            if index == 40:
                raise stop
            return super().__getitem__(index)

    with pytest.raises(type(stop)) as seen:
        client.RemoteDataset(Breaks(), privacy_limit=1.0, progress=False)
    assert seen.value is stop, "the user's own error, not one of gRPC's"
    assert server.datasets == {}
    assert client.list_remote_datasets() == [], "the connection goes on"


def test_a_ragged_item_in_the_middle_leaves_nothing(server: FakeServer, client: TorchClient) -> None:
    data: list[Any] = [(torch.zeros(4), 0)] * 500
    data[321] = (torch.zeros(5), 0)
    with pytest.raises(errors.InvalidArgument, match=r"item 321: input 'input_0' has the shape \[5\]"):
        client.RemoteDataset(data, privacy_limit=1.0, progress=False)
    assert server.datasets == {}


def test_progress(client: TorchClient, capsys: pytest.CaptureFixture[str]) -> None:
    client.RemoteDataset(rows(), privacy_limit=1.0, name="digits")
    assert "Sending digits: 100%" in capsys.readouterr().err
    client.RemoteDataset(rows(), privacy_limit=1.0, name="digits", progress=False)
    assert capsys.readouterr().err == ""


def test_lower_limit(dataset: RemoteDataset) -> None:
    budget = dataset.lower_limit(2)
    assert (budget.limit, budget.remaining, dataset.privacy_limit) == (2.0, 2.0, 2.0)
    with pytest.raises(errors.InvalidArgument, match="only be lowered"):
        dataset.lower_limit(3.0)
    for bad in (math.inf, None, -1.0, math.nan):
        with pytest.raises(errors.InvalidArgument):
            dataset.lower_limit(bad)  # type: ignore[arg-type]
    assert dataset.privacy_limit == 2.0


def test_delete(client: TorchClient, dataset: RemoteDataset) -> None:
    dataset.delete()
    assert client.list_remote_datasets() == []
    with pytest.raises(errors.NotFound):
        dataset.budget()
