"""A gRPC channel to a server that has proved, to this very channel, what code it runs.

Invariants: a Link exists only after the server's evidence was verified. Before that the server was told the nonce, the protocol and
this client's version, and nothing else. With the exporter a link is one connection and ends with it; with the key it may connect
again, to the holder of the same key only.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import grpc

from bastionlab import errors
from bastionlab._acceptance import Acceptance
from bastionlab._address import Address
from bastionlab._attestation import Attested, Channel, verify
from bastionlab._channel import fetch_certificate, key_of, pinned_channel, tunnelled_channel
from bastionlab._methods import Method, metadata
from bastionlab._refusals import detail_of, error_of
from bastionlab.v1 import attestation_pb2, attestation_pb2_grpc, error_pb2

if TYPE_CHECKING:
    from bastionlab._tunnel import Tunnel

# A device makes a report for all who wait, and some take seconds.
EVIDENCE_TIMEOUT_SECONDS = 30.0
_NONCE_BYTES = 32
_NO_EXPORTER = bytes(32)


class Link:
    """Made by open_link; close it when done."""

    def __init__(self, channel: grpc.Channel, attested: Attested, tunnel: Tunnel | None) -> None:
        self.channel = channel
        self.attested = attested
        self._tunnel = tunnel
        self._stubs: dict[type, Any] = {}
        self._lost = False

    @property
    def binding(self) -> int:
        return self.attested.channel.binding

    @property
    def public_key(self) -> bytes:
        """The server's TLS key as SubjectPublicKeyInfo."""
        return self.attested.channel.public_key

    @property
    def exporter(self) -> bytes:
        """Of this connection; zeros where it is bound to the key only."""
        return self.attested.channel.exporter

    @property
    def is_lost(self) -> bool:
        """Whether it is known that nothing can be said on it any more."""
        return self._lost or (self._tunnel is not None and not self._tunnel.is_open)

    def lose(self) -> None:
        self._lost = True

    def bind(self, method: Method) -> Any:
        """The method, to be called on this link."""
        stub = self._stubs.get(method.stub)
        if stub is None:
            stub = self._stubs[method.stub] = method.stub(self.channel)
        return getattr(stub, method.name)

    def close(self) -> None:
        self._lost = True
        self.channel.close()
        if self._tunnel is not None:
            self._tunnel.close()


def open_link(address: Address, acceptance: Acceptance) -> Link:
    """Connects, asks for evidence bound to the connection, and verifies it; AttestationError where it does not satisfy."""
    with ExitStack() as opened:
        tunnel = None
        if acceptance.binding == attestation_pb2.BINDING_EXPORTER:
            from bastionlab._tunnel import Tunnel  # where there are unix sockets

            tunnel = Tunnel(address)
            opened.callback(tunnel.close)
            facts = Channel(tunnel.public_key, attestation_pb2.BINDING_EXPORTER, tunnel.exporter)
            channel = tunnelled_channel(tunnel)
        else:
            certificate = fetch_certificate(address)
            facts = Channel(key_of(certificate), attestation_pb2.BINDING_KEY, _NO_EXPORTER)
            channel = pinned_channel(address, certificate)
        opened.callback(channel.close)
        # SECURITY: drawn for this call, so evidence that was given before, to whomever, does not do.
        nonce = secrets.token_bytes(_NONCE_BYTES)
        evidence = _evidence(channel, nonce, facts.binding, str(address))
        policy = acceptance.policy_for(evidence.format, address)
        link = Link(channel, verify(evidence, nonce, facts, policy), tunnel)
        opened.pop_all()
        return link


def _evidence(channel: grpc.Channel, nonce: bytes, binding: int, address: str) -> attestation_pb2.Evidence:
    ask = attestation_pb2_grpc.AttestationServiceStub(channel).GetEvidence
    request = attestation_pb2.GetEvidenceRequest(nonce=nonce, binding=attestation_pb2.Binding.Name(binding))
    try:
        evidence: attestation_pb2.Evidence = ask(request, metadata=metadata(), timeout=EVIDENCE_TIMEOUT_SECONDS)
        return evidence
    except grpc.RpcError as error:
        raise _no_evidence(error, address) from None


def _no_evidence(error: grpc.RpcError, address: str) -> errors.BastionLabError:
    """Of what a server says before it has proved anything, only that it speaks another protocol, or is not there, is believed."""
    detail = detail_of(error)
    kind = detail.kind if detail is not None else error_pb2.ErrorDetail.KIND_UNSPECIFIED
    if kind in (error_pb2.ErrorDetail.KIND_VERSION_MISMATCH, error_pb2.ErrorDetail.KIND_UNAVAILABLE):
        return error_of(error, address)
    if not kind and error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return error_of(error, address)
    seen, whose = f"a refusal ({error.code().name.lower()})", "ask its operator"
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        seen = "one that does not know the call for it"
        whose = "ask its operator whether it is BastionLab 1.0 or newer; the first product's servers, to 0.3.7, prove nothing"
    return errors.AttestationError(
        "evidence",
        "a server that proves what code it runs",
        f"{seen}, at {address}",
        next=f"{whose}; nothing was sent to it",
    )
