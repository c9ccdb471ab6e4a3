"""One case of vectors/attestation/synthetic.json, and the devices in software that sign them."""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from software_device import SoftwareDevice, claims, policy_for

from bastionlab._attestation import Channel, _saved
from bastionlab.v1 import attestation_pb2

KEY, EXPORTER = attestation_pb2.BINDING_KEY, attestation_pb2.BINDING_EXPORTER
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
NONCE, OTHER_NONCE, CONNECTION, OTHER_CONNECTION = (bytes([number]) * 32 for number in (0x11, 0x12, 0x21, 0x22))

Case = dict[str, Any]

MILAN, GENOA, SIENA, TURIN = (SoftwareDevice(product, format="sev-snp") for product in ("Milan", "Genoa", "Siena", "Turin"))
VLEK = SoftwareDevice(format="sev-snp", signing_key="VLEK")
SIMULATED = SoftwareDevice()
STRANGER = SoftwareDevice(format="sev-snp", fresh_keys=True)
CLAIMS = claims()


def public_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


SERVER, MIDDLEMAN = public_key(), public_key()


def case(
    name: str,
    refused: str | None,
    device: SoftwareDevice = MILAN,
    *,
    binding: int = EXPORTER,
    said: bytes = CLAIMS,
    policy: Mapping[str, Any] | None = None,
    whole_policy: Mapping[str, Any] | None = None,
    roots: Mapping[str, frozenset[str]] | str | None = "device",  # or pins, or None: AMD's
    now: datetime = NOW,
    # What the device attested to, where that is not what the verifier knows.
    attested_key: bytes = SERVER,
    attested_nonce: bytes = NONCE,
    attested_exporter: bytes = CONNECTION,
    # What the verifier knows.
    nonce: bytes = NONCE,
    exporter: bytes = CONNECTION,
    exposed: int | None = None,  # the binding that the verifier asked for
    changed: Mapping[str, Any] | None = None,  # fields of the evidence, afterwards
    nothing: bool = False,  # no evidence at all
    **shape: Any,
) -> Case:
    evidence = device.evidence(attested_nonce, binding, Channel(attested_key, binding, attested_exporter), said, **shape)
    for field, value in (changed or {}).items():
        if isinstance(value, list):
            del getattr(evidence, field)[:]
            getattr(evidence, field).extend(value)
        else:
            setattr(evidence, field, value)
    wanted = exposed or binding
    if nothing:
        evidence = attestation_pb2.Evidence()
    endorsements = list(evidence.endorsements)
    del evidence.endorsements[:]
    members = _saved.members(evidence, nonce, Channel(SERVER, wanted, exporter))
    pins = MILAN.roots if device is STRANGER else device.roots if roots == "device" else roots
    return {
        "name": name,
        "evidence": members["evidence"],
        "endorsements": endorsements,
        **{member: members[member] for member in ("public_key", "nonce", "exporter")},
        "policy": dict(whole_policy) if whole_policy is not None else policy_for(device, **(policy or {})),
        "roots": pins and {product: sorted(some) for product, some in pins.items()},
        "now": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "refused": refused,
    }
