"""A BastionLab server in the tests' own process: real gRPC over real TLS, and as much of the protocol's rules as clients can see.

It checks what the real server checks of a client - metadata, signatures, digests, order of parts - and can be told to misbehave. It
proves itself by a device in software, and has a fresh TLS key after each start.
"""

from __future__ import annotations

import datetime
import secrets
import threading
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field

import grpc
import torch
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from fake_audit import Audit
from fake_datasets import Datasets, PartialUpload
from fake_front import Front
from fake_ledger import FakeLedger, LedgerService
from fake_models import Models
from fake_refusals import Kind, abort
from fake_service import StoredDataset
from fake_sessions import Attestation, Sessions
from fake_training import Training
from software_device import SoftwareDevice, claims

from bastionlab import __version__
from bastionlab._attestation import Channel
from bastionlab.v1 import (
    attestation_pb2,
    attestation_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    dataset_pb2,
    dataset_pb2_grpc,
    error_pb2,
    ledger_pb2_grpc,
    model_pb2_grpc,
    session_pb2_grpc,
    training_pb2,
    training_pb2_grpc,
    user_pb2,
)


@dataclass
class FakeServer:
    """Start it with `with`; then `port` is where it listens."""

    development: bool = True
    protocol: int = 1
    port: int = 0
    token_seconds: int = 3600
    hold_runs: bool = False
    """Whether runs stay running until `release_runs`."""
    interrupt_runs: int = 0
    """How many runs begin to wait for the owner of their dataset, when their first steps are done."""
    datasets: dict[str, StoredDataset] = field(default_factory=dict)
    archives: dict[str, bytes] = field(default_factory=dict)
    requests: dict[str, training_pb2.TrainingRequest] = field(default_factory=dict)
    tests: dict[str, training_pb2.TestRequest] = field(default_factory=dict)
    runs: dict[str, training_pb2.Run] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before: dict[str, Callable[[grpc.ServicerContext], None]] = field(default_factory=dict)
    """What happens at the start of a call, by the method's name: `server.before["ListDatasets"] = refuse(...)`."""
    model_refusals: list[error_pb2.ErrorDetail] = field(default_factory=list)
    """What the next uploaded models are refused with, once they have been read."""
    weights_filter: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] = field(default=lambda weights: weights)
    download_filter: Callable[[bytes], bytes] = field(default=lambda file: file)
    tokens: dict[str, str] = field(default_factory=dict)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    lineages: list[dataset_pb2.Lineage] = field(default_factory=list)
    """What the next uploads share with earlier ones; those joined bring one account."""
    device: SoftwareDevice = field(default_factory=SoftwareDevice)
    evidence_filter: Callable[[attestation_pb2.Evidence], attestation_pb2.Evidence] = field(default=lambda honest: honest)
    said_version: str = __version__
    """In its Hello; what it proves is this package's."""
    devices: tuple[str, ...] = ()
    """What runs compute on beside the CPU."""
    roles: dict[str, list[user_pb2.Role]] = field(default_factory=dict)
    audit: list[audit_pb2.AuditEntry] = field(default_factory=list)
    uploads: dict[str, PartialUpload] = field(default_factory=dict)
    token_exporters: dict[str, bytes] = field(default_factory=dict)
    interceptors: list[grpc.ServerInterceptor] = field(default_factory=list)
    _challenges: set[bytes] = field(default_factory=set)

    def __enter__(self) -> FakeServer:
        self._released = threading.Event()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release_runs()
        self.stop()

    def start(self, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        """With a fresh TLS key, unless one is given."""
        self.key, self.certificate = self_signed(key)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(8), interceptors=self.interceptors, options=[("grpc.so_reuseport", 0)]
        )
        attestation_pb2_grpc.add_AttestationServiceServicer_to_server(Attestation(self), self._server)
        audit_pb2_grpc.add_AuditServiceServicer_to_server(Audit(self), self._server)
        session_pb2_grpc.add_SessionServiceServicer_to_server(Sessions(self), self._server)
        dataset_pb2_grpc.add_DatasetServiceServicer_to_server(Datasets(self), self._server)
        model_pb2_grpc.add_ModelServiceServicer_to_server(Models(self), self._server)
        training_pb2_grpc.add_TrainingServiceServicer_to_server(Training(self), self._server)
        if self.ledger.signs:
            ledger_pb2_grpc.add_LedgerServiceServicer_to_server(LedgerService(self), self._server)
        backend = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.front = Front(self.port, backend, self.key, self.certificate)
        self.port = self.front.port

    def stop(self) -> None:
        self.front.stop_listening()
        self._server.stop(0).wait()
        self.front.close()

    def restart(self) -> None:
        """Comes back with the same data and another TLS key, and knows no token any more."""
        self.stop()
        self.tokens.clear()
        self.start()

    def claims(self) -> bytes:
        return claims(
            version=__version__,
            ledger_key=self.ledger.public,
            boot_id=self.ledger.boot,
            storage_level=self.ledger.level,
            development=self.development,
        )

    def channel(self, context: grpc.ServicerContext, binding: int) -> Channel:
        """What this end knows of the connection of a call."""
        exporter = self.exporter(context) if binding == attestation_pb2.BINDING_EXPORTER else bytes(32)
        public_key = self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Channel(public_key, binding, exporter)

    def exporter(self, context: grpc.ServicerContext) -> bytes:
        return self.front.exporters[int(context.peer().rsplit(":", 1)[1])]

    def release_runs(self) -> None:
        self._released.set()

    def enter(self, context: grpc.ServicerContext, method: str, signed_in: bool = True) -> str:
        """The rules of session.proto for every call; returns the caller's user."""
        self.calls.append(method)
        metadata: dict[str, str | bytes] = dict(context.invocation_metadata())
        if metadata.get("bastionlab-protocol") != str(self.protocol):
            raise abort(context, Kind.KIND_VERSION_MISMATCH, "the client speaks another protocol", "install another client")
        assert metadata["bastionlab-client"], "a client says its version"
        token = str(metadata.get("authorization", "")).removeprefix("Bearer ")
        user = self.tokens.get(token, "")
        if self.token_exporters.get(token, bytes(32)) not in (bytes(32), self.exporter(context)):
            user = ""  # a token of another connection
        if signed_in and not user:
            raise abort(context, Kind.KIND_UNAUTHENTICATED, "the token is not known", "sign in")
        if method in self.before:
            self.before[method](context)
        return user

    def challenge(self) -> bytes:
        fresh = secrets.token_bytes(32)
        self._challenges.add(fresh)
        return fresh

    def take_challenge(self, challenge: bytes) -> bool:
        known = challenge in self._challenges
        self._challenges.discard(challenge)
        return known

    def wait_for_release(self, context: grpc.ServicerContext) -> None:
        while self.hold_runs and context.is_active() and not self._released.wait(0.01):
            pass


def self_signed(key: ec.EllipticCurvePrivateKey | None = None) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    return key, builder.sign(key, hashes.SHA256())
