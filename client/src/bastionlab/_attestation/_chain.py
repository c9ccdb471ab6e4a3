"""From a report to its root: three certificates, and the signature over the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from bastionlab._attestation._der import Certificate
from bastionlab._attestation._refuse import refuse
from bastionlab._attestation._report import SIGNED, Report

CERTIFICATES = 3  # of the report's key, of what signed it, of the root
_RSASSA_PSS = "1.2.840.113549.1.1.10"
_SALT = 48
_P384_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973


def check_chain(key: Certificate, above: Sequence[bytes], signing_key: str, pins: frozenset[str] | None, now: datetime) -> None:
    """The key's certificate leads to a root that is pinned; ``None``: to any."""
    middle, root = (Certificate.read(each) for each in above)
    seen = sha256(root.public_key).hexdigest()
    # SECURITY: the root is known by its key; its certificate came over the wire like everything else.
    if pins is not None and seen not in pins:
        refuse("chain", "a root that is pinned", f"a root whose key has the SHA-256 {seen}")
    _check_issued(root, root, "the root", now)
    _check_issued(middle, root, "the certificate under the root", now)
    _check_issued(key, middle, f"the {signing_key}", now)
    # One root signs keys of chips and keys of clouds: one must not pass for the other.
    if key.common_name() != f"SEV-{signing_key}":
        refuse("chain", f"a certificate for SEV-{signing_key}", f"one for {key.common_name()!r}")


def check_signature(report: Report, key: Certificate) -> None:
    """The report is signed with the key that the certificate names: over its bytes as they came."""
    public = load_der_public_key(key.public_key)
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP384R1):
        refuse("signature", "a key on P-384", "another key")
    r, s = report.signature()
    if not (0 < r < _P384_ORDER and 0 < s < _P384_ORDER):
        refuse("signature", "a signature within the order of P-384", "numbers outside of it")
    try:
        public.verify(encode_dss_signature(r, s), report.raw[:SIGNED], ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        refuse("signature", "a report signed with the key of its certificate", "a signature that does not verify")


def _check_issued(certificate: Certificate, issuer: Certificate, what: str, now: datetime) -> None:
    if certificate.issuer != issuer.subject:
        refuse("chain", f"{what} issued by the certificate above it", "the name of another issuer")
    if certificate.signature_algorithm != _RSASSA_PSS:
        refuse("chain", f"{what} signed with RSASSA-PSS", f"algorithm {certificate.signature_algorithm}")
    if not certificate.not_before <= now <= certificate.not_after:
        period = f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}"
        refuse("chain", f"{what} valid at {now:%Y-%m-%d}", f"valid from {period}")
    public = load_der_public_key(issuer.public_key)
    if not isinstance(public, rsa.RSAPublicKey):
        refuse("chain", f"an RSA key above {what}", "another key")
    # The algorithm is this line's, whatever the parameters in the certificate say.
    scheme = padding.PSS(padding.MGF1(hashes.SHA384()), _SALT)
    try:
        public.verify(certificate.signature, certificate.signed, scheme, hashes.SHA384())
    except InvalidSignature:
        refuse("chain", f"{what} signed by the key above it", "a signature that does not verify")
