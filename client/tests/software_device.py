"""An SEV-SNP device in software, for tests: it signs reports as AMD's does, under a root of its own.

    device = SoftwareDevice()                                                # a Milan, whose evidence says that it is simulated
    channel = Channel(public_key, attestation_pb2.BINDING_KEY)               # of bastionlab._attestation
    evidence = device.evidence(nonce, channel.binding, channel, claims())    # as GetEvidence answers
    verify(evidence, nonce, channel, SIMULATED)

``evidence(..., debug=True, measurement=bytes(48))`` makes one that is wrong in the named ways; `Shape` has every name.
``SoftwareDevice("Turin", format="sev-snp")`` passes for a real device of another product where its root is pinned:
``verify(evidence, nonce, channel, Policy.parse(policy_for(device)), roots=device.roots)``. RSA keys are drawn once per process and
shared by all devices, unless they are asked for with ``fresh_keys=True``.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bastionlab._attestation import Channel, _binding, _der
from bastionlab._attestation._report import POLICY_BITS, SIGNED, SIZE, TCB_LAYOUT
from bastionlab.v1 import attestation_pb2

KDS = "1.3.6.1.4.1.3704.1."
_LEVEL_OIDS = {"bl": "3.1", "tee": "3.2", "snp": "3.3", "ucode": "3.8", "fmc": "3.9"}
# Family, model, the product whose root it chains to, the TCB it is at.
PRODUCTS: dict[str, tuple[int, int, str, dict[str, int]]] = {
    "Milan": (0x19, 0x01, "Milan", {"bl": 4, "tee": 0, "snp": 24, "ucode": 219}),
    "Genoa": (0x19, 0x11, "Genoa", {"bl": 10, "tee": 0, "snp": 23, "ucode": 84}),
    "Siena": (0x19, 0xA0, "Genoa", {"bl": 10, "tee": 0, "snp": 23, "ucode": 25}),
    "Turin": (0x1A, 0x02, "Turin", {"fmc": 1, "bl": 2, "tee": 0, "snp": 4, "ucode": 77}),
}
MEASUREMENT, CONFIG, CHIP = bytes([0xAB]) * 48, bytes([0xC0]) * 48, bytes(range(1, 65))
NOT_BEFORE, NOT_AFTER = datetime(2025, 1, 1, tzinfo=timezone.utc), datetime(2040, 1, 1, tzinfo=timezone.utc)


def claims(**changed: Any) -> bytes:
    """Encoded claims of a server outside of development mode."""
    fields: dict[str, Any] = dict(
        version="1.0.0", ledger_key=bytes(32), config_digest=CONFIG, boot_id="boot", storage_level="memory"
    )
    encoded: bytes = attestation_pb2.Claims(**(fields | changed)).SerializeToString(deterministic=True)
    return encoded


@dataclass(frozen=True)
class Shape:
    """What a report, its certificates and its evidence hold. None: what is right."""

    # The report.
    version: int = 3
    guest_svn: int = 0
    abi: tuple[int, int] = (1, 55)
    debug: bool = False
    migrate: bool = False
    bits: Sequence[str] = ()  # further bits of the guest policy, by name
    guest_policy: int | None = None  # instead of abi and all bits
    vmpl: int = 0
    algorithm: int = 1
    platform_info: int = 1 << 5
    signer_info: int | None = None
    report_data: bytes | None = None
    measurement: bytes = MEASUREMENT
    host_data: bytes = bytes(32)
    id_key_digest: bytes = bytes(48)
    author_key_digest: bytes = bytes(48)
    tcb: Mapping[str, int] | None = None  # levels by name that differ from the product's, in all four places
    committed: Mapping[str, int] | None = None  # the same, of this one only
    launch: Mapping[str, int] | None = None
    cpuid: tuple[int, int] | None = None
    chip_id: bytes = CHIP
    patch: Mapping[int, bytes] = field(default_factory=dict)  # bytes of the report by offset, before it is signed
    patch_signed: Mapping[int, bytes] = field(default_factory=dict)  # the same, afterwards
    # The certificates.
    signing_key: str = "VCEK"
    cert_tcb: Mapping[str, int] | None = None  # levels that the certificate is for, where not those reported
    hwid: bytes | None = None
    product_name: str | None = None
    without: Sequence[str] = ()  # extensions to leave out, as "3.1" or "4"
    common_name: str | None = None
    issuer: str | None = None
    signed_by: str = "ask"  # or "ark"
    pss: bool = True
    salt: int = 48
    curve: ec.EllipticCurve = field(default_factory=ec.SECP384R1)
    validity: tuple[datetime, datetime] = (NOT_BEFORE, NOT_AFTER)
    ask_signed_by: str = "ark"  # or "ask"
    ask_validity: tuple[datetime, datetime] = (NOT_BEFORE, NOT_AFTER)
    ark_signed_by: str = "ark"
    ark_validity: tuple[datetime, datetime] = (NOT_BEFORE, NOT_AFTER)
    # The evidence.
    format: str | None = None
    endorsements: Sequence[bytes] | None = None
    evidence_binding: int | None = None
    leaf_index: int = 0
    tree_size: int = 1
    path: Sequence[bytes] | None = None
    leaf: bytes | None = None


@dataclass(frozen=True)
class Keys:
    ark: rsa.RSAPrivateKey
    ask: rsa.RSAPrivateKey


@functools.lru_cache(maxsize=1)
def _shared_keys() -> Keys:
    return _fresh_keys()


def _fresh_keys() -> Keys:
    return Keys(rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048))


class SoftwareDevice:
    """A chip: its product, its keys, and what of its reports is always wrong (``always``, names of `Shape`)."""

    def __init__(self, product: str = "Milan", *, format: str = "simulated", fresh_keys: bool = False, **always: Any) -> None:
        self.product, self.format = product, format
        self.family, self.model, self.root_product, self.levels = PRODUCTS[product]
        self.keys = _fresh_keys() if fresh_keys else _shared_keys()
        self.chip_keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.shape = Shape(**always)
        if product == "Turin" and "chip_id" not in always:
            self.shape = dataclasses.replace(self.shape, chip_id=CHIP[:8] + bytes(56))
        self._certificates: dict[Any, bytes] = {}

    @property
    def root_pin(self) -> str:
        """The SHA-256 of the root's SubjectPublicKeyInfo, for the field ``roots`` of a policy."""
        return sha256(self.keys.ark.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    @property
    def roots(self) -> dict[str, frozenset[str]]:
        """Pins for `verify`, in the place of AMD's."""
        return {self.root_product: frozenset({self.root_pin})}

    def evidence(self, nonce: bytes, binding: int, channel: Channel, claims: bytes, **overrides: Any) -> attestation_pb2.Evidence:
        """What a server with this device answers; ``claims`` are encoded ones, ``overrides`` are names of `Shape`."""
        shape = dataclasses.replace(self.shape, **overrides)
        exporter = channel.exporter if binding == attestation_pb2.BINDING_EXPORTER else bytes(32)
        mine = _binding.leaf(binding, nonce, exporter) if shape.leaf is None else shape.leaf
        others = [sha256(b"another caller %d" % index).digest() for index in range(shape.tree_size)]
        leaves = [*others[: shape.leaf_index], mine, *others[shape.leaf_index + 1 :]]
        head, path = tree(leaves, min(shape.leaf_index, len(leaves) - 1))
        report_data = _binding.report_data(channel.public_key, claims, head)
        return attestation_pb2.Evidence(
            format=self.format if shape.format is None else shape.format,
            report=self.report(report_data, shape),
            endorsements=self.endorsements(shape) if shape.endorsements is None else shape.endorsements,
            claims=claims,
            binding=binding if shape.evidence_binding is None else shape.evidence_binding,  # type: ignore[arg-type]
            path=path if shape.path is None else shape.path,
            leaf_index=shape.leaf_index,
            tree_size=shape.tree_size,
        )

    def report(self, report_data: bytes, shape: Shape) -> bytes:
        raw = bytearray(SIZE)
        bits = [*(["debug"] if shape.debug else []), *(["migrate_ma"] if shape.migrate else []), *shape.bits]
        policy = sum(1 << POLICY_BITS[bit] for bit in bits) | 1 << 17 | shape.abi[0] << 8 | shape.abi[1]
        signer = (0 if shape.signing_key == "VCEK" else 1 << 2) if shape.signer_info is None else shape.signer_info
        struct.pack_into(
            "<IIQ", raw, 0, shape.version, shape.guest_svn, policy if shape.guest_policy is None else shape.guest_policy
        )
        struct.pack_into("<II", raw, 0x30, shape.vmpl, shape.algorithm)
        struct.pack_into("<QI", raw, 0x40, shape.platform_info, signer)
        placed = {
            0x50: report_data if shape.report_data is None else shape.report_data,
            0x90: shape.measurement,
            0xC0: shape.host_data,
            0xE0: shape.id_key_digest,
            0x110: shape.author_key_digest,
            0x1A0: shape.chip_id,
            0x38: self._tcb(shape.tcb),  # current
            0x180: self._tcb(shape.tcb),  # reported
            0x1E0: self._tcb(shape.committed or shape.tcb),
            0x1F0: self._tcb(shape.launch or shape.tcb),
        }
        if shape.version >= 3:
            placed[0x188] = bytes(shape.cpuid or (self.family, self.model))
        for offset, value in (placed | dict(shape.patch)).items():
            raw[offset : offset + len(value)] = value
        for offset, number in zip((SIGNED, SIGNED + 72), self._sign(bytes(raw[:SIGNED]), shape), strict=True):
            raw[offset : offset + 72] = number.to_bytes(72, "little")
        for offset, value in shape.patch_signed.items():
            raw[offset : offset + len(value)] = value
        return bytes(raw)

    def endorsements(self, shape: Shape | None = None) -> list[bytes]:
        """The certificates of the report's key, of what signed it, of the root."""
        shape = shape or self.shape
        root = f"ARK-{self.root_product}"
        middle = f"SEV-{'VLEK-' if shape.signing_key == 'VLEK' else ''}{self.root_product}"
        by = {"ark": self.keys.ark, "ask": self.keys.ask}
        chip = self._chip_key(shape.curve).public_key()
        name, issuer = shape.common_name or f"SEV-{shape.signing_key}", shape.issuer or middle
        scheme = (shape.pss, shape.salt)
        return [
            self._certificate(name, issuer, chip, by[shape.signed_by], shape.validity, self._extensions(shape), scheme),
            self._certificate(middle, root, self.keys.ask.public_key(), by[shape.ask_signed_by], shape.ask_validity),
            self._certificate(root, root, self.keys.ark.public_key(), by[shape.ark_signed_by], shape.ark_validity),
        ]

    def _chip_key(self, curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
        if curve.name not in self.chip_keys:
            self.chip_keys[curve.name] = ec.generate_private_key(curve)
        return self.chip_keys[curve.name]

    def _sign(self, signed: bytes, shape: Shape) -> tuple[int, int]:
        return decode_dss_signature(self._chip_key(shape.curve).sign(signed, ec.ECDSA(hashes.SHA384())))

    def _tcb(self, changed: Mapping[str, int] | None) -> bytes:
        tcb = bytearray(8)
        for name, level in (self.levels | dict(changed or {})).items():
            tcb[TCB_LAYOUT[self.root_product][name]] = level
        return bytes(tcb)

    def _extensions(self, shape: Shape) -> tuple[tuple[str, bytes], ...]:
        certified = self.levels | dict(shape.tcb or {}) | dict(shape.cert_tcb or {})
        hwid = (shape.chip_id[: 8 if self.root_product == "Turin" else 64]) if shape.hwid is None else shape.hwid
        product = (shape.product_name or self.root_product).encode()
        named = {"1": _integer(1), "2": bytes([0x16, len(product)]) + product}
        named |= {_LEVEL_OIDS[name]: _integer(level) for name, level in certified.items()}
        if shape.signing_key == "VCEK":
            named["4"] = hwid
        return tuple((KDS + name, value) for name, value in named.items() if name not in shape.without)

    def _certificate(
        self,
        subject: str,
        issuer: str,
        key: Any,
        by: rsa.RSAPrivateKey,
        validity: tuple[datetime, datetime],
        extensions: Sequence[tuple[str, bytes]] = (),
        scheme: tuple[bool, int] = (True, 48),
    ) -> bytes:
        public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        made = (subject, issuer, public, id(by), validity, extensions, scheme)
        if made not in self._certificates:
            builder = (
                x509.CertificateBuilder()
                .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
                .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
                .public_key(key)
                .serial_number(1)
                .not_valid_before(validity[0])
                .not_valid_after(validity[1])
            )
            for oid, value in extensions or ((KDS + "1", _integer(0)),):
                builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False)
            pss = padding.PSS(padding.MGF1(hashes.SHA384()), scheme[1])
            signed = builder.sign(by, hashes.SHA384(), rsa_padding=pss if scheme[0] else padding.PKCS1v15())
            self._certificates[made] = signed.public_bytes(Encoding.DER)
        return self._certificates[made]


def renamed_algorithm(certificate: bytes, by: rsa.RSAPrivateKey) -> bytes:
    """The certificate, signed with RSASSA-PSS as before, but under the name of PKCS #1 v1.5."""
    body, algorithm, _ = _der.items(_der.one(certificate, _der.SEQUENCE))
    fields = [field.encoded for field in _der.items(body.content)]
    fields[2] = _sequence(bytes.fromhex("06092a864886f70d01010c0500"))
    assert fields[2] != algorithm.encoded
    signed = _sequence(b"".join(fields))
    signature = by.sign(signed, padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())
    return _sequence(signed + fields[2] + b"\x03\x82" + (len(signature) + 1).to_bytes(2, "big") + b"\0" + signature)


def policy_for(device: SoftwareDevice, **changed: Any) -> dict[str, Any]:
    """A policy, as a file would hold it, that takes the device's evidence as it comes."""
    name = device.root_product if device.product != "Siena" else "Genoa/a0"
    written: dict[str, Any] = {
        "platforms": [device.format],
        "measurements": [MEASUREMENT.hex()],
        "tcb": {name: dict(device.levels)},
        "chip_ids": None,
        "config_digests": [CONFIG.hex()],
        "storage_levels": ["memory"],
        "signing_keys": [device.shape.signing_key],
    }
    return written | changed


def tree(leaves: Sequence[bytes], index: int) -> tuple[bytes, list[bytes]]:
    """The head of RFC 9162 (2.1.1) over the leaves, and the audit path of one of them, by their recursive definitions."""
    if len(leaves) == 1:
        return leaves[0], []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = leaves[:half], leaves[half:]
    if index < half:
        head, path = tree(left, index)
        sibling = tree(right, 0)[0]
        return sha256(b"\1" + head + sibling).digest(), [*path, sibling]
    head, path = tree(right, index - half)
    sibling = tree(left, 0)[0]
    return sha256(b"\1" + sibling + head).digest(), [*path, sibling]


def _sequence(content: bytes) -> bytes:
    length = len(content)
    return b"\x30" + (bytes([length]) if length < 0x80 else b"\x82" + length.to_bytes(2, "big")) + content


def _integer(value: int) -> bytes:
    content = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes([0x02, len(content)]) + content
