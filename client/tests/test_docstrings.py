"""Every example in a docstring runs, against a server that holds one dataset."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import rows
from fake_server import FakeServer
from torch import nn

import bastionlab
from bastionlab import Connection, Identity

FINDER = doctest.DocTestFinder(exclude_empty=True)


def examples() -> Iterator[doctest.DocTest]:
    for found in pkgutil.walk_packages(bastionlab.__path__, "bastionlab."):
        if ".v1" not in found.name:
            module = importlib.import_module(found.name)
            yield from (test for test in FINDER.find(module, found.name) if test.examples)


ALL = {test.name: test for test in examples()}


def test_there_are_examples() -> None:
    assert len(ALL) > 8


@pytest.mark.parametrize("name", ALL)
def test_example(name: str, server: FakeServer, connection: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    client = connection.client
    dataset = client.torch.RemoteDataset(rows(), privacy_limit=6.0, name="digits", progress=False)
    model = nn.Linear(8, 2)
    learner = client.torch.RemoteLearner(model, dataset, "cross_entropy", 4, progress=False)
    scope: dict[str, Any] = dict(
        client=client, learner=learner, model=model, port=server.port, Connection=Connection, Identity=Identity
    )
    test = ALL[name]
    test.globs = {**test.globs, **scope}
    said: list[str] = []
    failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append, clear_globs=False).failed
    assert not failed, "".join(said)
