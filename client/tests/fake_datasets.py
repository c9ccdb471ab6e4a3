"""The fake server's datasets: uploads, which may be cut and go on, budgets, permissions."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import safetensors.torch
import torch
from fake_ledger import FakeLedger
from fake_refusals import Kind, abort
from fake_service import ATTO, NANO, Service, StoredDataset, copy_of

from bastionlab.v1 import dataset_pb2, dataset_pb2_grpc


@dataclass
class PartialUpload:
    """What is there of an upload under its name."""

    @dataclass
    class Batch:
        count: int
        sha256: bytes
        tensors: dict[str, torch.Tensor]

        @classmethod
        def of(cls, batch: dataset_pb2.RecordBatch, header: dataset_pb2.UploadDatasetHeader) -> PartialUpload.Batch:
            assert hashlib.sha256(batch.safetensors).digest() == batch.sha256
            tensors = safetensors.torch.load(batch.safetensors)
            assert set(tensors) == {"label", *(f"input.{spec.name}" for spec in header.schema.inputs)}
            assert all(len(tensor) == batch.count for tensor in tensors.values())
            return cls(batch.count, batch.sha256, tensors)

    user: str
    batches: list[Batch] = field(default_factory=list)
    answer: dataset_pb2.UploadDatasetResponse | None = None
    stream: int = 0

    @property
    def records(self) -> int:
        return sum(each.count for each in self.batches)

    def superseded_by_new(self) -> int:
        """A stream that the server still waits for adds nothing once the client has come back."""
        self.stream += 1
        return self.stream


class Datasets(Service, dataset_pb2_grpc.DatasetServiceServicer):
    def UploadDataset(
        self, requests: Iterator[dataset_pb2.UploadDatasetRequest], context: grpc.ServicerContext
    ) -> dataset_pb2.UploadDatasetResponse:
        user = self._s.enter(context, "UploadDataset")
        header = next(requests).header
        if header.HasField("privacy_limit") and not header.privacy_limit > 0:
            raise abort(context, Kind.KIND_INVALID_ARGUMENT, "the privacy_limit is not positive", "give another")
        if header.upload_id:
            assert len(bytes.fromhex(header.upload_id)) == 16
            upload = self._s.uploads.setdefault(header.upload_id, PartialUpload(user))
            assert upload.user == user
        else:
            upload = PartialUpload(user)
        assert header.after_batches <= len(upload.batches), "the client goes on from what there is"
        stream = upload.superseded_by_new()
        del upload.batches[header.after_batches :]
        for request in requests:
            if request.WhichOneof("part") == "trailer":
                assert request.trailer.records == upload.records == header.records
                assert request.trailer.sha256 == hashlib.sha256(b"".join(each.sha256 for each in upload.batches)).digest()
                break
            assert upload.stream == stream, "another stream goes on with this upload"
            upload.batches.append(PartialUpload.Batch.of(request.batch, header))
            if "batch" in self._s.before:
                self._s.before["batch"](context)
        else:
            raise abort(context, Kind.KIND_INVALID_ARGUMENT, "the upload ended before its trailer", "send it again")
        if upload.answer is None:
            upload.answer = self._commit(header, [each.tensors for each in upload.batches], user)
        if "committed" in self._s.before:
            self._s.before["committed"](context)
        return upload.answer

    def _commit(
        self, header: dataset_pb2.UploadDatasetHeader, batches: list[dict[str, torch.Tensor]], user: str
    ) -> dataset_pb2.UploadDatasetResponse:
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
            permissions=header.permissions if header.HasField("permissions") else dataset_pb2.Permissions(),
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
        seen = self._seen_by(user, self._s.datasets[message.id])
        return dataset_pb2.UploadDatasetResponse(dataset=seen, lineage=lineage, receipts=receipts)

    def GetUpload(self, request: dataset_pb2.GetUploadRequest, context: grpc.ServicerContext) -> dataset_pb2.UploadStanding:
        user = self._s.enter(context, "GetUpload")
        upload = self._s.uploads.get(request.upload_id)
        if upload is None or upload.user != user:
            return dataset_pb2.UploadStanding()
        upload.superseded_by_new()
        return dataset_pb2.UploadStanding(batches=len(upload.batches), records=upload.records)

    def ListDatasets(
        self, request: dataset_pb2.ListDatasetsRequest, context: grpc.ServicerContext
    ) -> dataset_pb2.ListDatasetsResponse:
        user = self._s.enter(context, "ListDatasets")
        listed = [stored for stored in reversed(self._s.datasets.values()) if not stored.header.test_of]
        seen = [self._seen_by(user, each) for each in listed]
        for message in seen:  # as the server does: they can be long
            message.ClearField("permissions")
        return dataset_pb2.ListDatasetsResponse(datasets=seen)

    def GetDataset(self, request: dataset_pb2.GetDatasetRequest, context: grpc.ServicerContext) -> dataset_pb2.Dataset:
        user = self._s.enter(context, "GetDataset")
        return self._seen_by(user, self._find(context, self._s.datasets, request.id, "dataset"))

    def GrantAccess(self, request: dataset_pb2.GrantAccessRequest, context: grpc.ServicerContext) -> dataset_pb2.Dataset:
        user = self._s.enter(context, "GrantAccess")
        stored = self._own(context, request.dataset_id, user)
        self._take_back(stored, request.grant.user)
        stored.message.permissions.grants.append(request.grant)
        return self._seen_by(user, stored)

    def RevokeAccess(self, request: dataset_pb2.RevokeAccessRequest, context: grpc.ServicerContext) -> dataset_pb2.Dataset:
        user = self._s.enter(context, "RevokeAccess")
        stored = self._own(context, request.dataset_id, user)
        self._take_back(stored, request.user)
        return self._seen_by(user, stored)

    def _own(self, context: grpc.ServicerContext, dataset: str, user: str) -> StoredDataset:
        stored = self._find(context, self._s.datasets, dataset, "dataset")
        if stored.message.owner != user:
            raise abort(context, Kind.KIND_PERMISSION_DENIED, "only the owner of a dataset grants", "ask the owner")
        return stored

    def _take_back(self, stored: StoredDataset, user: str) -> None:
        kept = [copy_of(grant) for grant in stored.message.permissions.grants if grant.user != user]
        del stored.message.permissions.grants[:]
        stored.message.permissions.grants.extend(kept)

    def _seen_by(self, user: str, stored: StoredDataset) -> dataset_pb2.Dataset:
        seen: dataset_pb2.Dataset = copy_of(stored.message)
        seen.mine = stored.message.owner == user
        granted = {grant.user: grant for grant in seen.permissions.grants}
        everything = dataset_pb2.Grant(user=user, train=True, test=True, take_home=True)
        seen.may.CopyFrom(everything if seen.mine else granted.get(user, granted.get("", dataset_pb2.Grant())))
        if not seen.mine:
            seen.ClearField("permissions")
        return seen

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
