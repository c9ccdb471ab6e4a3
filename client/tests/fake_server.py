"""A BastionLab server in the tests' own process: real gRPC over real TLS, and as much of the protocol's rules as clients can see.

It checks what the real server checks of a client - metadata, signatures, digests, order of parts - and can be told to misbehave.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import safetensors.torch
import torch
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from fake_ledger import FakeLedger, LedgerService
from fake_refusals import Kind, abort, abort_with

from bastionlab.v1 import (
    dataset_pb2,
    dataset_pb2_grpc,
    error_pb2,
    ledger_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
    training_pb2,
    training_pb2_grpc,
)

NANO = 10**9
ATTO = 10**18
ENDED = (training_pb2.RUN_STATUS_COMPLETED, training_pb2.RUN_STATUS_FAILED, training_pb2.RUN_STATUS_CANCELLED)
Message = TypeVar("Message")


@dataclass
class StoredDataset:
    message: dataset_pb2.Dataset
    header: dataset_pb2.UploadDatasetHeader
    tensors: list[dict[str, torch.Tensor]]
    entries: list[dataset_pb2.BudgetEntry] = field(default_factory=list)

    def column(self, name: str) -> torch.Tensor:
        return torch.cat([batch[name] for batch in self.tensors])


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
    _challenges: set[bytes] = field(default_factory=set)

    def __enter__(self) -> FakeServer:
        self._released = threading.Event()
        key, self.certificate = self_signed()
        pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._credentials = grpc.ssl_server_credentials([(private, pem)])
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release_runs()
        self.stop()

    def start(self) -> None:
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        session_pb2_grpc.add_SessionServiceServicer_to_server(_Sessions(self), self._server)
        dataset_pb2_grpc.add_DatasetServiceServicer_to_server(_Datasets(self), self._server)
        model_pb2_grpc.add_ModelServiceServicer_to_server(_Models(self), self._server)
        training_pb2_grpc.add_TrainingServiceServicer_to_server(_Training(self), self._server)
        if self.ledger.signs:
            ledger_pb2_grpc.add_LedgerServiceServicer_to_server(LedgerService(self), self._server)
        self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", self._credentials)
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()

    def restart(self) -> None:
        """Comes back with the same certificate and data, but knows no token any more."""
        self.stop()
        self.tokens.clear()
        self.start()

    def release_runs(self) -> None:
        self._released.set()

    def enter(self, context: grpc.ServicerContext, method: str, signed_in: bool = True) -> str:
        """The rules of session.proto for every call; returns the caller's user."""
        self.calls.append(method)
        metadata: dict[str, str | bytes] = dict(context.invocation_metadata())
        if metadata.get("bastionlab-protocol") != str(self.protocol):
            raise abort(context, Kind.KIND_VERSION_MISMATCH, "the client speaks another protocol", "install another client")
        assert metadata["bastionlab-client"], "a client says its version"
        user = self.tokens.get(str(metadata.get("authorization", "")).removeprefix("Bearer "), "")
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


def self_signed() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    return key, builder.sign(key, hashes.SHA256())


def copy_of(message: Any) -> Any:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


class _Service:
    def __init__(self, server: FakeServer) -> None:
        self._s = server

    def _find(self, context: grpc.ServicerContext, table: dict[str, Message], key: str, what: str) -> Message:
        if key not in table:
            raise abort(context, Kind.KIND_NOT_FOUND, f"there is no such {what}", f"list what there is, {what}s change")
        return table[key]


class _Sessions(_Service, session_pb2_grpc.SessionServiceServicer):
    def Hello(self, request: session_pb2.HelloRequest, context: grpc.ServicerContext) -> session_pb2.HelloResponse:
        self._s.enter(context, "Hello", signed_in=False)
        info = session_pb2.ServerInfo(
            version="1.0.0", platform="none", development=self._s.development, binding="certificate",
            storage_level=self._s.ledger.level, ledger_key=self._s.ledger.public, boot_id=self._s.ledger.boot,
        )  # fmt: skip
        return session_pb2.HelloResponse(
            server_version="1.0.0", protocol=self._s.protocol, challenge=self._s.challenge(), info=info
        )

    def SignIn(self, request: session_pb2.SignInRequest, context: grpc.ServicerContext) -> session_pb2.SignInResponse:
        self._s.enter(context, "SignIn", signed_in=False)
        seen = hashlib.sha256(self._s.certificate.public_bytes(serialization.Encoding.DER)).digest()
        message = b"bastionlab.v1 sign-in\0" + request.challenge + seen
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
        self._s.tokens[token] = hashlib.sha256(request.public_key).hexdigest()
        return session_pb2.SignInResponse(token=token, expires_in_seconds=self._s.token_seconds, user=self._s.tokens[token])


class _Datasets(_Service, dataset_pb2_grpc.DatasetServiceServicer):
    def UploadDataset(
        self, requests: Iterator[dataset_pb2.UploadDatasetRequest], context: grpc.ServicerContext
    ) -> dataset_pb2.UploadDatasetResponse:
        user = self._s.enter(context, "UploadDataset")
        header = next(requests).header
        if header.HasField("privacy_limit") and not header.privacy_limit > 0:
            raise abort(context, Kind.KIND_INVALID_ARGUMENT, "the privacy_limit is not positive", "give another")
        digests = hashlib.sha256()
        batches: list[dict[str, torch.Tensor]] = []
        count = 0
        for request in requests:
            if request.WhichOneof("part") == "trailer":
                assert request.trailer.records == count == header.records
                assert request.trailer.sha256 == digests.digest()
                break
            assert hashlib.sha256(request.batch.safetensors).digest() == request.batch.sha256
            digests.update(request.batch.sha256)
            batches.append(safetensors.torch.load(request.batch.safetensors))
            assert set(batches[-1]) == {"label", *(f"input.{spec.name}" for spec in header.schema.inputs)}
            assert all(len(tensor) == request.batch.count for tensor in batches[-1].values())
            count += request.batch.count
        else:
            raise abort(context, Kind.KIND_INVALID_ARGUMENT, "the upload ended before its trailer", "send it again")
        declared = header.declared_samples or header.records
        message = dataset_pb2.Dataset(
            id=secrets.token_hex(16),
            name=header.name,
            description=header.description,
            schema=header.schema,
            declared_samples=declared,
            delta_atto=round(header.delta * ATTO)
            if header.HasField("delta")
            else ATTO // 10 ** math.ceil(math.log10(10 * declared)),
            public=header.public,
            owner=user,
            created_unix_ms=int(time.time() * 1000),
        )
        if header.HasField("privacy_limit"):
            message.privacy_limit_nano = round(header.privacy_limit * NANO)
        self._s.datasets[message.id] = StoredDataset(message, copy_of(header), batches)
        if header.test_of:
            self._s.datasets[header.test_of].message.test_id = message.id
        lineage = self._s.lineages.pop(0) if self._s.lineages else dataset_pb2.Lineage()
        if lineage.joined:
            message.account = lineage.joined[0]
            self._s.ledger.join(message, *lineage.joined)
            self._s.datasets[message.id].entries = self._s.datasets[message.account].entries
        else:
            self._s.ledger.open(message)
        receipts = self._s.ledger.books.get(message.account or message.id, [])[-1:]
        return dataset_pb2.UploadDatasetResponse(dataset=message, lineage=lineage, receipts=receipts)

    def ListDatasets(
        self, request: dataset_pb2.ListDatasetsRequest, context: grpc.ServicerContext
    ) -> dataset_pb2.ListDatasetsResponse:
        user = self._s.enter(context, "ListDatasets")
        listed = []
        for stored in reversed(self._s.datasets.values()):
            if not stored.header.test_of:
                listed.append(copy_of(stored.message))
                listed[-1].mine = stored.message.owner == user
        return dataset_pb2.ListDatasetsResponse(datasets=listed)

    def GetDataset(self, request: dataset_pb2.GetDatasetRequest, context: grpc.ServicerContext) -> dataset_pb2.Dataset:
        self._s.enter(context, "GetDataset")
        return self._find(context, self._s.datasets, request.id, "dataset").message

    def GetBudget(self, request: dataset_pb2.GetBudgetRequest, context: grpc.ServicerContext) -> dataset_pb2.Budget:
        self._s.enter(context, "GetBudget")
        return budget_of(self._find(context, self._s.datasets, request.dataset_id, "dataset"), self._s.ledger)

    def LowerLimit(self, request: dataset_pb2.LowerLimitRequest, context: grpc.ServicerContext) -> dataset_pb2.Budget:
        self._s.enter(context, "LowerLimit")
        stored = self._find(context, self._s.datasets, request.dataset_id, "dataset")
        if request.privacy_limit * NANO > stored.message.privacy_limit_nano:
            raise abort(context, Kind.KIND_INVALID_ARGUMENT, "the limit can only be lowered", "give a smaller one")
        limit = round(request.privacy_limit * NANO)
        if limit != self._s.ledger.limit_of(stored.message):
            stored.message.privacy_limit_nano = stored.message.privacy_limit_nano if request.scientist else limit
            self._s.ledger.write("limit", stored.message, limit=limit, scientist=request.scientist or None)
        return budget_of(stored, self._s.ledger)

    def DeleteDataset(
        self, request: dataset_pb2.DeleteDatasetRequest, context: grpc.ServicerContext
    ) -> dataset_pb2.DeleteDatasetResponse:
        self._s.enter(context, "DeleteDataset")
        self._find(context, self._s.datasets, request.id, "dataset")
        del self._s.datasets[request.id]
        return dataset_pb2.DeleteDatasetResponse()


def budget_of(stored: StoredDataset, ledger: FakeLedger) -> dataset_pb2.Budget:
    spent = sum(entry.epsilon_nano for entry in stored.entries)
    budget = dataset_pb2.Budget(
        dataset_id=stored.message.id,
        spent_nano=spent,
        spent_infinite=any(entry.infinite for entry in stored.entries),
        delta_atto=stored.message.delta_atto,
        runs=stored.entries,
    )
    if ledger.is_frozen(ledger.account_of.get(stored.message.id, "")):
        budget.frozen = "a receipt was presented that the ledger does not hold"
    limit = ledger.limit_of(stored.message)
    if limit is not None:
        budget.limit_nano = limit
        budget.remaining_nano = max(0, budget.limit_nano - spent)
    return budget


class _Models(_Service, model_pb2_grpc.ModelServiceServicer):
    def UploadModel(
        self, requests: Iterator[model_pb2.UploadModelRequest], context: grpc.ServicerContext
    ) -> model_pb2.UploadModelResponse:
        self._s.enter(context, "UploadModel")
        header = next(requests).header
        stored = self._find(context, self._s.datasets, header.dataset_id, "dataset")
        received = bytearray()
        for request in requests:
            if request.WhichOneof("part") == "trailer":
                assert request.trailer.sha256 == hashlib.sha256(received).digest()
                break
            assert len(request.chunk) <= 1 << 20
            received += request.chunk
        archive = bytes(received)
        assert len(archive) == header.archive_bytes
        try:
            module = torch.jit.load(io.BytesIO(archive))
        except RuntimeError:
            raise abort(context, Kind.KIND_INVALID_ARGUMENT, "the archive cannot be read", "send a TorchScript archive") from None
        if self._s.model_refusals:
            raise abort_with(context, self._s.model_refusals.pop(0))
        model_id = secrets.token_hex(16)
        self._s.archives[model_id] = archive
        report = model_pb2.CapabilityReport(
            operators=[
                model_pb2.OperatorUse(name="aten::linear", count=1),
                model_pb2.OperatorUse(name="aten::dropout", count=3, one_record_at_a_time=2),
            ],
            parameters=[
                model_pb2.ParameterReport(
                    name=name,
                    dtype=dataset_pb2.DTYPE_F32,
                    shape=parameter.shape,
                    trainable=parameter.requires_grad,
                    measurement="linear",
                )
                for name, parameter in module.named_parameters()
            ],
            inputs=stored.message.schema.inputs,
            outputs=[dataset_pb2.TensorSpec(name="output", dtype=dataset_pb2.DTYPE_F32, shape=[1, 2])],
            program_sha256=hashlib.sha256(archive).digest(),
        )
        return model_pb2.UploadModelResponse(model_id=model_id, report=report)


class _Training(_Service, training_pb2_grpc.TrainingServiceServicer):
    def PlanTraining(self, request: training_pb2.TrainingRequest, context: grpc.ServicerContext) -> training_pb2.Plan:
        self._s.enter(context, "PlanTraining")
        return self._price(request, context)

    def StartTraining(self, request: training_pb2.StartTrainingRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        user = self._s.enter(context, "StartTraining")
        plan = self._price(request.request, context)
        run = self._start(request, plan, user)
        self._s.requests[run.id] = copy_of(request.request)
        return run

    def PlanTest(self, request: training_pb2.TestRequest, context: grpc.ServicerContext) -> training_pb2.Plan:
        self._s.enter(context, "PlanTest")
        return self._price_test(request, context)

    def StartTest(self, request: training_pb2.StartTestRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        user = self._s.enter(context, "StartTest")
        run = self._start(request, self._price_test(request.request, context), user)
        self._s.tests[run.id] = copy_of(request.request)
        return run

    def _start(
        self, request: training_pb2.StartTrainingRequest | training_pb2.StartTestRequest, plan: training_pb2.Plan, user: str
    ) -> training_pb2.Run:
        assert request.charge == plan.charge, "what was shown is what is charged"
        run = training_pb2.Run(
            id=secrets.token_hex(16),
            model_id=request.request.model_id,
            dataset_id=request.request.dataset_id,
            status=training_pb2.RUN_STATUS_QUEUED,
            plan=plan,
            created_unix_ms=int(time.time() * 1000),
            name=request.name,
            description=request.description,
            scientist=user,
            mine=True,
        )
        self._s.runs[run.id] = run
        entry = dataset_pb2.BudgetEntry(
            run_id=run.id,
            epsilon_nano=plan.epsilon_nano,
            delta_atto=plan.delta_atto,
            infinite=not plan.private,
            status="running",
            created_unix_ms=run.created_unix_ms,
        )
        self._s.datasets[run.dataset_id].entries.insert(0, entry)
        self._s.ledger.reserve(self._s.datasets[run.dataset_id].message, run)
        return run

    def _tell_ledger(self, kind: str, run: training_pb2.Run, **members: str) -> None:
        self._s.ledger.of_run(kind, self._s.datasets[run.dataset_id].message, run, **members)

    def GetRun(self, request: training_pb2.GetRunRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        self._s.enter(context, "GetRun")
        return self._find(context, self._s.runs, request.id, "run")

    def ListRuns(self, request: training_pb2.ListRunsRequest, context: grpc.ServicerContext) -> training_pb2.ListRunsResponse:
        self._s.enter(context, "ListRuns")
        return training_pb2.ListRunsResponse(runs=list(reversed(self._s.runs.values())))

    def WatchRun(self, request: training_pb2.WatchRunRequest, context: grpc.ServicerContext) -> Iterator[training_pb2.Run]:
        self._s.enter(context, "WatchRun")
        run = self._find(context, self._s.runs, request.id, "run")
        yield copy_of(run)
        while run.status not in ENDED:
            if run.status == training_pb2.RUN_STATUS_QUEUED:
                run.status = training_pb2.RUN_STATUS_RUNNING
                self._tell_ledger("data", run)
            elif run.status == training_pb2.RUN_STATUS_WAITING:
                time.sleep(0.01)
                if not context.is_active():
                    return
                continue
            elif self._s.interrupt_runs > 0:
                self._s.interrupt_runs -= 1
                run.status = training_pb2.RUN_STATUS_WAITING
            elif run.steps_done < run.plan.steps:
                run.steps_done = min(run.plan.steps, run.steps_done + max(1, run.plan.steps // 4))
                self._tell_losses(run)
            else:
                self._s.wait_for_release(context)
                if not context.is_active():
                    return
                if run.plan.metric:
                    run.result.CopyFrom(training_pb2.TestResult(value=0.75, standard_error=0.02))
                run.status = training_pb2.RUN_STATUS_COMPLETED
                self._s.datasets[run.dataset_id].entries[0].status = "completed"
                self._tell_ledger("settle", run, outcome="completed")
            yield copy_of(run)

    def ApproveRun(self, request: training_pb2.ApproveRunRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        run = self._decidable(context, "ApproveRun", request.id)
        run.status = training_pb2.RUN_STATUS_QUEUED
        return copy_of(run)

    def DenyRun(self, request: training_pb2.DenyRunRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        run = self._decidable(context, "DenyRun", request.id)
        run.failure, run.denial = "the owner of its dataset did not approve another attempt", request.reason
        run.status = training_pb2.RUN_STATUS_FAILED
        self._tell_ledger("settle", run, outcome="failed")
        return copy_of(run)

    def _decidable(self, context: grpc.ServicerContext, method: str, run_id: str) -> training_pb2.Run:
        user = self._s.enter(context, method)
        run = self._find(context, self._s.runs, run_id, "run")
        if user != self._s.datasets[run.dataset_id].message.owner:
            raise abort(context, Kind.KIND_PERMISSION_DENIED, "only the owner of its dataset decides", "ask the dataset's owner")
        if run.status != training_pb2.RUN_STATUS_WAITING:
            raise abort(context, Kind.KIND_INVALID_ARGUMENT, "the run does not wait for its dataset's owner")
        return run

    def CancelRun(self, request: training_pb2.CancelRunRequest, context: grpc.ServicerContext) -> training_pb2.Run:
        self._s.enter(context, "CancelRun")
        run = self._find(context, self._s.runs, request.id, "run")
        run.status = training_pb2.RUN_STATUS_CANCELLED
        self._tell_ledger("settle", run, outcome="cancelled")
        run.spent = "eps 1 of the dataset's limit"
        return run

    def DownloadWeights(
        self, request: training_pb2.DownloadWeightsRequest, context: grpc.ServicerContext
    ) -> Iterator[training_pb2.DownloadWeightsResponse]:
        self._s.enter(context, "DownloadWeights")
        run = self._find(context, self._s.runs, request.run_id, "run")
        weights = self._s.weights_filter(self._trained(run))
        file = safetensors.torch.save(weights)
        header = training_pb2.DownloadHeader(size_bytes=len(file), sha256=hashlib.sha256(file).digest())
        yield training_pb2.DownloadWeightsResponse(header=header)
        file = self._s.download_filter(file)
        size = max(100, len(file) // 50)
        for start in range(0, len(file), size):
            yield training_pb2.DownloadWeightsResponse(chunk=file[start : start + size])

    def _trained(self, run: training_pb2.Run) -> dict[str, torch.Tensor]:
        """The trainable parameters, each 1 larger for every run that this one goes on from, itself included."""
        runs = 1
        while before := self._s.requests[run.id].continue_run_id:
            runs, run = runs + 1, self._s.runs[before]
        module = torch.jit.load(io.BytesIO(self._s.archives[run.model_id]))
        return {name: p.detach() + runs for name, p in module.named_parameters() if p.requires_grad}

    def _tell_losses(self, run: training_pb2.Run) -> None:
        """The loss of epoch e is 1/e."""
        if not run.plan.loss_bound:
            return
        # Every epoch has as many steps.
        per_epoch = -(-run.plan.steps // max(1, math.ceil(run.plan.nb_epochs)))
        for epoch in range(len(run.history.epochs) + 1, run.steps_done // per_epoch + 1):
            run.history.epochs.add(epoch=epoch, steps=per_epoch, loss=1 / epoch, standard_error=0.05)

    def _price_test(self, request: training_pb2.TestRequest, context: grpc.ServicerContext) -> training_pb2.Plan:
        assert request.model_id in self._s.archives
        assert not request.weights_run_id or self._s.runs[request.weights_run_id].status == training_pb2.RUN_STATUS_COMPLETED
        stored = self._find(context, self._s.datasets, request.dataset_id, "dataset")
        plan = self._paid(request, stored, context)
        declared = stored.message.declared_samples
        mine = training_pb2.Plan(
            metric=request.metric,
            noise_multiplier=2.0 if plan.private else 0,
            sample_rate=1,
            steps=1,
            batch_size=declared,
            max_batch_size=1,
            release_mode="exact",
        )
        mine.MergeFrom(plan)
        if not plan.private:
            mine.warnings.append("testing without noise: nothing protects the records")
        return mine

    def _price(self, request: training_pb2.TrainingRequest, context: grpc.ServicerContext) -> training_pb2.Plan:
        assert request.model_id in self._s.archives
        assert request.WhichOneof is not None
        assert request.optimizer.WhichOneof("kind")
        stored = self._find(context, self._s.datasets, request.dataset_id, "dataset")
        declared = stored.message.declared_samples
        batch = request.batch_size if request.HasField("batch_size") else min(declared, 10)
        plan = training_pb2.Plan(
            noise_multiplier=1.5 if request.HasField("epsilon") else 0,
            sample_rate=batch / declared,
            steps=math.ceil(request.nb_epochs * declared / batch),
            batch_size=batch,
            max_batch_size=request.max_batch_size,
            max_grad_norm=request.max_grad_norm,
            release_mode="certified",
            grid_exponent=17,
            grid_error=4e-5,
            eta=0.0157,
            seconds=2.0,
            nb_epochs=request.nb_epochs,
            loss_bound=2.0 if request.metrics else 0,
        )
        plan.MergeFrom(self._paid(request, stored, context))
        return plan

    def _paid(
        self,
        request: training_pb2.TrainingRequest | training_pb2.TestRequest,
        stored: StoredDataset,
        context: grpc.ServicerContext,
    ) -> training_pb2.Plan:
        """The part of a plan that is the price."""
        budget = budget_of(stored, self._s.ledger)
        wanted = round(request.epsilon * NANO)
        if budget.HasField("limit_nano") and wanted > budget.remaining_nano:
            figures = error_pb2.BudgetExceeded(
                limit_nano=budget.limit_nano,
                spent_nano=budget.spent_nano,
                requested_nano=wanted,
                remaining_nano=budget.remaining_nano,
            )
            raise abort(context, Kind.KIND_BUDGET_EXCEEDED, "the run needs more than remains", "lower eps", budget=figures)
        plan = training_pb2.Plan(
            private=request.HasField("epsilon"),
            epsilon_nano=wanted,
            delta_atto=stored.message.delta_atto // 6,
            remaining_after_nano=max(0, budget.remaining_nano - wanted),
            obtainable_nano=budget.remaining_nano + NANO // 2,
            unlimited=not budget.HasField("limit_nano"),
        )
        steps = [training_pb2.ChargedSteps(sample_rate=0.1, noise_multiplier=1.5 if plan.private else 0, count=10)]
        plan.charge = training_pb2.Charge(
            dataset_id=request.dataset_id, private=plan.private, epsilon_nano=wanted, delta_atto=plan.delta_atto, steps=steps
        ).SerializeToString(deterministic=True)
        return plan
