"""What is verified, what is kept of it, and what hostile bytes come to."""

from __future__ import annotations

import json
import pickle
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from software_device import CHIP, MEASUREMENT, SoftwareDevice, claims, policy_for

from bastionlab._attestation import SIMULATED, SIMULATED_ON_LOOPBACK, Attested, Channel, Policy, _saved, _snp, load, verify
from bastionlab.errors import AttestationError
from bastionlab.v1 import attestation_pb2

KEY, EXPORTER = attestation_pb2.BINDING_KEY, attestation_pb2.BINDING_EXPORTER
NONCE = b"n" * 32
BY_KEY, BY_EXPORTER = Channel(b"public key"), Channel(b"public key", EXPORTER, b"e" * 32)
DEVICE = SoftwareDevice()


def attested(channel: Channel = BY_EXPORTER, policy: Policy = SIMULATED, now: datetime | None = None, **shape: Any) -> Attested:
    return verify(DEVICE.evidence(NONCE, channel.binding, channel, claims(), **shape), NONCE, channel, policy, now)


@pytest.mark.parametrize("policy", [SIMULATED, SIMULATED_ON_LOOPBACK, Policy.parse(policy_for(DEVICE))])
@pytest.mark.parametrize("channel", [BY_KEY, BY_EXPORTER])
def test_what_is_proved(policy: Policy, channel: Channel) -> None:
    found = attested(channel, policy)
    assert (found.platform, found.simulated) == ("simulated", True)
    assert (found.measurement, found.chip_id) == (MEASUREMENT.hex(), CHIP.hex())
    assert (found.claims.version, found.claims.storage_level, found.claims.development) == ("1.0.0", "memory", False)
    assert (found.nonce, found.channel) == (NONCE, channel)


def test_a_real_device_is_not_simulated() -> None:
    device = SoftwareDevice("Genoa", format="sev-snp")
    evidence = device.evidence(NONCE, KEY, BY_KEY, claims())
    found = verify(evidence, NONCE, BY_KEY, Policy.parse(policy_for(device)), roots=device.roots)
    assert (found.platform, found.simulated) == ("sev-snp", False)


def test_a_stolen_key_is_seen_by_the_exporter_only() -> None:
    """Somebody with the server's key relays to it: his connection with the client is another than his with the server."""
    assert attested(BY_KEY).channel.binding == KEY
    theirs = Channel(BY_EXPORTER.public_key, EXPORTER, b"o" * 32)
    with pytest.raises(AttestationError) as refusal:
        verify(DEVICE.evidence(NONCE, EXPORTER, BY_EXPORTER, claims()), NONCE, theirs, SIMULATED)
    assert refusal.value.check == "binding"


def test_the_key_binding_knows_no_exporter() -> None:
    """A caller may know one all the same: it is not what the evidence is bound to."""
    channel = Channel(BY_KEY.public_key, KEY, b"e" * 32)
    assert verify(DEVICE.evidence(NONCE, KEY, BY_KEY, claims()), NONCE, channel, SIMULATED).channel == channel


def test_a_time_without_a_zone_is_utc() -> None:
    assert attested(now=datetime(2025, 1, 1)).simulated
    with pytest.raises(AttestationError, match="valid at 2024-12-31"):
        attested(now=datetime(2025, 1, 1) - timedelta(seconds=1))


def test_by_default_it_is_now() -> None:
    past = (datetime(2020, 1, 1), datetime(2020, 1, 2))
    with pytest.raises(AttestationError) as refusal:
        attested(validity=past)
    assert refusal.value.check == "chain"
    assert attested(validity=past, ask_validity=past, ark_validity=past, now=datetime(2020, 1, 1, 12)).simulated


@pytest.mark.parametrize("channel", [BY_KEY, BY_EXPORTER])
def test_evidence_in_a_file(channel: Channel, tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    found = attested(channel, tree_size=5, leaf_index=3)
    found.save(file)
    written = json.loads(file.read_text())
    assert list(written) == ["form", "evidence", "public_key", "nonce", "exporter"]
    assert written["form"] == "bastionlab evidence 1"
    assert (written["exporter"] == "") == (channel is BY_KEY)
    assert verify(*load(str(file)), SIMULATED) == found


GOOD = _saved.members(DEVICE.evidence(NONCE, KEY, BY_KEY, claims()), NONCE, BY_KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        json.dumps(GOOD | {"form": "bastionlab evidence 2"}),
        json.dumps(GOOD | {"more": ""}),
        json.dumps({name: value for name, value in GOOD.items() if name != "nonce"}),
        json.dumps(GOOD | {"nonce": 7}),
        json.dumps(GOOD | {"nonce": "ü"}),
        json.dumps(GOOD | {"nonce": "a"}),
        json.dumps(GOOD | {"evidence": "////"}),
        json.dumps(GOOD) + " " * (1 << 20),
    ],
    ids=lambda text: str(text)[:20],
)
def test_a_file_that_holds_no_evidence(text: str, tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    file.write_text(text)
    with pytest.raises(AttestationError) as refusal:
        load(file)
    assert refusal.value.check == "evidence"


def test_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(AttestationError, match="No such file"):
        load(tmp_path / "evidence.json")


def test_what_a_library_raises_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("the library's own trouble")

    monkeypatch.setattr(_snp, "check", fails)
    with pytest.raises(AttestationError) as refusal:
        attested()
    assert refusal.value.check == "format"
    assert "RuntimeError" in refusal.value.seen


def test_what_a_stranger_sent_is_shown_without_control_characters() -> None:
    with pytest.raises(AttestationError) as refusal:
        attested(format="\x1b[2J" + "x" * 10_000)
    assert refusal.value.seen.isprintable()
    assert len(refusal.value.seen) <= 200
    with pytest.raises(AttestationError) as refusal:
        attested(common_name="SEV-VCEK\n\u202e", policy=SIMULATED)
    assert refusal.value.seen.isprintable()


def test_a_refusal_survives_pickling() -> None:
    with pytest.raises(AttestationError) as refusal:
        attested(debug=True)
    copy = pickle.loads(pickle.dumps(refusal.value))
    assert (copy.check, copy.expected, copy.seen) == ("debug", refusal.value.expected, refusal.value.seen)
