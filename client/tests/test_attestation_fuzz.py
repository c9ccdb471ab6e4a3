"""Whatever the bytes are: accepted as they were made, or AttestationError. From seeds, so that a failure comes again."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from software_device import SoftwareDevice, claims, policy_for

from bastionlab._attestation import SIMULATED, Channel, Policy, _saved, verify
from bastionlab._attestation._der import Certificate, DerError
from bastionlab.errors import AttestationError
from bastionlab.v1 import attestation_pb2

NONCE = b"n" * 32
CHANNEL = Channel(b"public key", attestation_pb2.BINDING_EXPORTER, b"e" * 32)
DEVICE = SoftwareDevice()
POLICY = Policy.parse(policy_for(DEVICE, roots=[DEVICE.root_pin]))
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1e300,
    float("nan"),
    "",
    "ab" * 48,
    "\ud800",
    [],
    [None],
    [[]],
    {},
    {"0": []},
    {"": {"": {}}},
    1 << 200,
]


def mutated(random: random.Random, whole: bytes) -> bytes:
    changed = bytearray(whole)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        place = random.randrange(len(changed) + 1)
        match random.randrange(4):
            case 0 if place < len(changed):
                changed[place] = random.randrange(256)
            case 1:
                del changed[place : place + random.randrange(1, 40)]
            case 2:
                changed[place:place] = random.randbytes(random.randrange(1, 40))
            case _:
                changed = changed[:place] or bytearray(b"\0")
    return bytes(changed)


def check_of(call: Callable[[], Any]) -> str | None:
    """Under which check it is refused; no other exception is caught."""
    try:
        call()
    except AttestationError as refusal:
        return refusal.check
    return None


@pytest.mark.parametrize("seed", range(4))
def test_certificates(seed: int) -> None:
    drawn = random.Random(seed)
    for _ in range(3000):
        encoded = mutated(drawn, drawn.choice(DEVICE.endorsements()))
        try:
            Certificate.read(encoded).common_name()
        except (DerError, ValueError):  # a day that there is not, a name that is not ASCII
            continue


@pytest.mark.parametrize("seed", range(4))
def test_encoded_evidence(seed: int) -> None:
    drawn = random.Random(seed)
    whole = DEVICE.evidence(NONCE, CHANNEL.binding, CHANNEL, claims(), tree_size=5, leaf_index=2).SerializeToString()
    for _ in range(1500):
        encoded = _saved._encode(mutated(drawn, whole))
        members = {"form": _saved.FORM, "evidence": encoded, "public_key": "cHVibGljIGtleQ==", "nonce": _saved._encode(NONCE)}
        try:
            evidence, nonce, channel = _saved.read(members | {"exporter": _saved._encode(CHANNEL.exporter)})
            found = verify(evidence, nonce, channel, POLICY)
        except AttestationError:
            continue
        # What is not signed may differ: unknown fields, and a tree of another size with a path of the same shape.
        assert found.claims == attestation_pb2.Claims.FromString(claims())


@pytest.mark.parametrize("seed", range(4))
def test_fields_of_evidence(seed: int) -> None:
    drawn = random.Random(seed)
    for _ in range(600):
        evidence = DEVICE.evidence(NONCE, CHANNEL.binding, CHANNEL, claims())
        match drawn.randrange(5):
            case 0:
                evidence.report = mutated(drawn, evidence.report)
            case 1:
                evidence.endorsements[drawn.randrange(3)] = mutated(drawn, evidence.endorsements[drawn.randrange(3)])
            case 2:
                evidence.claims = mutated(drawn, evidence.claims)
            case 3:
                evidence.path.extend(drawn.randbytes(drawn.choice((0, 31, 32, 32, 32))) for _ in range(drawn.randrange(1, 20)))
            case _:
                evidence.leaf_index, evidence.tree_size = drawn.randrange(1 << 32), drawn.randrange(1 << 32)
        whole = DEVICE.evidence(NONCE, CHANNEL.binding, CHANNEL, claims())
        if (evidence.report, *evidence.endorsements) == (whole.report, *whole.endorsements):
            continue
        check_of(functools.partial(verify, evidence, NONCE, CHANNEL, POLICY))


@pytest.mark.parametrize("seed", range(4))
def test_policies(seed: int) -> None:
    drawn = random.Random(seed)
    good = policy_for(DEVICE, tdx={"mr_td": ["ab" * 48], "mr_seam": None, "rtmrs": {}})
    text = json.dumps(good).encode()
    for _ in range(1000):
        name = drawn.choice(
            [*good, "vmpl", "min_abi", "allow", "roots", "development", "min_version", "binding", drawn.choice("xyz")]
        )
        inner = drawn.choice(["tcb", "tdx"])
        odd = [
            good | {name: drawn.choice(VALUES)},
            good | {name: [drawn.choice(VALUES), drawn.choice(VALUES)]},
            good | {inner: good[inner] | {drawn.choice(["Milan", "mr_td", "rtmrs", "statuses", "x"]): drawn.choice(VALUES)}},
        ]
        assert {check_of(functools.partial(Policy.parse, written)) for written in odd} <= {None, "policy"}
        assert check_of(functools.partial(Policy.read, mutated(drawn, text))) in (None, "policy")


def test_nothing_is_accepted_of_a_report_alone() -> None:
    drawn = random.Random(0)
    for size in (0, 1, 0x4A0, 0x4A1, 1 << 16):
        for format in ("sev-snp", "simulated", "tdx", "", "\0"):
            evidence = attestation_pb2.Evidence(
                format=format, report=drawn.randbytes(size), endorsements=[drawn.randbytes(size)] * 3
            )
            with pytest.raises(AttestationError):
                verify(evidence, NONCE, CHANNEL, SIMULATED)
