"""The checks of a TDX quote.

Intel's part - the quote's signature, the quoting enclave, the state of the platform's TCB - is `dcap-qvl`'s, offline and with the
collateral that travels with the evidence. What the guest is, this module reads and checks by itself, debug mode included: 0.7 of
the library refuses it too, but a claim of ours does not rest on that.

SECURITY: never `get_collateral_and_verify` of that library: it asks a server of a third party's.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bastionlab._attestation._policy import Policy, TdxPolicy
from bastionlab._attestation._refuse import refuse

_LIBRARY = "dcap_qvl"
_HEADER = 48
_TEE_TDX = 0x81
_BODY_SIZES = {2: 584, 3: 648}  # of a quote of version 5, by type: TD report 1.0 and 1.5; the second begins as the first
# Of the TD's attributes ("Intel TDX Module ABI", ATTRIBUTES): all eight bits of the first group are for debugging.
_DEBUG, _MIGRATABLE = 0xFF, 1 << 29
_NO_SURPRISE = 1 << 28  # SEPT_VE_DISABLE: the host cannot make private pages fault in the guest
_HARMLESS = 1 << 27 | _NO_SURPRISE | 1 << 30 | 1 << 31 | 1 << 63  # LASS, PKS, KL, PERFMON
_STALE = ("expired", "in the future")  # in the library's words; chooses the name of a refusal, never whether there is one


@dataclass(frozen=True)
class Guest:
    """What a quote says of the guest."""

    mr_seam: bytes
    attributes: int
    mr_td: bytes
    rtmrs: tuple[bytes, ...]
    report_data: bytes
    service_td: bytes  # of a TD report 1.5; zeros where no other guest may move or change this one

    @classmethod
    def read(cls, quote: bytes) -> Guest:
        body = _body(quote)
        return cls(
            mr_seam=body[16:64],
            attributes=int.from_bytes(body[120:128], "little"),
            mr_td=body[136:184],
            rtmrs=tuple(body[start : start + 48] for start in range(328, 520, 48)),
            report_data=body[520:584],
            service_td=body[600:648],
        )


@dataclass(frozen=True)
class Proved:
    measurement: str
    chip_id: str
    report_data: bytes


def check(quote: bytes, endorsements: Sequence[bytes], policy: Policy, now: datetime) -> Proved:
    """Everything but the report data."""
    if policy.tdx is None:  # a policy that was parsed has it
        refuse("policy", "field tdx where tdx is a platform", "none")
    guest = Guest.read(quote)
    _check_guest(guest, policy.tdx, policy.chip_ids)
    if len(endorsements) != 1:
        refuse("collateral", "Intel's collateral with the quote", len(endorsements) or "none")
    status, advisories = _verified(quote, endorsements[0], now)
    if status not in policy.tdx.statuses:
        refuse("tdx_status", f"status {' or '.join(policy.tdx.statuses)}", status)
    if unknown := [advisory for advisory in advisories if advisory not in policy.tdx.advisories]:
        refuse("tdx_status", "no advisories but those of the policy", ", ".join(unknown))
    return Proved(guest.mr_td.hex(), "", guest.report_data)


def _body(quote: bytes) -> bytes:
    """The report within a quote: what its signature is over, after the header."""
    if len(quote) < _HEADER + 6:
        refuse("format", "a TDX quote", f"{len(quote)} bytes")
    version, _, tee = struct.unpack_from("<HHI", quote)
    if tee != _TEE_TDX or version not in (4, 5):
        refuse("format", "a TDX quote of version 4 or 5", f"version {version}, TEE {tee:#x}")
    start, size = _HEADER, _BODY_SIZES[2]
    if version == 5:
        kind, size = struct.unpack_from("<HI", quote, _HEADER)
        start = _HEADER + 6
        if _BODY_SIZES.get(kind) != size:
            refuse("format", "a quote with a TD report", f"body {kind} of {size} bytes")
    if len(quote) < start + size:
        refuse("format", "a whole quote", f"{len(quote)} bytes")
    return quote[start : start + size]


def _check_guest(guest: Guest, policy: TdxPolicy, chip_ids: frozenset[str] | None) -> None:
    if guest.mr_td.hex() not in policy.mr_td:
        refuse("measurement", "an MRTD of the policy", guest.mr_td.hex())
    if policy.mr_seam is not None and guest.mr_seam.hex() not in policy.mr_seam:
        refuse("measurement", "an MRSEAM of the policy", guest.mr_seam.hex())
    for index, wanted in policy.rtmrs.items():
        if guest.rtmrs[index].hex() not in wanted:
            refuse("measurement", f"an RTMR {index} of the policy", guest.rtmrs[index].hex())
    # SECURITY: a policy that knows its chips means them.
    if chip_ids is not None:
        refuse("chip_id", "a chip of the policy", "a quote of TDX, which names none")
    if guest.attributes & _DEBUG:
        refuse("debug", "a guest whose memory the host cannot read", f"attributes {guest.attributes:#x}")
    if guest.attributes & _MIGRATABLE:
        refuse("migrate", "a guest that cannot be migrated", f"attributes {guest.attributes:#x}")
    if any(guest.service_td):
        refuse("migrate", "a guest without a service TD", guest.service_td.hex())
    if guest.attributes & ~(_DEBUG | _MIGRATABLE | _HARMLESS):
        refuse("policy_bits", "no TD attributes but the known ones", f"attributes {guest.attributes:#x}")
    if not guest.attributes & _NO_SURPRISE:
        refuse("policy_bits", "SEPT_VE_DISABLE", f"attributes {guest.attributes:#x}")


def _verified(quote: bytes, collateral: bytes, now: datetime) -> tuple[str, list[str]]:
    """The platform's status and the advisories that concern it, of a quote that Intel's root vouches for."""
    try:
        library: Any = importlib.import_module(_LIBRARY)
    except ImportError:
        next = "pip install 'bastionlab[tdx]'"
        refuse("tdx_status", "dcap-qvl, which verifies Intel's quotes", "it is not installed", next)
    try:
        known = library.QuoteCollateralV3.from_json(collateral.decode("utf-8"))
    except Exception as error:
        refuse("collateral", "Intel's collateral in JSON", error)
    try:
        report = library.verify(quote, known, int(now.timestamp()))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in the library is not an Exception
        is_stale = any(word in str(error).lower() for word in _STALE)
        refuse("collateral" if is_stale else "signature", "a quote that Intel's collateral vouches for", error)
    return report.status, list(report.advisory_ids)
