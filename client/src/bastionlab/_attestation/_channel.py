"""What a verifier knows of the channel that it asked for evidence on."""

from __future__ import annotations

from dataclasses import dataclass

from bastionlab.v1 import attestation_pb2


@dataclass(frozen=True)
class Channel:
    public_key: bytes  # of the certificate that the server showed, as SubjectPublicKeyInfo
    binding: int = attestation_pb2.BINDING_KEY
    exporter: bytes = bytes(32)  # zeros with the key binding
