"""Every case of vectors/attestation has the outcome that it names, and every check has a case."""

from __future__ import annotations

import pytest
from attestation_vectors import Case, cases, outcome

CASES = cases()
# Of evidence as SEV-SNP has it; "tls" is the channel's, "collateral" and "tdx_status" are TDX's.
CHECKS = {
    "policy", "simulated", "format", "signer", "product", "chain", "signature", "vcek",
    "tcb", "measurement", "debug", "migrate", "policy_bits", "platform", "abi", "vmpl",
    "guest_svn", "chip_id", "id_key_digest", "author_key_digest", "host_data", "binding", "config", "version",
    "storage", "development", "evidence",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case: Case) -> None:
    refusal = outcome(case)
    assert (refusal and refusal.check) == case["refused"], refusal
    if refusal is not None:
        assert refusal.expected
        assert refusal.seen
        assert refusal.next


def test_every_check_has_a_case() -> None:
    assert {case["refused"] for case in CASES} == CHECKS | {None}
