"""Every test has a home of its own, so that no key of the user's is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fake_server import FakeServer
from torch.utils.data import TensorDataset

from bastionlab import Connection
from bastionlab.torch import RemoteDataset, TorchClient


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASTIONLAB_HOME", str(tmp_path / "home"))


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """Outside of development mode, so that tests of warnings hear their own."""
    with FakeServer(development=False) as server:
        yield server


@pytest.fixture
def connection(server: FakeServer) -> Iterator[Connection]:
    with Connection("localhost", server.port) as connection:
        yield connection


@pytest.fixture
def client(connection: Connection) -> TorchClient:
    return connection.client.torch


def rows(count: int = 100, features: int = 8) -> TensorDataset:
    """Records of features and one of two classes."""
    x = torch.randn(count, features, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, (x[:, 0] > 0).long())


@pytest.fixture
def dataset(client: TorchClient) -> RemoteDataset:
    return client.RemoteDataset(rows(), privacy_limit=6.0, name="digits", progress=False)
