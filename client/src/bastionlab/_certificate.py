"""The certificate that a server shows. It is self-signed and says nothing but its key, and that is who the server is."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bastionlab import errors

# The name in it, whatever address the server is reached at.
SERVER_NAME = "localhost"


def public_key_of(certificate: x509.Certificate | None) -> bytes:
    """The server's TLS key as SubjectPublicKeyInfo in DER."""
    try:
        key = None if certificate is None else certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    # SECURITY: one kind of key with one encoding, so that what evidence and sign-in are bound to cannot be read in two ways.
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise errors.AttestationError(
            "tls", "a server with a TLS key on P-256", "none" if key is None else f"a key of {type(key).__name__.lower()}"
        )
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
