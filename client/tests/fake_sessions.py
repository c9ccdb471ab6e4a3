"""The fake server's proof of itself, and its sign-ins."""

from __future__ import annotations

import hashlib
import secrets

import grpc
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from fake_refusals import Kind, abort
from fake_service import Service

from bastionlab.v1 import attestation_pb2, attestation_pb2_grpc, session_pb2, session_pb2_grpc


class Attestation(Service, attestation_pb2_grpc.AttestationServiceServicer):
    def GetEvidence(self, request: attestation_pb2.GetEvidenceRequest, context: grpc.ServicerContext) -> attestation_pb2.Evidence:
        self._s.enter(context, "GetEvidence", signed_in=False)
        assert not any(key == "authorization" for key, _ in context.invocation_metadata()), "no token is shown before"
        assert len(request.nonce) == 32
        channel = self._s.channel(context, request.binding)
        honest = self._s.device.evidence(request.nonce, request.binding, channel, self._s.claims())
        evidence: attestation_pb2.Evidence = self._s.evidence_filter(honest)
        return evidence


class Sessions(Service, session_pb2_grpc.SessionServiceServicer):
    def Hello(self, request: session_pb2.HelloRequest, context: grpc.ServicerContext) -> session_pb2.HelloResponse:
        self._s.enter(context, "Hello", signed_in=False)
        return session_pb2.HelloResponse(
            server_version=self._s.said_version, protocol=self._s.protocol, challenge=self._s.challenge()
        )

    def SignIn(self, request: session_pb2.SignInRequest, context: grpc.ServicerContext) -> session_pb2.SignInResponse:
        self._s.enter(context, "SignIn", signed_in=False)
        channel = self._s.channel(context, request.binding)
        binding = bytes([request.binding]) + hashlib.sha256(channel.public_key).digest() + channel.exporter
        message = b"bastionlab.v1 sign-in 2\0" + request.challenge + binding
        key = serialization.load_der_public_key(request.public_key)
        try:
            assert self._s.take_challenge(request.challenge), "a challenge is good once"
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(request.signature, message)
            else:
                assert isinstance(key, ec.EllipticCurvePublicKey)
                key.verify(request.signature, message, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, AssertionError):
            raise abort(context, Kind.KIND_UNAUTHENTICATED, "the signature is wrong", "check the key") from None
        token = secrets.token_hex(16)
        user = self._s.tokens[token] = hashlib.sha256(request.public_key).hexdigest()
        self._s.token_exporters[token] = channel.exporter
        return session_pb2.SignInResponse(
            token=token, expires_in_seconds=self._s.token_seconds, user=user, roles=self._s.roles.get(user, ())
        )
