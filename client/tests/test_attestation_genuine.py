"""Reports of real EPYC machines, under AMD's own roots."""

from __future__ import annotations

from hashlib import sha256

import genuine_evidence as genuine
import pytest
from genuine_evidence import (
    ACCEPTED,
    GENOA_CLOUD,
    MILAN_CLOUD,
    ON_PREMISES,
    SIENA,
    THEN,
    VLEK,
    Sample,
    chain,
    parts,
    policy,
    read,
    refused,
)

from bastionlab._attestation import AMD_ROOTS, _snp
from bastionlab._attestation._der import Certificate
from bastionlab._attestation._report import Report
from bastionlab.errors import AttestationError

pytestmark = genuine.needed
each_sample = pytest.mark.parametrize("sample", ACCEPTED, ids=lambda sample: sample.report)


@each_sample
def test_a_genuine_report_is_accepted(sample: Sample) -> None:
    report, *endorsements = parts(sample)
    proved = _snp.check(report, endorsements, policy(sample), AMD_ROOTS, THEN)
    assert proved.report_data == Report.read(report).report_data
    assert refused(parts(sample), policy(sample)) == "binding"


@pytest.mark.parametrize("product", sorted(AMD_ROOTS))
@pytest.mark.parametrize("kind", ["VCEK", "VLEK"])
def test_the_pins_are_those_of_amds_chains(product: str, kind: str) -> None:
    lower = product.lower()
    file = f"ask_ark_{lower}_{kind.lower()}.pem" if kind == "VLEK" or product == "Turin" else f"ask_ark_{lower}.pem"
    middle, root = map(Certificate.read, chain(file))
    assert (root.common_name(), middle.common_name()) == (f"ARK-{product}", f"SEV-{'VLEK-' if kind == 'VLEK' else ''}{product}")
    assert AMD_ROOTS[product] == {sha256(root.public_key).hexdigest()}


def test_a_report_of_a_debug_guest_is_refused() -> None:
    assert refused(parts(genuine.DEBUG), policy(genuine.DEBUG)) == "debug"


def test_a_vlek_holds_for_a_year() -> None:
    assert refused(parts(VLEK), policy(VLEK)) == "binding"
    assert refused(parts(VLEK), policy(VLEK), now=None) == "chain"


def test_a_vlek_is_taken_where_the_policy_says_so_only() -> None:
    assert refused(parts(VLEK), policy(VLEK, signing_keys=["VCEK"])) == "signer"
    assert refused(parts(VLEK), policy(VLEK, vmpl=0)) == "vmpl"


def test_the_certificate_of_another_genuine_chip() -> None:
    report, _, *above = parts(MILAN_CLOUD)
    assert refused([report, read(ON_PREMISES.certificate), *above], policy(MILAN_CLOUD)) == "signature"


def test_the_chain_of_another_genuine_product() -> None:
    report, certificate, *_ = parts(MILAN_CLOUD)
    assert refused([report, certificate, *chain(GENOA_CLOUD.above)], policy(MILAN_CLOUD)) == "chain"
    assert refused([report, certificate, *chain(VLEK.above)], policy(MILAN_CLOUD)) == "chain"


def test_sienas_floor_is_not_genoas() -> None:
    assert refused(parts(SIENA), policy(SIENA, tcb={"Genoa": dict.fromkeys(("bl", "tee", "snp", "ucode"), 0)})) == "tcb"


def test_a_version_2_report_is_taken_where_the_policy_says_so_only() -> None:
    assert refused(parts(ON_PREMISES), policy(ON_PREMISES, report_versions=[3, 4, 5])) == "format"


@each_sample
def test_every_byte_counts(sample: Sample) -> None:
    """In two bits: all of one sample's report and certificate, one in 7 above them, of the others one in 29."""
    demanded, whole = policy(sample), parts(sample)
    for index, part in enumerate(whole):
        step = 29 if sample is not SIENA else 1 if index < 2 else 7
        for place in range(0, len(part), step):
            for bit in (0x01, 0x80):
                changed = bytearray(part)
                changed[place] ^= bit
                found = refused([*whole[:index], bytes(changed), *whole[index + 1 :]], demanded)
                assert found in ("format", "signer", "product", "chain", "signature"), f"part {index}, byte {place}, bit {bit:#x}"


@each_sample
def test_every_truncation_is_refused(sample: Sample) -> None:
    demanded, whole = policy(sample), parts(sample)
    for index, part in enumerate(whole):
        for length in range(0, len(part), 1 if sample is SIENA else 29):
            found = refused([*whole[:index], part[:length], *whole[index + 1 :]], demanded)
            assert found in ("evidence", "format"), f"part {index}, {length} bytes"


def test_measurement_and_chip_are_those_that_are_shown() -> None:
    report, *endorsements = parts(SIENA)
    proved = _snp.check(report, endorsements, policy(SIENA), AMD_ROOTS, THEN)
    assert (proved.measurement, proved.chip_id) == (report[0x90:0xC0].hex(), report[0x1A0:0x1E0].hex())
    with pytest.raises(AttestationError) as refusal:
        _snp.check(report, endorsements, policy(SIENA, measurements=["00" * 48]), AMD_ROOTS, THEN)
    assert refusal.value.check == "measurement"
