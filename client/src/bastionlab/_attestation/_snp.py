"""The checks of an SEV-SNP report, in their order.

The report data come last, by the caller: a test of any other check cannot pass by failing there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bastionlab._attestation import _der
from bastionlab._attestation._chain import CERTIFICATES, check_chain, check_signature
from bastionlab._attestation._policy import Policy
from bastionlab._attestation._refuse import refuse
from bastionlab._attestation._report import PERMISSIVE, TCB_LAYOUT, Report, levels, product_of

# Of the certificate of a chip's key (AMD publication 57230, "VCEK certificate").
_PRODUCT_NAME = "1.3.6.1.4.1.3704.1.2"
_HARDWARE_ID = "1.3.6.1.4.1.3704.1.4"
_LEVELS = {
    "bl": "1.3.6.1.4.1.3704.1.3.1",
    "tee": "1.3.6.1.4.1.3704.1.3.2",
    "snp": "1.3.6.1.4.1.3704.1.3.3",
    "ucode": "1.3.6.1.4.1.3704.1.3.8",
    "fmc": "1.3.6.1.4.1.3704.1.3.9",
}
_HARDWARE_ID_BYTES = {"Milan": 64, "Genoa": 64, "Turin": 8}


@dataclass(frozen=True)
class Proved:
    measurement: str
    chip_id: str
    report_data: bytes


def check(
    raw: bytes, endorsements: Sequence[bytes], policy: Policy, roots: Mapping[str, frozenset[str]] | None, now: datetime
) -> Proved:
    """Everything but the report data.

    :param roots: pins by product; None: those of the policy, for simulated evidence
    """
    report = Report.read(raw)
    if report.version not in policy.report_versions:
        refuse("format", f"a report of version {_any_of(policy.report_versions)}", f"version {report.version}")
    if report.signing_key not in policy.signing_keys:
        refuse("signer", f"a report signed by a {_any_of(policy.signing_keys)}", report.signing_key)
    if len(endorsements) != CERTIFICATES:
        refuse("chain", f"{CERTIFICATES} certificates", len(endorsements))
    key = _der.Certificate.read(endorsements[0])
    product = _product(report, key)
    # SECURITY: no pins for a product means that nothing of it is taken. Simulated evidence alone may go without: it proves nothing.
    pins = policy.roots if roots is None else roots.get(product, frozenset())
    check_chain(key, endorsements[1:], report.signing_key, pins, now)
    check_signature(report, key)
    _check_certificate(report, key, product)
    _check_floor(report, product, policy, is_simulated=roots is None)
    _check_guest(report, policy)
    _check_identity(report, policy)
    return Proved(report.measurement.hex(), report.chip_id.hex(), report.report_data)


def _product(report: Report, key: _der.Certificate) -> str:
    if report.has_cpuid():
        product = product_of(report.family, report.model)
        if product is None:
            refuse("product", "a CPU of Milan, Genoa or Turin", f"family {report.family:#x}, model {report.model:#x}")
        return product
    # A report of version 2 has no CPUID. The certificate's word is taken, and held to that product's root.
    named = _der.one(key.extensions.get(_PRODUCT_NAME, b""), _der.IA5_STRING).decode("ascii").split("-")[0]
    if named not in TCB_LAYOUT:
        refuse("product", "a certificate for Milan, Genoa or Turin", named)
    return named


def _check_certificate(report: Report, key: _der.Certificate, product: str) -> None:
    """The certificate is for this chip at the TCB that it reports."""
    for name, level in levels(report.reported_tcb, product).items():
        try:
            certified = str(_der.small_integer(key.extensions.get(_LEVELS[name], b"")))
        except _der.DerError:
            certified = "none"
        if certified != str(level):
            refuse("vcek", f"a certificate for {name} {level}", f"one for {name} {certified}")
    # MASK_CHIP_ID shows zeros: there is nothing to compare, and the key is still one chip's.
    if report.signing_key != "VCEK" or not any(report.chip_id):
        return
    wanted = report.chip_id[: _HARDWARE_ID_BYTES[product]]
    certified_id = key.extensions.get(_HARDWARE_ID, b"")  # bare, not DER within
    if certified_id != wanted or any(report.chip_id[len(wanted) :]):
        refuse("vcek", f"a certificate for chip {report.chip_id.hex()[:16]}..", f"one for {certified_id.hex()[:16]}..")


def _check_floor(report: Report, product: str, policy: Policy, is_simulated: bool) -> None:
    if is_simulated and policy.tcb is None:
        return
    name = report.floor_name(product)
    floor = (policy.tcb or {}).get(name)
    if floor is None:
        refuse("tcb", f"a floor for {name} in the policy", "none")
    # The committed one is how far the host can go back, the launch one what the guest began on.
    for which, tcb in (("reported", report.reported_tcb), ("committed", report.committed_tcb), ("launch", report.launch_tcb)):
        for part, level in levels(tcb, product).items():
            if level < floor[part]:
                refuse("tcb", f"{which} {part} of at least {floor[part]}", level)


def _check_guest(report: Report, policy: Policy) -> None:
    """What runs, and under which rules."""
    if policy.measurements is not None and report.measurement.hex() not in policy.measurements:
        refuse("measurement", "a measurement of the policy", report.measurement.hex())
    # SECURITY: no policy can permit these two.
    if report.permits("debug"):
        refuse("debug", "a guest whose memory the host cannot read", "debug is permitted")
    if report.permits("migrate_ma"):
        refuse("migrate", "a guest that no migration agent may move", "migrate_ma is permitted")
    for bit in PERMISSIVE:
        if report.permits(bit) and bit not in policy.allow:
            refuse("policy_bits", f"a guest whose policy forbids {bit}", f"{bit} is permitted")
    for bit in policy.require_policy:
        if not report.permits(bit):
            refuse("policy_bits", f"a guest whose policy demands {bit}", f"{bit} is not set")
    for bit in policy.require_platform:
        if not report.has_platform(bit):
            refuse("platform", f"a platform with {bit}", f"{bit} is not set")
    if report.least_abi() < policy.min_abi:
        refuse("abi", f"a guest whose policy demands firmware ABI {_dotted(policy.min_abi)}", _dotted(report.least_abi()))
    if report.vmpl != policy.vmpl:
        refuse("vmpl", f"a report of VMPL {policy.vmpl}", report.vmpl)
    if report.guest_svn < policy.min_guest_svn:
        refuse("guest_svn", f"a guest SVN of at least {policy.min_guest_svn}", report.guest_svn)


def _check_identity(report: Report, policy: Policy) -> None:
    """Which chip, and what the guest's owner and the host wrote."""
    listed = (
        ("chip_id", report.chip_id, policy.chip_ids),
        ("id_key_digest", report.id_key_digest, policy.id_key_digests),
        ("author_key_digest", report.author_key_digest, policy.author_key_digests),
        ("host_data", report.host_data, policy.host_data),
    )
    for name, value, wanted in listed:
        if wanted is not None and value.hex() not in wanted:
            refuse(name, f"a {name} of the policy", value.hex())


def _any_of(values: Sequence[object]) -> str:
    return " or ".join(map(str, values))


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
