"""Owner and scientist, at a server in a container."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import small  # noqa: E402
from test_readme import MADE, snippet  # noqa: E402

from bastionlab import Connection  # noqa: E402
from bastionlab.errors import BastionLabError  # noqa: E402
from bastionlab.torch import SGD  # noqa: E402

RUN_SECONDS = 120


@dataclass
class People:
    home: Path
    port: int

    def be(self, who: str) -> None:
        os.environ["BASTIONLAB_HOME"] = str(self.home / who)

    def walk_through(self) -> None:
        """The README's, but for the port."""
        here = f'Connection("localhost", {self.port})'
        self.be("owner")
        exec(snippet("owner").replace('Connection("localhost")', here), {"train_dataset": MADE["messages"]()})
        self.be("scientist")
        scope: dict[str, Any] = {"model": MADE["TinyEncoder"]()}
        exec(snippet("scientist").replace('Connection("localhost")', here), scope)
        assert scope["trained_model"] is scope["model"]

    def expect_spent(self, spent: dict[str, float]) -> None:
        """What is spent, by the names of the datasets; the limit of each is 6."""
        with Connection("localhost", self.port) as connection:
            budgets = {dataset.name: dataset.budget() for dataset in connection.client.torch.list_remote_datasets()}
        assert {name: budget.spent for name, budget in budgets.items()} == spent, budgets
        assert all(budget.remaining == 6.0 - budget.spent for budget in budgets.values()), budgets

    def upload(self, name: str) -> None:
        self.be("owner")
        with Connection("localhost", self.port) as connection:
            connection.client.torch.RemoteDataset(small.dataset(), privacy_limit=6.0, name=name, progress=False)

    def start_a_long_run(self) -> str:
        """On the newest dataset, with eps = 1; returns when it trains."""
        self.be("scientist")
        client = Connection("localhost", self.port).client.torch
        learner = client.RemoteLearner(
            small.Slow(),
            client.list_remote_datasets()[0],
            max_batch_size=8,
            loss="cross_entropy",
            optimizer=SGD(lr=0.1),
            progress=False,
        )

        def fit_until_the_server_ends() -> None:
            with contextlib.suppress(BastionLabError):
                learner.fit(nb_epochs=4, eps=1.0)

        threading.Thread(target=fit_until_the_server_ends, daemon=True).start()
        deadline = time.monotonic() + RUN_SECONDS
        while not (running := [run for run in client.runs() if run.status == "running"]):
            assert time.monotonic() < deadline, "the run does not start"
            time.sleep(0.1)
        time.sleep(1)  # into its steps
        return running[0].id

    def status_of(self, run: str) -> str:
        with Connection("localhost", self.port) as connection:
            return str(connection.client.torch.run(run).status)
