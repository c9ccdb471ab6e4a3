"""What the server signed can be checked by anybody, and what it forgot is noticed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small
import torch
from server_process import SERVER, ServerProcess
from torch.utils.data import TensorDataset

import bastionlab
from bastionlab import Connection, errors
from bastionlab.torch import SGD

Connect = Callable[..., Connection]

pytestmark = [
    pytest.mark.filterwarnings("ignore:DEVELOPMENT MODE:UserWarning"),
    pytest.mark.filterwarnings("ignore:the evidence of the server at:UserWarning"),
    pytest.mark.filterwarnings("ignore:the learning rate times:UserWarning"),
]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SERVER, *map(str, arguments)], capture_output=True, text=True, check=False)


def train(client: Any, eps: float) -> Any:
    remote = client.list_remote_datasets()[0]
    learner = client.RemoteLearner(
        small.linear(), remote, loss="cross_entropy", max_batch_size=50, optimizer=SGD(lr=0.1), progress=False
    )
    return learner.fit(nb_epochs=2, eps=eps, batch_size=50)


def test_both_programs_verify_what_owner_and_scientist_got(server: ServerProcess, connect: Connect, tmp_path: Path) -> None:
    owner, scientist = connect(server, "owner"), connect(server, "scientist")
    owner.client.torch.RemoteDataset(small.dataset(), privacy_limit=6.0, name="d", progress=False)
    run = train(scientist.client.torch, 2.0)
    dataset = owner.client.torch.list_remote_datasets()[0]
    dataset.lower_limit(5.0)
    receipts = dataset.receipts()
    assert [each.type for each in receipts] == ["open", "reserve", "data", "settle", "limit"]
    assert [each.type for each in run.receipts] == ["reserve", "data", "settle"]
    book = tmp_path / "book.jsonl"
    book.write_text("".join(json.dumps(each.to_dict()) + "\n" for each in receipts))
    key = receipts[0].key
    assert len(bastionlab.verify_receipt(book, key=key)) == 5
    verified = command("verify", "receipt", book, "--key", key, "--json")
    assert verified.returncode == 0, verified.stderr
    assert [each["type"] for each in json.loads(verified.stdout)] == [each.type for each in receipts]
    # One byte of a body, and neither believes it.
    changed = book.read_text().replace('\\"spent\\":2000000000', '\\"spent\\":1000000000', 1)
    assert changed != book.read_text()
    book.write_text(changed)
    assert command("verify", "receipt", book).returncode == 6
    with pytest.raises(errors.AttestationError) as refused:
        bastionlab.verify_receipt(book)
    assert refused.value.check == "signature"
    # The books themselves, while the server runs.
    checked = command("ledger", "fsck", "--data-dir", server.data_dir)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "everything holds" in checked.stdout
    assert command("ledger", "show", "--data-dir", server.data_dir).stdout.count("\n") == 6


def test_a_server_whose_directory_was_put_back_is_found_out_by_the_next_client(
    server: ServerProcess, connect: Connect, tmp_path: Path
) -> None:
    with connect(server) as connection:
        connection.client.torch.RemoteDataset(small.dataset(), privacy_limit=6.0, name="d", progress=False)
        train(connection.client.torch, 1.0)
    server.stop()
    yesterday = tmp_path / "yesterday"
    shutil.copytree(server.data_dir, yesterday, ignore=shutil.ignore_patterns("*.sock"))
    server.start()
    with connect(server) as connection:
        train(connection.client.torch, 2.0)
    server.stop()
    today = tmp_path / "today"
    server.data_dir.rename(today)
    yesterday.rename(server.data_dir)
    server.start()
    with connect(server) as connection:
        with pytest.warns(errors.PrivacyWarning, match="no longer holds receipt 7"):
            dataset = connection.client.torch.list_remote_datasets()[0]
        for ask in (dataset.budget, lambda: train(connection.client.torch, 0.5)):
            with pytest.raises(errors.AttestationError) as refused:
                ask()
            assert refused.value.check == "ledger"
            assert "newest copy" in refused.value.next
    # Whoever has no receipts is refused too: the account is frozen.
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setenv("BASTIONLAB_HOME", str(tmp_path / "elsewhere"))
        with connect(server, "stranger") as connection:
            assert "older copy" in connection.client.torch.list_remote_datasets()[0].budget().frozen
            with pytest.raises(errors.AttestationError, match="frozen"):
                train(connection.client.torch, 0.5)
    # The newest copy is put back, and all is well.
    server.stop()
    shutil.rmtree(server.data_dir)
    today.rename(server.data_dir)
    server.start()
    with connect(server) as connection:
        budget = connection.client.torch.list_remote_datasets()[0].budget()
        assert (budget.frozen, [run.epsilon for run in budget.runs]) == ("", [1.0, 2.0])
        train(connection.client.torch, 0.5)


def test_the_same_records_again_draw_on_their_account(server: ServerProcess, connect: Connect) -> None:
    x, y = small.dataset(400).tensors
    with connect(server) as connection, connect(server, "rival") as rival:
        client = connection.client.torch
        first = client.RemoteDataset(TensorDataset(x[:300], y[:300]), TensorDataset(x[300:], y[300:]), privacy_limit=6.0,
                                     name="first", progress=False)  # fmt: skip
        train(client, 2.0)
        first.lower_limit(5.0)
        first.delete()
        order = torch.randperm(300, generator=torch.Generator().manual_seed(3))[1:]  # permuted, and one dropped
        again = TensorDataset(x[order].double(), y[order].int())
        held_out = TensorDataset(x[300:].double(), y[300:].int())
        with pytest.warns(errors.PrivacyWarning, match="2 of a limit of 5 is spent already"):
            second = client.RemoteDataset(again, held_out, privacy_limit=6.0, name="again", progress=False)
        budget = second.budget()
        assert (budget.limit, budget.spent, budget.remaining) == (5.0, 2.0, 3.0)
        assert budget.datasets == (first.identifier, second.identifier)
        assert second.test_dataset.budget().datasets[0] == first._message.test_id
        assert second.test_dataset.budget().spent == 0.0
        # Somebody else's upload of the same records gets an account of its own, and learns nothing.
        others = rival.client.torch.RemoteDataset(again, privacy_limit=6.0, name="other", progress=False)
        assert (others.budget().spent, others.budget().limit) == (0.0, 6.0)
