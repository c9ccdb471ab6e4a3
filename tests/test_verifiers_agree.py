"""Client and `bastionlab verify evidence` decide alike on evidence that was changed at random, and name the same check."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "client" / "tests"))

from software_device import SoftwareDevice, claims, policy_for  # noqa: E402

from bastionlab._attestation import Channel, Policy, _saved, verify  # noqa: E402
from bastionlab.errors import AttestationError  # noqa: E402
from bastionlab.v1 import attestation_pb2  # noqa: E402

PROGRAM = ROOT / "bin" / "bastionlab"
NONCE, EXPORTER = b"\1" * 32, b"\2" * 32
CHANNEL = Channel(b"a key", attestation_pb2.BINDING_EXPORTER, EXPORTER)
TODAY = datetime.now(timezone.utc)
DEVICE = SoftwareDevice()
# Bytes that a well-made message may have too: fields again, unknown ones, numbers that do not fit, groups.
BEHIND = [b"\x28\x01", b"\x28\x02", b"\x28\x03", b"\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x38\x81\x80\x80\x80\x10"]
BEHIND += [b"\x0a\x09simulated", b"\x0a\x07sev-snp", b"\x7a\x01a", b"\x83\x01\x84\x01", b"\x2a\x01\x02", b"\x22\x00"]
BEHIND_CLAIMS = [b"\x30\x01", b"\x30\x00", b"\x2a\x04file", b"\x0a\x050.0.1", b"\x12\x00", b"\x7a\x01a", b"\x30", b"\x0a\x01\xff"]
FIELDS = ["binding", "vmpl", "min_abi", "report_versions", "min_version", "tdx", "roots", "Vmpl"]
VALUES = [None, 0, 1, 2**64, 1.0, True, "", "key", [], {}, [None], [3], [0, 256], ["00" * 48], "1.0.0", "1.0.0\n"]

Change = Callable[[random.Random, attestation_pb2.Evidence, dict[str, Any]], bytes]


def attested(said: bytes) -> attestation_pb2.Evidence:
    days = (TODAY - timedelta(days=1), TODAY + timedelta(days=1))
    return DEVICE.evidence(NONCE, CHANNEL.binding, CHANNEL, said, validity=days, ask_validity=days, ark_validity=days)


def a_byte_of_the_report(drawn: random.Random, evidence: attestation_pb2.Evidence, policy: dict[str, Any]) -> bytes:
    report = bytearray(evidence.report)
    report[drawn.randrange(len(report))] ^= 1 << drawn.randrange(8)
    evidence.report = bytes(report)
    return b""


def where_the_leaf_is(drawn: random.Random, evidence: attestation_pb2.Evidence, policy: dict[str, Any]) -> bytes:
    evidence.leaf_index, evidence.tree_size = drawn.choice([0, 1, 2**32 - 1]), drawn.choice([0, 1, 2, 1024, 1025, 2**32 - 1])
    evidence.path.extend([bytes(drawn.choice([0, 31, 32]))] * drawn.randrange(2))
    return b""


def fields_behind(drawn: random.Random, evidence: attestation_pb2.Evidence, policy: dict[str, Any]) -> bytes:
    return drawn.choice(BEHIND)


def a_claim(drawn: random.Random, evidence: attestation_pb2.Evidence, policy: dict[str, Any]) -> bytes:
    evidence.CopyFrom(attested(claims() + drawn.choice(BEHIND_CLAIMS)))
    return b""


def a_field_of_the_policy(drawn: random.Random, evidence: attestation_pb2.Evidence, policy: dict[str, Any]) -> bytes:
    policy[drawn.choice([*policy, *FIELDS])] = drawn.choice(VALUES)
    return b""


CHANGES: list[Change] = [a_byte_of_the_report, where_the_leaf_is, fields_behind, a_claim, a_field_of_the_policy]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_both_verifiers_decide_alike(change: Change, tmp_path: Path) -> None:
    drawn, outcomes = random.Random(change.__name__), set()
    for _ in range(25):
        evidence = attested(claims())
        policy = policy_for(DEVICE, roots=[DEVICE.root_pin])
        behind = change(drawn, evidence, policy)
        members = _saved.members(evidence, NONCE, CHANNEL)
        members["evidence"] = _saved._encode(evidence.SerializeToString(deterministic=True) + behind)
        (tmp_path / "evidence.json").write_text(json.dumps(members))
        (tmp_path / "policy.json").write_text(json.dumps(policy))
        decided = by_client(tmp_path)
        assert by_program(tmp_path) == decided, (members, policy)
        outcomes.add(decided)
    assert len(outcomes) > 1


def by_client(folder: Path) -> str | None:
    try:
        verify(*_saved.load(folder / "evidence.json"), Policy.load(folder / "policy.json"))
    except AttestationError as refusal:
        return refusal.check
    return None


def by_program(folder: Path) -> str | None:
    command = [PROGRAM, "verify", "evidence", folder / "evidence.json", "--policy", folder / "policy.json", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if ended.stdout:
        refused = json.loads(ended.stdout)["refused"]
        assert (ended.returncode == 0) == (refused is None)
        return refused and str(refused["check"])
    assert ended.returncode != 0
    return ended.stderr.partition("the check ")[2].partition(":")[0]
