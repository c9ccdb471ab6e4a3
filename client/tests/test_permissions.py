"""Who may do what, as owners write it and others read it; and what was done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import rows
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fake_refusals import Kind, refuse
from fake_server import FakeServer
from fake_service import NANO
from torch.utils.data import Subset

from bastionlab import Connection, Identity, PublicKey, errors
from bastionlab.torch import Grant, Permissions, RemoteDataset, TorchClient
from bastionlab.torch._permissions import user_of
from bastionlab.v1 import audit_pb2, dataset_pb2, user_pb2

ALICE, BOB = "a1" * 32, "b0" * 32


@pytest.fixture
def alice() -> Identity:
    return Identity.create("alice")


@pytest.fixture
def theirs(server: FakeServer, alice: Identity, dataset: RemoteDataset) -> Iterator[TorchClient]:
    with Connection("localhost", server.port, identity=alice) as connection:
        yield connection.client.torch


def test_everybody_who_can_be_named(alice: Identity) -> None:
    user = alice.public_key.user
    assert {user_of(who) for who in (alice, alice.public_key, alice.public_key.pem, user)} == {user}
    p256 = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der, pem = (p256.public_bytes(each, form) for each in (serialization.Encoding.DER, serialization.Encoding.PEM))
    assert user_of(pem.decode()) == PublicKey(der).user


@pytest.mark.parametrize(
    "who",
    ["", "alice", ALICE.upper(), ALICE[:-1], b"x" * 32, None, 7, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"],
)
def test_who_cannot_be_named(who: Any, server: FakeServer, dataset: RemoteDataset) -> None:
    for attempt in (lambda: Permissions({who: Grant()}), lambda: dataset.grant(who), lambda: dataset.revoke(who)):
        with pytest.raises(errors.InvalidArgument) as refused:
            attempt()
        assert "client.user" in refused.value.next
    assert "GrantAccess" not in server.calls


BAD: dict[str, tuple[Any, str]] = {
    "no grant": (lambda: Permissions({ALICE: True}), "a grant is a bool"),  # type: ignore[dict-item]
    "no dict": (lambda: Permissions([ALICE]), "grants is a list"),  # type: ignore[arg-type]
    "one user twice": (lambda: Permissions({PublicKey(b"x"): Grant(), PublicKey(b"x").user: Grant()}), "two grants"),
    "a limit for everybody": (lambda: Permissions(everybody=Grant(eps=1.0)), "everybody has a limit"),
    "everybody in words": (lambda: Permissions(everybody="yes"), "a grant is a str"),  # type: ignore[arg-type]
    "constant time in words": (lambda: Permissions(constant_time="yes"), "constant_time is 'yes'"),  # type: ignore[arg-type]
    "a GPU in words": (lambda: Permissions(gpu="yes"), "gpu is 'yes'"),  # type: ignore[arg-type]
    "train in numbers": (lambda: Grant(train=1), "train is 1"),  # type: ignore[arg-type]
    "no eps at all": (lambda: Grant(eps=0), "eps is 0"),
    "less than can be counted": (lambda: Grant(eps=1e-10), "eps is 1e-10"),
    "eps without end": (lambda: Grant(eps=float("inf")), "eps is inf"),
    "eps in words": (lambda: Grant(eps="2"), "eps is '2'"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", BAD)
def test_what_makes_no_sense(case: str) -> None:
    make, words = BAD[case]
    with pytest.raises(errors.InvalidArgument, match=words):
        make()


def test_they_travel_with_the_upload(server: FakeServer, client: TorchClient, alice: Identity) -> None:
    permissions = Permissions({alice.public_key: Grant(take_home=False, eps=2.0)}, everybody=Grant(False, False, False))
    made = client.RemoteDataset(rows(), privacy_limit=6.0, permissions=permissions, progress=False)
    sent = server.datasets[made.identifier].header.permissions
    assert [(each.user, each.train, each.take_home, each.epsilon_nano) for each in sent.grants] == [
        (alice.public_key.user, True, False, 2 * NANO),
        ("", False, False, 0),
    ]
    assert not sent.grants[1].HasField("epsilon_nano")
    assert made.permissions == Permissions({alice.public_key.user: Grant(take_home=False, eps=2.0)}, Grant(False, False, False))
    assert eval(repr(made.permissions)) == made.permissions


def test_what_an_owner_permits_is_read_also_of_a_dataset_that_was_listed(client: TorchClient) -> None:
    """A listing does not say it, which is not that nobody may anything."""
    client.RemoteDataset(rows(), privacy_limit=6.0, permissions=Permissions(everybody=Grant()), progress=False)
    (listed,) = client.list_remote_datasets()
    assert listed.permissions == Permissions(everybody=Grant())


def test_eps_is_rounded_down() -> None:
    assert [Grant(eps=eps).to_message(ALICE).epsilon_nano for eps in (2.3, 1.9999999999, 1e-9, 6)] == [
        2_300_000_000,
        1_999_999_999,
        1,
        6_000_000_000,
    ]


def test_without_a_word_the_server_decides(server: FakeServer, client: TorchClient) -> None:
    silent = client.RemoteDataset(rows(), privacy_limit=6.0, progress=False)
    closed = client.RemoteDataset(rows(), privacy_limit=6.0, permissions=Permissions.owner_only(), progress=False)
    headers = [server.datasets[each.identifier].header for each in (silent, closed)]
    assert [header.HasField("permissions") for header in headers] == [False, True]
    assert Permissions.owner_only() == Permissions()
    assert not Permissions.open_to_everybody().gpu
    assert Permissions.open_to_everybody() == Permissions(everybody=Grant())


def test_a_test_set_has_those_of_its_training_set(server: FakeServer, client: TorchClient) -> None:
    permissions = Permissions({ALICE: Grant()})
    made = client.RemoteDataset(rows(), Subset(rows(), range(20)), privacy_limit=6.0, permissions=permissions, progress=False)
    test = made.test_dataset
    assert test is not None
    assert not server.datasets[test.identifier].header.HasField("permissions")


def test_granting_and_taking_back(server: FakeServer, dataset: RemoteDataset, theirs: TorchClient, alice: Identity) -> None:
    granted = dataset.grant(alice.public_key, take_home=False, eps=2.0)
    assert granted == dataset.permissions == Permissions({alice.public_key.user: Grant(take_home=False, eps=2.0)})
    (seen,) = theirs.list_remote_datasets()
    assert seen.may == Grant(take_home=False, eps=2.0)
    assert dataset.grant(alice.public_key.pem) == Permissions({alice.public_key.user: Grant()}), "in the place of the one before"
    assert dataset.grant("everybody", take_home=False).everybody == Grant(take_home=False)
    assert dataset.revoke(alice) == Permissions(everybody=Grant(take_home=False))
    assert dataset.revoke("everybody") == Permissions.owner_only()
    with pytest.raises(errors.InvalidArgument, match="everybody has a limit of eps"):
        dataset.grant("everybody", eps=1.0)
    assert dataset.may == Grant()


def test_those_of_a_listed_dataset_are_asked_for(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    dataset.grant("everybody")
    (listed,) = client.list_remote_datasets()
    assert listed.permissions == Permissions(everybody=Grant()), "a listing leaves them out: that is not nobody"
    asked = server.calls.count("GetDataset")
    assert listed.permissions == dataset.permissions
    assert server.calls.count("GetDataset") == asked


def test_only_its_owner_is_told_and_grants(server: FakeServer, theirs: TorchClient) -> None:
    (seen,) = theirs.list_remote_datasets()
    for attempt in (lambda: seen.permissions, lambda: seen.grant(ALICE), lambda: seen.revoke(ALICE)):
        with pytest.raises(errors.PermissionDenied):
            attempt()


def test_a_refusal_of_the_server_is_shown_as_it_is(server: FakeServer, dataset: RemoteDataset) -> None:
    server.before["GrantAccess"] = refuse(Kind.KIND_NOT_FOUND, "no such user is registered", "ask the operator")
    with pytest.raises(errors.NotFound, match="no such user is registered") as refused:
        dataset.grant(ALICE)
    assert refused.value.next == "ask the operator"


def test_how_they_print() -> None:
    assert str(Permissions()) == "nobody but the owner sees it"
    some = Permissions({ALICE: Grant(test=False, eps=0.5), BOB: Grant(False, False, False)}, Grant(), constant_time=True)
    assert str(some).splitlines() == [
        "who           may",
        "a1a1a1a1a1a1  train, take home, up to eps 0.5",
        "b0b0b0b0b0b0  see it",
        "everybody     train, test, take home",
        "runs of others take constant time",
    ]
    assert str(Permissions(gpu=True)).splitlines() == ["nobody but the owner sees it", "runs of others may compute on a GPU"]


@pytest.mark.parametrize(("constant_time", "gpu"), [(False, False), (False, True), (True, False), (True, True)])
def test_what_is_said_of_all_runs_travels_and_outlives_grants(
    constant_time: bool, gpu: bool, server: FakeServer, client: TorchClient
) -> None:
    permissions = Permissions(constant_time=constant_time, gpu=gpu)
    made = client.RemoteDataset(rows(), privacy_limit=6.0, permissions=permissions, progress=False)
    sent = server.datasets[made.identifier].header.permissions
    assert (sent.constant_time, sent.gpu) == (constant_time, gpu)
    assert made.permissions == permissions
    assert made.grant(ALICE) == Permissions({ALICE: Grant()}, constant_time=constant_time, gpu=gpu)
    assert made.revoke(ALICE) == permissions


@pytest.mark.parametrize(
    ("roles", "names"),
    [
        ([], ()),
        ([user_pb2.ROLE_OWNER, user_pb2.ROLE_SCIENTIST], ("owner", "scientist")),
        ([user_pb2.ROLE_OPERATOR], ("operator",)),
    ],
)
def test_roles(roles: list[user_pb2.Role], names: tuple[str, ...], server: FakeServer) -> None:
    server.roles[Identity.default().public_key.user] = roles
    with Connection("localhost", server.port) as connection:
        assert connection.client.roles == names


def entries(count: int) -> list[audit_pb2.AuditEntry]:
    return [
        audit_pb2.AuditEntry(
            seq=seq,
            unix_ms=1_750_000_000_000 + seq,
            user=ALICE,
            action="DatasetService.GetBudget",
            dataset_id="d1" if seq % 2 else "d2",
            allowed=seq != 2,
            reason="" if seq != 2 else "PERMISSION_DENIED",
            binding="exporter",
            boot_id="boot",
            subject=BOB if seq == 3 else "",
        )
        for seq in range(1, count + 1)
    ]


def test_the_audit_log_is_read_to_its_end(server: FakeServer, client: TorchClient) -> None:
    server.audit = entries(8)
    log = client.audit()
    assert [each.seq for each in log] == list(range(1, 9))
    assert server.calls.count("ListAudit") == 3
    assert (log[1].allowed, log[1].reason, log[2].subject, log[0].binding) == (False, "PERMISSION_DENIED", BOB, "exporter")
    lines = str(log).splitlines()
    assert lines[0].split() == ["seq", "at", "(UTC)", "who", "did", "dataset", "run", "about"]
    assert "refused: PERMISSION_DENIED" in lines[2]
    assert len(lines) == 9


def test_the_audit_log_of_one_dataset(server: FakeServer, client: TorchClient, dataset: RemoteDataset) -> None:
    server.audit = entries(4)
    server.audit[3].dataset_id = dataset.identifier
    assert [each.seq for each in client.audit(dataset)] == [4]
    assert [each.seq for each in dataset_log(client, dataset)] == [4]


def dataset_log(client: TorchClient, dataset: RemoteDataset) -> Any:
    return client.audit(dataset=client.list_remote_datasets()[0])


def test_a_log_that_goes_round_in_circles(server: FakeServer, client: TorchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def round_and_round(*_: Any) -> audit_pb2.ListAuditResponse:
        return audit_pb2.ListAuditResponse(entries=entries(3), more=True)

    monkeypatch.setattr("fake_audit.Audit.ListAudit", round_and_round)
    server.restart()
    with pytest.raises(errors.AttestationError, match="number 3 after 3"):
        client.audit()


def test_nobody_has_a_call_for_records() -> None:
    """Not the owner either: the protocol has none."""
    answers = {m.output_type.name for m in dataset_pb2.DESCRIPTOR.services_by_name["DatasetService"].methods}
    assert answers == {
        "UploadDatasetResponse",
        "ListDatasetsResponse",
        "Dataset",
        "Budget",
        "DeleteDatasetResponse",
        "UploadStanding",
    }
