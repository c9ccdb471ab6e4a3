"""Sends a dataset: a header, batches of about a MiB, a trailer. However large the dataset, few batches are in memory."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch

from bastionlab._progress import bytes_bar
from bastionlab._session import Session
from bastionlab.torch._lineage import tell_lineage
from bastionlab.torch._public import PublicFacts
from bastionlab.torch._records import Record, Records
from bastionlab.v1 import dataset_pb2

BATCH_BYTES = 1 << 20
# A dataset that is slow to read is sent in smaller batches, or the server would take the upload for dead.
BATCH_SECONDS = 5.0

Request = dataset_pb2.UploadDatasetRequest


@dataclass(frozen=True)
class Upload:
    """All that is said of a dataset when it is sent."""

    records: Records
    name: str
    description: str
    privacy_limit: float | None
    delta: float | None
    declared_samples: int
    public: PublicFacts
    test_of: str = ""

    def send(self, session: Session, progress: bool) -> dataset_pb2.Dataset:
        total = self.records.count * self.records.schema.record_bytes
        with bytes_bar(f"Sending {self.name}", total, progress) as bar:
            answer: dataset_pb2.UploadDatasetResponse = session.upload(session.datasets.UploadDataset, lambda: self._parts(bar))
        session.memory.keep(answer.receipts)
        tell_lineage(session, answer)
        return answer.dataset

    def _parts(self, bar: Any) -> Iterator[dataset_pb2.UploadDatasetRequest]:
        bar.reset()
        yield Request(header=self._header())
        digests = hashlib.sha256()
        for batch in batches(self.records, self.public):
            digests.update(batch.sha256)
            yield Request(batch=batch)
            bar.update(batch.count * self.records.schema.record_bytes)
        trailer = dataset_pb2.UploadDatasetTrailer(records=self.records.count, sha256=digests.digest())
        yield Request(trailer=trailer)

    def _header(self) -> dataset_pb2.UploadDatasetHeader:
        return dataset_pb2.UploadDatasetHeader(
            name=self.name,
            description=self.description,
            schema=self.records.schema.to_message(),
            records=self.records.count,
            declared_samples=self.declared_samples,
            privacy_limit=self.privacy_limit,
            delta=self.delta,
            public=self.public.to_message(),
            test_of=self.test_of,
        )


def batches(records: Records, public: PublicFacts) -> Iterator[dataset_pb2.RecordBatch]:
    """The records, in order, stacked."""
    per_batch = max(1, BATCH_BYTES // records.schema.record_bytes)
    waiting: list[Record] = []
    sent = 0
    began = time.monotonic()
    for record in records:
        waiting.append(record)
        if len(waiting) == per_batch or time.monotonic() - began > BATCH_SECONDS:
            yield _batch(waiting, public, sent)
            sent += len(waiting)
            waiting = []
            began = time.monotonic()
    if waiting:
        yield _batch(waiting, public, sent)


def _batch(records: list[Record], public: PublicFacts, first_index: int) -> dataset_pb2.RecordBatch:
    stacked = {name: torch.stack([record.inputs[name] for record in records]) for name in records[0].inputs}
    label = torch.stack([record.label for record in records])
    for name, values in (*stacked.items(), ("label", label)):
        public.check(name, values, first_index)
    file = safetensors.torch.save({**{f"input.{name}": values for name, values in stacked.items()}, "label": label})
    return dataset_pb2.RecordBatch(count=len(records), safetensors=file, sha256=hashlib.sha256(file).digest())
