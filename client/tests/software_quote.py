"""A TDX platform in software, for tests: quotes, and collateral for them, under a root of its own.

`dcap-qvl` takes the root as an argument of another function than the one that the product calls: a test puts that one in its place.
Layouts: Intel's "TDX DCAP Quoting Library API", appendix A.3; collateral as Intel's provisioning service serves it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
MR_TD, MR_SEAM = b"\xab" * 48, b"\x5e" * 48
RTMRS = tuple(bytes([number]) * 48 for number in range(4))
SEPT_VE_DISABLE = 1 << 28
_BEGIN, _END = NOW - timedelta(days=30), NOW + timedelta(days=30)
_FMSPC = bytes.fromhex("50806f000000")
_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_QE_SIGNER = b"\x0e" * 32
_SGX = "1.2.840.113741.1.13.1"


class SoftwarePlatform:
    def __init__(self) -> None:
        self.keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "ca", "tcb", "pck", "attestation")}
        self.root = self._certificate("root", "root", ca=True)
        self.ca = self._certificate("ca", "root", ca=True)
        self.tcb = self._certificate("tcb", "root")
        self.pck = self._certificate("pck", "ca", x509.UnrecognizedExtension(x509.ObjectIdentifier(_SGX), _sgx_extension()))

    @property
    def root_der(self) -> bytes:
        return self.root.public_bytes(Encoding.DER)

    def collateral(
        self, *, status: str = "UpToDate", advisories: Sequence[str] = (), expires: datetime = _END, revoked: str = ""
    ) -> bytes:
        """Intel's word on this platform, in the JSON of dcap-qvl. ``revoked``: "pck" or "ca"."""
        dates = {"issueDate": _text(_BEGIN), "nextUpdate": _text(expires), "tcbEvaluationDataNumber": 17}
        level = {"tcbDate": _text(_BEGIN), "tcbStatus": status, "advisoryIDs": list(advisories)}
        components = [{"svn": 0}] * 16
        tcb = {"sgxtcbcomponents": components, "tdxtcbcomponents": components, "pcesvn": 0}
        module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        info = {"id": "TDX", "version": 3, **dates, "fmspc": _FMSPC.hex(), "pceId": "0000", "tcbType": 0, "tdxModule": module}
        identity = {
            "id": "TD_QE",
            "version": 2,
            **dates,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "00" * 16,
            "attributesMask": "FF" * 16,
            "mrsigner": _QE_SIGNER.hex(),
            "isvprodid": 2,
            "tcbLevels": [level | {"tcb": {"isvsvn": 0}, "tcbStatus": "UpToDate", "advisoryIDs": []}],
        }
        texts = [json.dumps(info | {"tcbLevels": [level | {"tcb": tcb}]}), json.dumps(identity)]
        chain = _pem(self.tcb, self.root)
        return json.dumps(
            {
                "pck_crl_issuer_chain": _pem(self.ca, self.root),
                "root_ca_crl": self._revocations("root", self.ca if revoked == "ca" else None).hex(),
                "pck_crl": self._revocations("ca", self.pck if revoked == "pck" else None).hex(),
                "tcb_info_issuer_chain": chain,
                "tcb_info": texts[0],
                "tcb_info_signature": self._sign("tcb", texts[0].encode()).hex(),
                "qe_identity_issuer_chain": chain,
                "qe_identity": texts[1],
                "qe_identity_signature": self._sign("tcb", texts[1].encode()).hex(),
            }
        ).encode()

    def quote(
        self,
        report_data: bytes,
        *,
        version: int = 4,
        attributes: int = SEPT_VE_DISABLE,
        mr_td: bytes = MR_TD,
        mr_seam: bytes = MR_SEAM,
        rtmrs: Sequence[bytes] = RTMRS,
        service_td: bytes = bytes(48),
        patch: Mapping[int, bytes] | None = None,  # bytes by offset, before it is signed
    ) -> bytes:
        body = bytearray(584)
        body[16:64], body[120:128], body[136:184] = mr_seam, attributes.to_bytes(8, "little"), mr_td
        body[328:520], body[520:584] = b"".join(rtmrs), report_data
        if version == 5:
            body = bytearray(struct.pack("<HI", 3, 648)) + body + bytes(16) + service_td
        signed = bytearray(struct.pack("<HHIHH", version, 2, 0x81, 0, 0) + _VENDOR + bytes(20)) + body
        for offset, value in (patch or {}).items():
            signed[offset : offset + len(value)] = value
        key = self.keys["attestation"].public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
        auth_data = bytes(32)
        enclave = bytearray(384)
        enclave[128:160], enclave[256:258] = _QE_SIGNER, struct.pack("<H", 2)
        enclave[320:352] = sha256(key + auth_data).digest()
        chain = _pem(self.pck, self.ca, self.root).encode()
        certified = bytes(enclave) + self._sign("pck", bytes(enclave)) + struct.pack("<H", 32) + auth_data
        certified += struct.pack("<HI", 5, len(chain)) + chain
        authentic = self._sign("attestation", bytes(signed)) + key + struct.pack("<HI", 6, len(certified)) + certified
        return bytes(signed) + struct.pack("<I", len(authentic)) + authentic

    def _sign(self, name: str, message: bytes) -> bytes:
        r, s = decode_dss_signature(self.keys[name].sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _certificate(self, name: str, issuer: str, *extensions: x509.ExtensionType, ca: bool = False) -> x509.Certificate:
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.keys[issuer].public_key())
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer))
            .public_key(self.keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_BEGIN)
            .not_valid_after(_END)
            .add_extension(above, False)
            .add_extension(usage, True)
            .add_extension(x509.BasicConstraints(ca, None), True)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, False)
        return builder.sign(self.keys[issuer], hashes.SHA256())

    def _revocations(self, issuer: str, revoked: x509.Certificate | None) -> bytes:
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.keys[issuer].public_key())
        builder = x509.CertificateRevocationListBuilder().issuer_name(_name(issuer)).last_update(_BEGIN).next_update(_END)
        builder = builder.add_extension(x509.CRLNumber(1), False).add_extension(above, False)
        if revoked is not None:
            entry = x509.RevokedCertificateBuilder().serial_number(revoked.serial_number).revocation_date(_BEGIN).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.keys[issuer], hashes.SHA256()).public_bytes(Encoding.DER)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"software {name}")])


def _pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sgx_extension() -> bytes:
    """What Intel's certificate of a platform says of it."""
    tcb = [_pair(f"{_SGX}.2.{number}", _der(0x02, b"\0")) for number in range(1, 18)]
    tcb.append(_pair(f"{_SGX}.2.18", _der(0x04, bytes(16))))
    pairs = [
        _pair(f"{_SGX}.1", _der(0x04, bytes(16))),
        _pair(f"{_SGX}.2", _der(0x30, b"".join(tcb))),
        _pair(f"{_SGX}.3", _der(0x04, bytes(2))),
        _pair(f"{_SGX}.4", _der(0x04, _FMSPC)),
        _pair(f"{_SGX}.5", _der(0x0A, b"\0")),
    ]
    return _der(0x30, b"".join(pairs))


def _pair(oid: str, value: bytes) -> bytes:
    first, second, *arcs = map(int, oid.split("."))
    encoded = bytes([40 * first + second]) + b"".join(map(_arc, arcs))
    return _der(0x30, _der(0x06, encoded) + value)


def _arc(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(groups[::-1])


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    return bytes([tag]) + (bytes([length]) if length < 0x80 else b"\x82" + length.to_bytes(2, "big")) + content


def tdx_policy(**changed: Any) -> dict[str, Any]:
    """A policy, as a file would hold it, that takes the platform's quotes as they come; ``changed``: fields of its field tdx."""
    tdx: dict[str, Any] = {
        "mr_td": [MR_TD.hex()],
        "mr_seam": [MR_SEAM.hex()],
        "rtmrs": {"1": [RTMRS[1].hex()], "2": [RTMRS[2].hex()]},
    }
    return {
        "platforms": ["tdx"],
        "measurements": [],
        "chip_ids": None,
        "config_digests": None,
        "storage_levels": ["memory"],
        "tdx": tdx | changed,
    }
