"""After a restart of a server whose keys end with it, the same records get what its close leaves, once; else nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from conftest import rows
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fake_closings import in_memory, start_anew, stop_in_order
from fake_refusals import Kind, once, refuse
from fake_server import FakeServer
from receipt_writer import sign
from torch import nn
from torch.utils.data import TensorDataset

from bastionlab import Connection, errors
from bastionlab._receipt_book import ReceiptBook, book_directory
from bastionlab._uploads import exclusively, notes_directory, notes_of
from bastionlab.torch import RemoteDataset, TorchClient
from bastionlab.v1 import ledger_pb2

Connect = Callable[[], TorchClient]

# Each start of a server that forgets is told; which tests look for it say so.
pytestmark = [
    pytest.mark.filterwarnings("ignore::bastionlab.errors.PrivacyWarning"),
    pytest.mark.filterwarnings("ignore:storage level of the server:UserWarning"),
]


@pytest.fixture(autouse=True)
def _in_memory(server: FakeServer) -> None:
    in_memory(server)


@pytest.fixture
def connect(server: FakeServer) -> Iterator[Connect]:
    opened: list[Connection] = []

    def new() -> TorchClient:
        opened.append(Connection("localhost", server.port))
        return opened[-1].client.torch

    yield new
    for connection in opened:
        connection.close()


def send(client: TorchClient, data: Any = None, limit: float | None = 6.0, **options: Any) -> RemoteDataset:
    return client.RemoteDataset(rows() if data is None else data, privacy_limit=limit, name="digits", progress=False, **options)


def spend(client: TorchClient, dataset: RemoteDataset, eps: float = 2.0) -> None:
    client.RemoteLearner(nn.Linear(8, 2), dataset, "cross_entropy", 4, progress=False).fit(1, eps)


def restart(server: FakeServer) -> list[ledger_pb2.Receipt]:
    """In order; what the server closed."""
    closings = stop_in_order(server)
    start_anew(server, closings)
    return closings


def refused(client: TorchClient, server: FakeServer, data: Any = None) -> errors.BudgetExceeded:
    before = server.calls.count("UploadDataset")
    with pytest.raises(errors.BudgetExceeded) as raised:
        send(client, data)
    assert server.calls.count("UploadDataset") == before, "something was sent"
    return raised.value


def test_after_an_orderly_stop_what_was_spent_is_deducted(server: FakeServer, connect: Connect) -> None:
    client = connect()
    first = send(client)
    spend(client, first)
    delta = server.ledger.bodies(first.identifier)[-1]["after"]
    restart(server)
    client = connect()
    with pytest.warns(errors.PrivacyWarning, match=rf"account {first.identifier}.*a limit of 6; 2 was spent.*a limit of 4"):
        again = send(client)
    assert again.privacy_limit == 4.0
    assert server.datasets[again.identifier].message.delta_atto == delta["delta"] - delta["spent_delta"]


def test_without_a_close_an_old_account_is_wholly_spent(server: FakeServer, connect: Connect) -> None:
    first = send(connect())
    start_anew(server, [])
    error = refused(connect(), server)
    assert first.identifier in error.what
    assert "wholly spent" in error.what
    assert error.remaining == 0.0


def shuffled(x: torch.Tensor, y: torch.Tensor) -> TensorDataset:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(5))
    return TensorDataset(x[order], y[order])


SAME: dict[str, Callable[[torch.Tensor, torch.Tensor], TensorDataset]] = {
    "permuted": shuffled,
    "one row dropped": lambda x, y: TensorDataset(x[1:], y[1:]),
    "a wider dtype": lambda x, y: TensorDataset(x.double(), y),
    "half of them, and others": lambda x, y: TensorDataset(torch.cat([x[:50], x[:50] + 1]), y),
}


@pytest.mark.parametrize("change", SAME)
@pytest.mark.parametrize("killed", [True, False])
def test_the_same_records_are_known_again(server: FakeServer, connect: Connect, change: str, killed: bool) -> None:
    spend(client := connect(), send(client))
    changed = SAME[change](*rows().tensors)
    if killed:
        start_anew(server, [])
        refused(connect(), server, changed)
    else:
        restart(server)
        assert send(connect(), changed).privacy_limit == 4.0


def test_other_records_begin_anew(server: FakeServer, connect: Connect) -> None:
    send(connect())
    start_anew(server, [])
    x, y = rows().tensors
    assert send(connect(), TensorDataset(x + 1, y)).privacy_limit == 6.0


def test_a_close_is_good_once(server: FakeServer, connect: Connect) -> None:
    """The same close is handed on to the second start and to the third; what it left went to the second's account."""
    spend(client := connect(), send(client))
    closings = restart(server)
    send(connect())
    start_anew(server, closings)
    error = refused(connect(), server)
    assert "wholly spent" in error.what


def test_half_of_the_records_do_not_get_the_remainder_twice(server: FakeServer, connect: Connect) -> None:
    x, y = rows().tensors
    spend(client := connect(), send(client))
    restart(server)
    send(connect(), TensorDataset(x[:50], y[:50]))
    assert "went to another upload" in refused(connect(), server, TensorDataset(x[50:], y[50:])).what


def test_what_is_left_goes_from_start_to_start(server: FakeServer, connect: Connect) -> None:
    spend(client := connect(), send(client))
    closings = restart(server)
    spend(client := connect(), send(client), 3.0)
    start_anew(server, stop_in_order(server) + closings)
    assert send(connect()).privacy_limit == 1.0


def test_nothing_is_left_of_an_account_that_was_spent(server: FakeServer, connect: Connect) -> None:
    spend(client := connect(), send(client), 6.0)
    restart(server)
    assert "nothing is left of their limit of 6" in refused(connect(), server).what


def test_less_may_be_asked_for_and_no_limit_is_more_than_any(server: FakeServer, connect: Connect) -> None:
    spend(client := connect(), send(client))
    restart(server)
    assert send(connect(), limit=3.0, delta=1e-6).privacy_limit == 3.0
    restart(server)
    server.development = True  # where there may be datasets without a limit
    assert send(connect(), limit=None).privacy_limit == 3.0


def forged(closings: list[ledger_pb2.Receipt], key: Ed25519PrivateKey, named: bytes | None = None) -> list[ledger_pb2.Receipt]:
    """Closes that tell that nothing was spent."""
    found = []
    for closing in closings:
        body = json.loads(closing.body)
        body["after"] |= {"spent": 0, "spent_delta": 0}
        text = json.dumps(body, separators=(",", ":"))
        public = key.public_key().public_bytes_raw() if named is None else named
        found.append(ledger_pb2.Receipt(body=text.encode(), signature=sign(key, text), key=public))
    return found


@pytest.mark.parametrize(
    "signer", ["the server that is there now", "somebody, in the name of the old one", "the old one, for less"]
)
def test_a_close_counts_only_under_the_key_of_the_time(server: FakeServer, connect: Connect, signer: str) -> None:
    spend(client := connect(), send(client))
    old = server.ledger.key
    closings = stop_in_order(server)
    start_anew(server, [])
    key, named = {
        "the server that is there now": (server.ledger.key, None),
        "somebody, in the name of the old one": (Ed25519PrivateKey.generate(), old.public_key().public_bytes_raw()),
        # It has two stories of one account then: what the book holds says that 2 was spent.
        "the old one, for less": (old, None),
    }[signer]
    server.ledger.closings = forged(closings, key, named)
    assert "wholly spent" in refused(connect(), server).what
    # What is not the old server's word is in no book either.
    kept = [book for book in book_directory().glob("*.jsonl") if b'\\"type\\":\\"close\\"' in book.read_bytes()]
    assert [book.stem for book in kept] == ([old.public_key().public_bytes_raw().hex()] if key is old else [])


def test_a_close_is_kept_in_the_book_of_its_key(server: FakeServer, connect: Connect) -> None:
    """The server's folder of old ledgers may be lost by the time of the next upload."""
    spend(client := connect(), send(client))
    key = server.ledger.public.hex()
    closings = restart(server)
    connect()
    assert closings[0].body.decode() in [each.body for each in ReceiptBook(key).all()]
    server.ledger.closings = []
    calls = server.calls.count("ListClosings")
    assert send(connect()).privacy_limit == 4.0
    assert server.calls.count("ListClosings") == calls, "nothing was missing"


def test_the_remainder_is_given_away_before_anything_is_sent(server: FakeServer, connect: Connect) -> None:
    """A crash in between: whether the upload arrived is not known, and when that server is gone too, nothing is left."""
    spend(client := connect(), send(client))
    closings = restart(server)
    client = connect()
    server.before["UploadDataset"] = once(crash)
    with pytest.raises(errors.ServerUnavailable):
        send(client)
    start_anew(server, closings)
    assert "not known whether that upload arrived" in refused(connect(), server).what


def test_an_upload_that_was_lost_may_be_sent_again_as_long_as_its_server_is_there(server: FakeServer, connect: Connect) -> None:
    spend(client := connect(), send(client))
    restart(server)
    client = connect()
    server.before["UploadDataset"] = once(crash)
    with pytest.raises(errors.ServerUnavailable):
        send(client)
    assert send(client).privacy_limit == 4.0


def test_an_attempt_that_was_lost_does_not_count_once_the_same_records_have_arrived(server: FakeServer, connect: Connect) -> None:
    spend(client := connect(), send(client))
    restart(server)
    client = connect()
    server.before["UploadDataset"] = once(crash)
    with pytest.raises(errors.ServerUnavailable):
        send(client)
    spend(client, send(client), 1.0)
    restart(server)
    assert send(connect()).privacy_limit == 3.0


def test_a_server_that_signs_nothing_gets_no_old_records(server: FakeServer, connect: Connect) -> None:
    send(connect())
    start_anew(server, [])
    server.ledger.signs, server.ledger.level = False, "file"
    server.restart()
    refused(connect(), server)


def test_two_uploads_at_once_do_not_both_get_what_is_left(server: FakeServer, connect: Connect) -> None:
    spend(client := connect(), send(client))
    restart(server)
    client = connect()
    found: list[float | None] = []
    uploading = threading.Thread(target=lambda: found.append(send(client).privacy_limit))
    with exclusively():
        uploading.start()
        uploading.join(0.5)
        assert uploading.is_alive(), "it has decided while another one does"
    uploading.join()
    assert found == [4.0]


def crash(context: grpc.ServicerContext) -> None:
    # With words of the server's own, or the client would go on with the upload.
    refuse(Kind.KIND_UNAVAILABLE, "the server stops")(context)


def test_an_upload_that_the_server_refused_is_forgotten(server: FakeServer, connect: Connect) -> None:
    client = connect()
    server.before["UploadDataset"] = once(refuse(Kind.KIND_INVALID_ARGUMENT, "too many datasets", "delete one"))
    with pytest.raises(errors.InvalidArgument):
        send(client, limit=1.0)
    assert list(notes_directory().glob("*.json")) == []
    start_anew(server, [])
    assert send(connect()).privacy_limit == 6.0


def test_the_remainder_of_a_refused_upload_stays_with_it(server: FakeServer, connect: Connect) -> None:
    spend(client := connect(), send(client))
    restart(server)
    client = connect()
    server.before["UploadDataset"] = once(refuse(Kind.KIND_INVALID_ARGUMENT, "no", "ask"))
    with pytest.raises(errors.InvalidArgument):
        send(client)
    assert send(client, limit=5.0).privacy_limit == 4.0


def test_a_test_set_has_an_account_of_its_own_and_both_get_the_smaller_limit(server: FakeServer, connect: Connect) -> None:
    x, y = rows().tensors
    both = TensorDataset(x[:60], y[:60]), TensorDataset(x[60:], y[60:])
    client = connect()
    first = send(client, both[0], test_dataset=both[1])
    spend(client, first, 1.0)
    restart(server)
    client = connect()
    again = send(client, both[0], test_dataset=both[1])
    assert again.privacy_limit == 5.0
    assert server.datasets[again._message.test_id].message.privacy_limit_nano == 5 * 10**9
    assert {bool(note.account) for note in notes_of(client._session.user)} == {True}


def test_joined_accounts_are_closed_in_the_one_that_continues_them(server: FakeServer, connect: Connect) -> None:
    from bastionlab.v1 import dataset_pb2

    client = connect()
    first = send(client)
    spend(client, first)
    server.lineages = [dataset_pb2.Lineage(joined=[first.identifier])]
    with pytest.warns(errors.PrivacyWarning, match="were uploaded before"):
        send(client)
    restart(server)
    assert send(connect()).privacy_limit == 4.0


def test_a_restart_is_told_once_and_the_new_key_is_known_from_then_on(server: FakeServer, connect: Connect) -> None:
    send(connect())
    restart(server)
    with pytest.warns(errors.PrivacyWarning, match="was started anew"):
        connect().runs()
    with pytest.warns(errors.BastionLabWarning) as told:
        connect().runs()
    assert not any("anew" in str(each.message) or "another one than before" in str(each.message) for each in told)


def test_a_server_that_keeps_its_keys_gets_no_notes(server: FakeServer, connect: Connect) -> None:
    server.ledger.level = "file"
    send(connect())
    assert not notes_directory().exists()


@pytest.mark.parametrize("content", ["", "{", '{"version": 1}', '{"version": 2}', "[]"])
def test_a_damaged_note_stops_uploads_and_nothing_else(server: FakeServer, connect: Connect, content: str) -> None:
    send(connect())
    (note,) = notes_directory().glob("*.json")
    note.write_text(content)
    start_anew(server, [])
    client = connect()
    assert client.list_remote_datasets() == []
    with pytest.raises(errors.InvalidArgument, match="damaged"):
        send(client)


def test_a_sketch_that_is_cut_stops_uploads(server: FakeServer, connect: Connect) -> None:
    send(connect())
    (sketch,) = notes_directory().glob("*.sketch")
    sketch.write_bytes(sketch.read_bytes()[:-3])
    with pytest.raises(errors.InvalidArgument, match="damaged"):
        send(connect())


def test_notes_are_their_owners_only(server: FakeServer, connect: Connect) -> None:
    send(connect())
    for path in Path(notes_directory()).iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
