"""Makes the data directory of an earlier release that tests/test_upgrade.py starts this one on.

Run it with the earlier release's two programs and client:

    git archive RELEASE | tar x -C DIR          # and build server, trainer and protocol there
    PYTHONPATH=DIR/client/src:tests python tests/data/upgrade/make.py DIR/bin NAME

It writes NAME.tar.xz beside this file: `data`, the directory as a server left it that was told to stop, `home`, the keys of its
people, and `told.json`, what its owner was told. The keys in it are of no other use."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path
from typing import Any

import small
from server_process import ServerProcess

from bastionlab import Connection, Identity
from bastionlab.errors import BudgetExceeded
from bastionlab.torch import SGD, Grant, Permissions

HERE = Path(__file__).resolve().parent


def learner(client: Any, dataset: Any) -> Any:
    return client.RemoteLearner(
        small.linear(), dataset, loss="cross_entropy", max_batch_size=50, optimizer=SGD(lr=0.1), progress=False
    )


def told(owner: Any, dataset: Any) -> dict[str, Any]:
    budget = dataset.budget()
    return {
        "dataset": dataset.identifier,
        "limit": budget.limit,
        "spent": budget.spent,
        "remaining": budget.remaining,
        "receipts": [json.loads(json.dumps(each.to_dict())) for each in dataset.receipts()],
        "runs": [[run.id, run.status] for run in owner.runs()],
        "audit": [[line.action, line.allowed] for line in owner.audit()],
    }


def main() -> None:
    programs, name = Path(sys.argv[1]), sys.argv[2]
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        os.environ["BASTIONLAB_HOME"] = str(here / "home")
        server = ServerProcess(
            data_dir=here / "data",
            log_file=here / "log",
            program=programs / "bastionlab",
            trainer=programs / "bastionlab-trainer",
        ).start()
        keys = {who: Identity.create(who) for who in ("owner", "scientist")}
        for who, key in keys.items():
            (here / f"{who}.pub").write_text(str(key.public_key))
            subprocess.run(
                [server.program, "user", "add", "--role", who, "--name", who, here / f"{who}.pub", "--data-dir", server.data_dir],
                check=True,
            )
        owner = Connection("localhost", server.port, identity=keys["owner"]).client.torch
        scientist = Connection("localhost", server.port, identity=keys["scientist"]).client.torch
        grant = Permissions({str(keys["scientist"].public_key): Grant(train=True, test=True, take_home=True, eps=4.0)})
        dataset = owner.RemoteDataset(
            small.dataset(), small.dataset(100, seed=1), privacy_limit=6.0, name="kept", permissions=grant, progress=False
        )
        gone = owner.RemoteDataset(small.dataset(seed=2), privacy_limit=6.0, name="gone", progress=False)
        gone.delete()
        remote = next(each for each in scientist.list_remote_datasets() if each.name == "kept")
        trained = learner(scientist, remote)
        run = trained.fit(nb_epochs=2, eps=1.5, batch_size=50)
        trained.test(eps=0.5)
        with contextlib.suppress(BudgetExceeded):
            learner(scientist, remote).fit(nb_epochs=1, eps=5.0, batch_size=50)
        dataset.lower_limit(5.0)
        weights = trained.get_model().state_dict()
        found = told(owner, dataset)
        found["run"] = run.id
        found["weights"] = {key: value.tolist() for key, value in weights.items()}
        assert server.stop() == 0
        (here / "told.json").write_text(json.dumps(found, indent=1))
        with tarfile.open(HERE / f"{name}.tar.xz", "w:xz") as archive:
            for part in ("data", "home", "told.json"):
                archive.add(here / part, part, filter=lambda entry: entry if entry.isreg() or entry.isdir() else None)
    print(HERE / f"{name}.tar.xz", (HERE / f"{name}.tar.xz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
