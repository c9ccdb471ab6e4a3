"""A policy is complete, or it is none; what is wrong with it is named."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from software_device import SoftwareDevice, policy_for

from bastionlab._attestation import SIMULATED, SIMULATED_ON_LOOPBACK, Policy
from bastionlab.errors import AttestationError

GOOD = policy_for(SoftwareDevice(format="sev-snp"))


def refusal_of(text: bytes) -> AttestationError:
    with pytest.raises(AttestationError) as refusal:
        Policy.read(text)
    assert refusal.value.check == "policy"
    return refusal.value


def test_what_is_left_out_has_the_strict_value() -> None:
    policy = Policy.parse(GOOD)
    assert (policy.binding, policy.vmpl, policy.min_guest_svn, policy.min_abi, policy.min_version) == (None, 0, 0, (0, 0), None)
    assert (policy.allow, policy.require_policy, policy.require_platform) == ((), (), ())
    assert (policy.report_versions, policy.development, policy.roots, policy.tdx) == ((3, 4, 5), False, None, None)
    assert Policy.parse({name: value for name, value in GOOD.items() if name != "signing_keys"}).signing_keys == ("VCEK",)


@pytest.mark.parametrize(
    ("field", "value", "expected", "seen"),
    [
        ("mesurements", [], "no field but platforms, measurements,", "mesurements"),
        ("measurements", ["abc"], "field measurements: a list, each 96 digits of lower-case hex", "abc"),
        ("chip_ids", 3, "field chip_ids: a list, or null", "3"),
        ("tcb", {"Turin": {"bl": 1}}, "field tcb: a floor of Turin with fmc, bl, tee, snp, ucode", "bl"),
        ("allow", ["debug"], "field allow: a list, each one of smt, cxl", "debug"),
        ("tdx", {"mr_td": []}, "field tdx.mr_td: a list of at least one", "[]"),
        ("tdx", {"mr_td": ["ab" * 48], "debug": True}, "no field but mr_td,", "tdx.debug"),
        ("tdx", [], "an object in field tdx", "list"),
        ("tdx", {"mr_td": ["ab" * 48], "mr_seam": None}, "field tdx.rtmrs, which has no default", "none"),
        ("roots", [], "field roots only where simulated is a platform", "roots"),
    ],
)
def test_an_error_names_the_field(field: str, value: Any, expected: str, seen: str) -> None:
    refusal = refusal_of(json.dumps(GOOD | {field: value}).encode())
    assert expected in refusal.expected
    assert seen in refusal.seen
    assert "policy" in refusal.next


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"policy"',
        b"\xff\xfe{}",
        b"[" * 100_000,
        json.dumps(GOOD).encode()[:-1] + b', "chip_ids": null}',
        json.dumps(GOOD).encode() + b" " * (1 << 20),
    ],
    ids=["nothing", "cut short", "null", "a list", "text", "not UTF-8", "nested", "a field twice", "too large"],
)
def test_what_is_no_policy(text: bytes) -> None:
    refusal_of(text)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(GOOD))
    assert Policy.load(file) == Policy.parse(GOOD) == Policy.load(str(file))
    with pytest.raises(AttestationError, match=r"none\.json: No such file"):
        Policy.load(tmp_path / "none.json")


def test_none_is_shipped_yet() -> None:
    assert not (resources.files("bastionlab._attestation") / "policy.json").is_file()
    with pytest.raises(AttestationError, match="attestation=FILE") as refusal:
        Policy.shipped()
    assert refusal.value.check == "policy"


def test_the_one_that_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policy.json").write_text(json.dumps(GOOD))
    monkeypatch.setattr(resources, "files", lambda package: {"bastionlab._attestation": tmp_path}[package])
    assert Policy.shipped() == Policy.parse(GOOD)


def test_those_for_simulated_evidence_take_no_device() -> None:
    for policy in (SIMULATED, SIMULATED_ON_LOOPBACK):
        assert policy.platforms == ("simulated",)
        assert policy.development
        assert set(policy.storage_levels) == {"file", "memory"}
        assert (policy.measurements, policy.tcb, policy.roots) == (None, None, None)
    assert SIMULATED is not SIMULATED_ON_LOOPBACK
