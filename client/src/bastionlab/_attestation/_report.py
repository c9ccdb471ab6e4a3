"""The fields of an SEV-SNP attestation report (AMD publication 56860, table "ATTESTATION_REPORT").

Nothing is verified here but what lets the bytes be read: their number, and that what is reserved is zero.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bastionlab._attestation._refuse import refuse

SIZE = 0x4A0
SIGNED = 0x2A0  # the signature is over so many bytes
_COMPONENT = 72  # of the signature: R and S, little endian
_ECDSA_P384_SHA384 = 1

POLICY_BITS = {
    "smt": 16,
    "migrate_ma": 18,
    "debug": 19,
    "single_socket": 20,
    "cxl": 21,
    "mem_aes_256_xts": 22,
    "rapl_dis": 23,
    "ciphertext_hiding": 24,
    "page_swap_disable": 25,
}
_POLICY_MUST_BE_ONE, _POLICY_KNOWN = 17, 26
# What a set bit permits to the host; the others restrict it and need no leave.
PERMISSIVE = ("smt", "cxl")
RESTRICTIVE = ("single_socket", "mem_aes_256_xts", "rapl_dis", "ciphertext_hiding", "page_swap_disable")
PLATFORM_BITS = {
    "smt": 0,
    "tsme": 1,
    "ecc": 2,
    "rapl_dis": 3,
    "ciphertext_hiding": 4,
    "alias_check_complete": 5,
    "tio": 7,
}
# Where each security patch level stands in the 8 bytes of a TCB version.
TCB_LAYOUT = {
    "Milan": {"bl": 0, "tee": 1, "snp": 6, "ucode": 7},
    "Genoa": {"bl": 0, "tee": 1, "snp": 6, "ucode": 7},
    "Turin": {"fmc": 0, "bl": 1, "tee": 2, "snp": 3, "ucode": 7},
}
# The model that a floor of the bare product is for: microcode is numbered per model (Siena's 25 is newer than Genoa's 84).
_BASE_MODEL = {"Milan": 0x01, "Genoa": 0x11, "Turin": 0x02}


def product_of(family: int, model: int) -> str | None:
    """Whose root a CPU chains to."""
    if family == 0x19 and model <= 0x0F:
        return "Milan"
    if family == 0x19 and (0x10 <= model <= 0x1F or 0xA0 <= model <= 0xAF):  # the latter: Siena, Bergamo
        return "Genoa"
    if family == 0x1A and model <= 0x11:
        return "Turin"
    return None


@dataclass(frozen=True)
class Report:
    raw: bytes
    version: int
    guest_svn: int
    guest_policy: int
    vmpl: int
    platform_info: int
    signing_key: str  # "VCEK", "VLEK" or "none"
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    reported_tcb: bytes
    committed_tcb: bytes
    launch_tcb: bytes
    family: int
    model: int
    chip_id: bytes

    @classmethod
    def read(cls, raw: bytes) -> Report:
        if len(raw) != SIZE:
            refuse("format", f"a report of {SIZE} bytes", f"{len(raw)} bytes")
        version, guest_svn, guest_policy = struct.unpack_from("<IIQ", raw, 0)
        vmpl, algorithm = struct.unpack_from("<II", raw, 0x30)
        platform_info, signer, reserved = struct.unpack_from("<QII", raw, 0x40)
        if algorithm != _ECDSA_P384_SHA384:
            refuse("format", "an ECDSA signature on P-384 with SHA-384", f"algorithm {algorithm}")
        if reserved or signer >> 5 or any(raw[SIGNED + 2 * _COMPONENT :]):
            refuse("format", "zeros where a report is reserved", "other bytes")
        # SECURITY: a bit that this verifier does not know may permit anything.
        if guest_policy >> _POLICY_KNOWN or not guest_policy >> _POLICY_MUST_BE_ONE & 1:
            refuse("format", "no guest policy bits but the known ones", f"guest policy {guest_policy:#x}")
        return cls(
            raw=raw,
            version=version,
            guest_svn=guest_svn,
            guest_policy=guest_policy,
            vmpl=vmpl,
            platform_info=platform_info,
            signing_key={0: "VCEK", 1: "VLEK"}.get(signer >> 2 & 7, "none"),
            report_data=raw[0x50:0x90],
            measurement=raw[0x90:0xC0],
            host_data=raw[0xC0:0xE0],
            id_key_digest=raw[0xE0:0x110],
            author_key_digest=raw[0x110:0x140],
            reported_tcb=raw[0x180:0x188],
            committed_tcb=raw[0x1E0:0x1E8],
            launch_tcb=raw[0x1F0:0x1F8],
            family=raw[0x188],
            model=raw[0x189],
            chip_id=raw[0x1A0:0x1E0],
        )

    def signature(self) -> tuple[int, int]:
        middle, end = SIGNED + _COMPONENT, SIGNED + 2 * _COMPONENT
        return int.from_bytes(self.raw[SIGNED:middle], "little"), int.from_bytes(self.raw[middle:end], "little")

    def permits(self, bit: str) -> bool:
        return bool(self.guest_policy >> POLICY_BITS[bit] & 1)

    def has_platform(self, bit: str) -> bool:
        return bool(self.platform_info >> PLATFORM_BITS[bit] & 1)

    def has_cpuid(self) -> bool:
        return self.version >= 3

    def floor_name(self, product: str) -> str:
        """Under which name the policy has the floor of this CPU."""
        if not self.has_cpuid() or self.model == _BASE_MODEL[product]:
            return product
        return f"{product}/{self.model:02x}"

    def least_abi(self) -> tuple[int, int]:
        """The oldest firmware interface that the guest's policy admits."""
        return self.guest_policy >> 8 & 0xFF, self.guest_policy & 0xFF


def levels(tcb: bytes, product: str) -> dict[str, int]:
    """The security patch levels of a TCB version, by name."""
    return {name: tcb[index] for name, index in TCB_LAYOUT[product].items()}
