"""Bad input gets a typed error that says what to do, and costs nothing."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small
import torch
from server_process import ServerProcess
from torch import nn

from bastionlab import Connection, errors
from bastionlab.torch import SGD


@pytest.fixture
def client(server: ServerProcess, connect: Callable[..., Connection]) -> Iterator[Any]:
    with connect(server) as connection:
        client = connection.client.torch
        client.RemoteDataset(small.dataset(), privacy_limit=6.0, name="d", progress=False)
        yield client
        assert client.list_remote_datasets()[-1].budget().spent == 0.0, "a refusal costs nothing"


def learner(client: Any, model: nn.Module | None = None, loss: str = "cross_entropy", **settings: Any) -> Any:
    settings = {"max_batch_size": 8, "optimizer": SGD(lr=0.1), "metrics": False, "progress": False} | settings
    return client.RemoteLearner(model or small.linear(), client.list_remote_datasets()[-1], loss=loss, **settings)


def here(client: Any, metric: str, **settings: Any) -> Any:
    """Tests on the training set itself."""
    return learner(client).test(client.list_remote_datasets()[-1], metric, **settings)


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(small.FEATURES, 4), nn.BatchNorm1d(4), nn.Linear(4, small.CLASSES))


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(small.FEATURES, small.CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            return self.head(x)
        return -self.head(x)


def ragged() -> list[tuple[torch.Tensor, int]]:
    return [(torch.zeros(4), 0), (torch.zeros(4), 1), (torch.zeros(5), 0)]


CASES: dict[str, tuple[Callable[[Any], object], type[errors.BastionLabError], str]] = {
    "eps is not a number": (lambda c: learner(c).fit(1, eps=float("nan")), errors.InvalidArgument, "eps"),
    "eps is negative": (lambda c: learner(c).fit(1, eps=-1.0), errors.InvalidArgument, "eps"),
    "eps is missing on a limited dataset": (lambda c: learner(c).fit(1), errors.InvalidArgument, "eps"),
    "eps passes the limit": (lambda c: learner(c).fit(1, eps=6.1), errors.BudgetExceeded, "6"),
    "delta is larger than the run's share": (lambda c: learner(c).plan(1, 2.0, delta=0.5), errors.InvalidArgument, "delta"),
    "the limit is negative": (
        lambda c: c.RemoteDataset(small.dataset(), privacy_limit=-1.0, progress=False),
        errors.InvalidArgument,
        "privacy_limit",
    ),
    "the limit is not a number": (
        lambda c: c.RemoteDataset(small.dataset(), privacy_limit=float("nan"), progress=False),
        errors.InvalidArgument,
        "privacy_limit",
    ),
    "a ragged item": (lambda c: c.RemoteDataset(ragged(), privacy_limit=6.0, progress=False), errors.InvalidArgument, "2"),
    "a label of a wrong type": (
        lambda c: c.RemoteDataset([(torch.zeros(4), "spam")], privacy_limit=6.0, progress=False),
        errors.InvalidArgument,
        "label",
    ),
    "labels that do not fit the loss": (lambda c: learner(c, loss="l2").check(), errors.InvalidArgument, "label"),
    "an unknown loss": (lambda c: learner(c, loss="hinge").check(), errors.InvalidArgument, "hinge"),
    "an unknown run": (lambda c: c.run("0" * 32), errors.NotFound, "run"),
    "batch norm in training mode": (lambda c: learner(c, batch_norm()).fit(1, eps=1.0), errors.IncompatibleModel, "batch_norm"),
    "data-dependent control flow": (
        lambda c: learner(c, torch.jit.script(Branch())).fit(1, eps=1.0),
        errors.IncompatibleModel,
        "control flow",
    ),
    "a model that does not fit the schema": (
        lambda c: learner(c, nn.Linear(5, 3)).check(),
        errors.IncompatibleModel,
        "forward failed on inputs made from the schema",
    ),
    "test() without a test set": (lambda c: learner(c).test(eps=1.0), errors.NotFound, "no test set was uploaded"),
    "test() without eps": (lambda c: here(c, "accuracy"), errors.InvalidArgument, "eps is missing"),
    "test() passes the limit": (lambda c: here(c, "accuracy", eps=6.1), errors.BudgetExceeded, "a run of eps 6 or less would fit"),
    "test() of an unknown metric": (lambda c: here(c, "f1", eps=1.0), errors.InvalidArgument, "f1"),
    "test() of a loss that the label does not fit": (lambda c: here(c, "l2", eps=1.0), errors.InvalidArgument, "label is i64"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused_by_name(name: str, client: Any) -> None:
    attempt, kind, words = CASES[name]
    with pytest.raises(kind) as refused:
        attempt(client)
    assert words in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_an_unknown_dataset_is_not_found(client: Any) -> None:
    remote = client.RemoteDataset(small.dataset(20), privacy_limit=1.0, name="gone", progress=False)
    late = learner(client)
    remote.delete()
    late_learner = client.RemoteLearner(small.linear(), remote, max_batch_size=8, loss="cross_entropy", progress=False)
    with pytest.raises(errors.NotFound):
        late_learner.check()
    assert late.check() is not None


def hostile_archives() -> dict[str, bytes]:
    """Archives no client of ours would send."""
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (64 << 20))
    escape = io.BytesIO()
    with zipfile.ZipFile(escape, "w") as archive:
        archive.writestr("../../etc/passwd", b"x")
    good = io.BytesIO()
    torch.jit.save(torch.jit.script(small.linear()), good)
    return {
        "nothing": b"",
        "no zip": b"PK\x03\x04" + b"\xff" * 500,
        "an empty zip": empty.getvalue(),
        "a bomb": bomb.getvalue(),
        "an escaping name": escape.getvalue(),
        "half an archive": good.getvalue()[: len(good.getvalue()) // 2],
        "flipped bytes": good.getvalue()[:200] + b"\xff" * 64 + good.getvalue()[264:],
    }


@pytest.mark.parametrize("name", hostile_archives())
def test_hostile_archives_are_refused(name: str, client: Any, tmp_path: Path) -> None:
    from bastionlab.torch._archive import ModelUpload

    archive = tmp_path / "model.pt"
    archive.write_bytes(hostile_archives()[name])
    dataset = client.list_remote_datasets()[-1]
    upload = ModelUpload("hostile", "", dataset.identifier, "cross_entropy")
    with pytest.raises((errors.IncompatibleModel, errors.InvalidArgument)):
        upload.send(client._session, archive, progress=False)
    assert learner(client).check() is not None, "the server goes on"


def truncated(parts: list[Any]) -> list[Any]:
    return parts[:-1]


def wrong_batch_digest(parts: list[Any]) -> list[Any]:
    parts[1].batch.sha256 = bytes(32)
    return parts


def wrong_trailer_digest(parts: list[Any]) -> list[Any]:
    parts[-1].trailer.sha256 = bytes(32)
    return parts


def missing_batch(parts: list[Any]) -> list[Any]:
    return [parts[0], parts[-1]]


@pytest.mark.parametrize("spoil", [truncated, wrong_batch_digest, wrong_trailer_digest, missing_batch])
def test_a_spoilt_upload_leaves_nothing(spoil: Callable[[list[Any]], list[Any]], client: Any, server: ServerProcess) -> None:
    from bastionlab.torch import _upload

    before = sorted(path.name for path in server.data_dir.rglob("*") if path.parent.name != "keys")
    original = _upload.Stream.parts
    try:
        _upload.Stream.parts = lambda self, after: iter(spoil(list(original(self, after))))  # type: ignore[method-assign]
        with pytest.raises(errors.InvalidArgument):
            client.RemoteDataset(small.dataset(50), privacy_limit=6.0, name="spoilt", progress=False)
    finally:
        _upload.Stream.parts = original  # type: ignore[method-assign]
    assert [d.name for d in client.list_remote_datasets()] == ["d"]
    assert sorted(path.name for path in server.data_dir.rglob("*") if path.parent.name != "keys") == before
