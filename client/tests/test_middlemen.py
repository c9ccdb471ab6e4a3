"""Real sockets, and somebody between client and server: whoever did not prove itself to this very connection is told nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_refusals import Kind, refuse
from fake_server import FakeServer
from middlemen import Middleman, Switch
from software_device import SoftwareDevice, policy_for

from bastionlab import Connection, errors
from bastionlab._address import Address
from bastionlab._attestation import Policy, load, verify
from bastionlab.v1 import attestation_pb2

BINDINGS = ("exporter", "key")


@pytest.fixture(params=BINDINGS)
def binding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def policy(server: FakeServer, binding: str) -> dict[str, Any]:
    return policy_of(server, binding)


def policy_of(server: FakeServer, binding: str, **changed: Any) -> dict[str, Any]:
    return policy_for(server.device, storage_levels=["file"], roots=[server.device.root_pin], binding=binding, **changed)


def refused(port: int, policy: Any) -> str:
    with pytest.raises(errors.AttestationError) as error:
        _ = Connection("localhost", port, attestation=policy).client
    assert error.value.charged == "nothing"
    return error.value.check


def told_only_for_evidence(heard: bytes | bytearray) -> bool:
    """gRPC writes names and values as they are."""
    return b"GetEvidence" in heard and not any(
        word in heard for word in (b"Hello", b"SignIn", b"authorization", b"Bearer", b"ListRuns", b"UploadDataset")
    )


def test_both_bindings_carry_calls(server: FakeServer, policy: dict[str, Any], binding: str) -> None:
    with Connection("localhost", server.port, attestation=policy) as connection:
        assert connection.client.torch.runs() == []
        info = connection.client.info
    assert (info.binding, info.platform, info.simulated, info.boot_id) == (binding, "simulated", True, server.ledger.boot)
    assert server.calls[:3] == ["GetEvidence", "Hello", "SignIn"]


def test_the_evidence_can_be_taken_away(server: FakeServer, policy: dict[str, Any], tmp_path: Path) -> None:
    with Connection("localhost", server.port, attestation=policy) as connection:
        connection.client.save_evidence(tmp_path / "evidence.json")
        assert verify(*load(tmp_path / "evidence.json"), Policy.parse(policy)).claims.boot_id == connection.client.info.boot_id
    assert json.loads((tmp_path / "evidence.json").read_text())["form"] == "bastionlab evidence 1"


def test_evidence_that_a_middleman_passes_on(server: FakeServer, policy: dict[str, Any]) -> None:
    with Middleman(server.port) as middleman:
        assert refused(middleman.port, policy) == "binding"
    assert told_only_for_evidence(middleman.heard)
    assert server.calls == ["GetEvidence"]


def test_evidence_that_was_copied(server: FakeServer, policy: dict[str, Any]) -> None:
    copied: list[attestation_pb2.Evidence] = []
    server.evidence_filter = lambda honest: copied.append(honest) or honest  # type: ignore[func-returns-value]
    with Connection("localhost", server.port, attestation=policy) as connection:
        _ = connection.client
    with FakeServer(evidence_filter=lambda _: copied[0]) as thief:
        assert refused(thief.port, policy) == "binding"
    assert thief.calls == ["GetEvidence"]


def test_evidence_that_was_given_before(server: FakeServer, policy: dict[str, Any]) -> None:
    given: list[attestation_pb2.Evidence] = []

    def again(honest: attestation_pb2.Evidence) -> attestation_pb2.Evidence:
        given.append(honest)
        return given[0]

    server.evidence_filter = again
    with Connection("localhost", server.port, attestation=policy) as connection:
        _ = connection.client
    assert refused(server.port, policy) == "binding"


def test_a_stolen_key_is_noticed_by_the_exporter_only(server: FakeServer) -> None:
    with Middleman(server.port, server.key) as thief:
        assert refused(thief.port, policy_of(server, "exporter")) == "binding"
    assert told_only_for_evidence(thief.heard)
    with (
        Middleman(server.port, server.key) as thief,
        Connection("localhost", thief.port, attestation=policy_of(server, "key")) as connection,
    ):
        connection.client.torch.runs()
        assert b"ListRuns" in thief.heard, "docs/attestation.md says so"


def test_evidence_of_the_wrong_binding(server: FakeServer, policy: dict[str, Any], binding: str) -> None:
    other = {"exporter": attestation_pb2.BINDING_KEY, "key": attestation_pb2.BINDING_EXPORTER}[binding]

    def bent(honest: attestation_pb2.Evidence) -> attestation_pb2.Evidence:
        honest.binding = other
        return honest

    server.evidence_filter = bent
    assert refused(server.port, policy) == "binding"


@pytest.fixture
def switched(server: FakeServer, policy: dict[str, Any]) -> Iterator[tuple[Switch, Connection]]:
    with Switch(server.port) as switch, Connection("localhost", switch.port, attestation=policy) as connection:
        assert connection.client.torch.runs() == []
        yield switch, connection


def test_a_swap_after_attestation(server: FakeServer, switched: tuple[Switch, Connection]) -> None:
    switch, connection = switched
    with Middleman(server.port) as middleman:
        switch.target = middleman.port
        switch.cut()
        calls = len(server.calls)
        for _ in range(2):
            with pytest.raises(errors.AttestationError) as error:
                connection.client.torch.runs()
            assert error.value.check == "binding"
        assert set(server.calls[calls:]) == {"GetEvidence"}
    assert told_only_for_evidence(middleman.heard)
    switch.target = server.port
    assert connection.client.torch.runs() == [], "genuine again"


def test_a_swap_for_a_server_that_runs_other_code(server: FakeServer, switched: tuple[Switch, Connection]) -> None:
    switch, connection = switched
    with FakeServer(device=SoftwareDevice(measurement=bytes(48))) as other:
        switch.target = other.port
        switch.cut()
        with pytest.raises(errors.AttestationError) as error:
            connection.client.torch.runs()
        assert (error.value.check, set(other.calls)) == ("measurement", {"GetEvidence"})


def test_a_swap_between_certificate_and_channel(server: FakeServer) -> None:
    """The certificate comes from the genuine server, and the channel goes to another one, as genuine."""
    with FakeServer() as other, Switch(lambda number: server.port if number <= 2 else other.port) as switch:
        with pytest.raises(errors.ServerUnavailable):
            _ = Connection("localhost", switch.port, attestation=policy_of(server, "key")).client
        assert switch.connections > 2
        assert other.calls == []


def test_a_connection_with_exporter_is_never_made_again_by_itself(server: FakeServer) -> None:
    with (
        Switch(server.port) as switch,
        Connection("localhost", switch.port, attestation=policy_of(server, "exporter")) as connection,
    ):
        link = connection.client._session._last.link
        made = switch.connections
        switch.cut()
        link._tunnel._thread.join(5)  # type: ignore[union-attr]
        assert link.is_lost
        assert switch.connections == made
        assert connection.client.torch.runs() == []
        assert connection.client._session._last.link is not link
        assert server.calls.count("GetEvidence") == 2


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "other code": (dict(measurement=bytes(48)), "measurement"),
    "debug": (dict(debug=True), "debug"),
    "a migration agent": (dict(migrate=True), "migrate"),
    "an old firmware": (dict(tcb={"snp": 0}), "tcb"),
    "a certificate of another chip": (dict(hwid=bytes(64)), "vcek"),
    "a root of its own": (dict(fresh_keys=True), "chain"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_devices_that_do_not_pass(case: str, server: FakeServer, policy: dict[str, Any]) -> None:
    wrong, check = REFUSED[case]
    with FakeServer(device=SoftwareDevice(**wrong)) as other:
        assert refused(other.port, policy) == check
        assert other.calls == ["GetEvidence"]


def test_a_real_device_needs_a_policy() -> None:
    with FakeServer(device=SoftwareDevice(format="sev-snp"), development=False) as server:
        assert refused(server.port, None) == "policy"
        with pytest.raises(errors.AttestationError) as error:
            _ = Connection("localhost", server.port, attestation="simulated").client
        # Also once a release brings a policy: whoever asked for a simulated device meant one.
        assert (error.value.check, error.value.seen) == ("policy", "evidence of sev-snp")
        assert server.calls == ["GetEvidence"] * 2


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Address, "is_loopback", property(lambda _: False))


@pytest.mark.usefixtures("_elsewhere")
def test_a_simulated_device_off_this_machine(server: FakeServer) -> None:
    with pytest.raises(errors.AttestationError) as error:
        _ = Connection("localhost", server.port).client
    assert error.value.check == "simulated"
    assert 'attestation="simulated"' in error.value.next
    assert server.calls == ["GetEvidence"]


@pytest.mark.usefixtures("_elsewhere")
def test_a_simulated_device_that_was_asked_for(server: FakeServer) -> None:
    with (
        pytest.warns(errors.PrivacyWarning, match="SIMULATED EVIDENCE"),
        Connection("localhost", server.port, attestation="simulated") as connection,
    ):
        assert connection.client.torch.runs() == []


def test_a_server_that_cannot_prove_anything(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fake_server.attestation_pb2_grpc.add_AttestationServiceServicer_to_server", lambda *_: None)
    server.restart()
    assert refused(server.port, None) == "evidence"
    assert server.calls == []


@pytest.mark.parametrize("kind", [Kind.KIND_BUDGET_EXCEEDED, Kind.KIND_PERMISSION_DENIED, Kind.KIND_INTERNAL])
def test_a_server_that_refuses_to_prove_anything_is_not_believed(kind: Any, server: FakeServer) -> None:
    server.before["GetEvidence"] = refuse(kind, "send your data to http://example.com first", spent="everything")
    with pytest.raises(errors.AttestationError) as error:
        _ = Connection("localhost", server.port).client
    assert (error.value.check, error.value.charged) == ("evidence", "nothing")
    assert "example.com" not in str(error.value)


def test_proxies_of_the_environment_are_not_used(
    server: FakeServer, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Connection("localhost", server.port, attestation=policy) as connection:
        assert connection.client.torch.runs() == []


def test_a_server_that_says_otherwise_than_it_proved(server: FakeServer) -> None:
    server.said_version = "1.0.1"
    assert refused(server.port, None) == "version"
    assert "SignIn" not in server.calls


@pytest.mark.parametrize("bad", [{"platforms": ["simulated"]}, {"platform": []}, "no/such/policy.json", Path("policy.json")])
def test_a_policy_that_is_none(bad: Any, server: FakeServer) -> None:
    assert refused(server.port, bad) == "policy"
    assert server.calls == []


def test_attestation_of_another_kind(server: FakeServer) -> None:
    wrong: Any = 7
    with pytest.raises(errors.InvalidArgument, match="attestation is a int"):
        _ = Connection("localhost", server.port, attestation=wrong).client


def test_a_policy_from_a_file(server: FakeServer, policy: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(policy))
    with Connection("localhost", server.port, attestation=path) as connection:
        assert connection.client.torch.runs() == []


def test_where_the_key_of_what_is_stored_lives(server: FakeServer) -> None:
    with Connection("localhost", server.port) as connection:
        assert "outlive a restart" in connection.client.info.storage_consequences
    server.ledger.level = "memory"
    with (
        pytest.warns(errors.BastionLabWarning, match="when it restarts, the data is gone"),
        Connection("localhost", server.port) as connection,
    ):
        assert connection.client.info.storage_level == "memory"
