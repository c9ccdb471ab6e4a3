"""Evidence of machines that exist, from the folder that BASTIONLAB_GENUINE_EVIDENCE names; it is not part of this repository.

The reports were made for others, so that their report data are not about a key and a nonce of ours: where everything else is as it
should be, `refused` gives "binding", the last check.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from bastionlab._attestation import Channel, Policy, verify
from bastionlab._attestation._report import Report, levels
from bastionlab.errors import AttestationError
from bastionlab.v1 import attestation_pb2

FOLDER = os.environ.get("BASTIONLAB_GENUINE_EVIDENCE", "")
needed = pytest.mark.skipif(not FOLDER, reason="BASTIONLAB_GENUINE_EVIDENCE names no folder")
THEN = datetime(2025, 6, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Sample:
    report: str
    certificate: str
    above: str
    product: str = "Milan"
    floor: str = "Milan"
    policy: dict[str, Any] = field(default_factory=dict)


ON_PREMISES = Sample("test-report.bin", "test-vcek.der", "ask_ark_milan.pem", policy={"report_versions": [2]})
MILAN_CLOUD = Sample("az_milan_report.bin", "az_milan_vcek.der", "ask_ark_milan.pem")
GENOA_CLOUD = Sample("az_genoa_report.bin", "az_genoa_vcek.der", "ask_ark_genoa.pem", "Genoa", "Genoa")
SIENA = Sample(
    "bm_siena_report.bin",
    "bm_siena_vcek.der",
    "ask_ark_genoa.pem",
    "Genoa",
    "Genoa/a0",
    {"require_platform": ["alias_check_complete"]},
)
VLEK = Sample("test-vlek-report.bin", "test-vlek.der", "ask_ark_milan_vlek.pem", policy={"signing_keys": ["VLEK"], "vmpl": 1})
DEBUG = Sample("gsg_attestation.bin", "gsg_vcek.der", "ask_ark_milan.pem", policy={"report_versions": [2, 3]})
ACCEPTED = (ON_PREMISES, MILAN_CLOUD, GENOA_CLOUD, SIENA, VLEK)


def read(name: str) -> bytes:
    return (Path(FOLDER) / name).read_bytes()


def chain(name: str) -> list[bytes]:
    """What AMD serves under cert_chain: first what signed the chips' keys, then the root."""
    found = re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", read(name).decode(), re.DOTALL)
    return [b64decode(each) for each in found]


def parts(sample: Sample) -> list[bytes]:
    """The report and its three certificates."""
    return [read(sample.report), read(sample.certificate), *chain(sample.above)]


def policy(sample: Sample, **changed: Any) -> Policy:
    """One that the sample satisfies, and nothing older."""
    report = Report.read(read(sample.report))
    tcbs = [levels(tcb, sample.product) for tcb in (report.reported_tcb, report.committed_tcb, report.launch_tcb)]
    written = {
        "platforms": ["sev-snp"],
        "measurements": [report.measurement.hex()],
        "tcb": {sample.floor: {name: min(tcb[name] for tcb in tcbs) for name in tcbs[0]}},
        "chip_ids": [report.chip_id.hex()],
        "config_digests": None,
        "storage_levels": ["memory"],
        "allow": ["smt"],
    }
    return Policy.parse(written | sample.policy | changed)


def refused(parts: Sequence[bytes], policy: Policy, now: datetime | None = THEN) -> str:
    """The check that ends it: "binding" if all others pass."""
    report, *endorsements = parts
    evidence = attestation_pb2.Evidence(format="sev-snp", report=report, endorsements=endorsements, binding=1, tree_size=1)  # type: ignore[arg-type]
    with pytest.raises(AttestationError) as refusal:
        verify(evidence, bytes(32), Channel(b"a key that no report is about"), policy, now)
    return refusal.value.check
