"""Sends a dataset: a header, batches of about a MiB, a trailer. However large the dataset, few batches are in memory."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch

from bastionlab._progress import bytes_bar
from bastionlab._session import Session
from bastionlab.torch._going_on import send_until_it_is_whole
from bastionlab.torch._lineage import tell_lineage
from bastionlab.torch._permissions import Permissions
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
    permissions: Permissions | None = None
    test_of: str = ""
    ledger: bytes | None = None
    """The key of the ledger for which limit and delta were computed."""

    def send(self, session: Session, progress: bool) -> dataset_pb2.Dataset:
        total = self.records.count * self.records.schema.record_bytes
        with bytes_bar(f"Sending {self.name}", total, progress) as bar:
            answer = send_until_it_is_whole(session, Stream(self, bar))
        session.memory.keep(answer.receipts)
        tell_lineage(session, answer)
        return answer.dataset

    def header(self) -> dataset_pb2.UploadDatasetHeader:
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
            permissions=None if self.permissions is None else self.permissions.to_message(),
        )


class Stream:
    """One upload under its name, in as many streams as it takes. Of what was sent it remembers digests and counts only."""

    def __init__(self, upload: Upload, bar: Any) -> None:
        self._upload = upload
        self._bar = bar
        self._counts: list[int] = []
        self._digests: list[bytes] = []
        self.name = _fresh_name()
        self.may_be_whole = False
        """Whether the server may have got all of it."""

    @property
    def ledger(self) -> bytes | None:
        return self._upload.ledger

    @property
    def title(self) -> str:
        return self._upload.name

    @property
    def records(self) -> int:
        return self._upload.records.count

    def parts(self, after: int) -> Iterator[dataset_pb2.UploadDatasetRequest]:
        """The stream that goes on after so many batches. Those after them are cut anew, for nobody has them."""
        del self._counts[after:], self._digests[after:]
        sent = sum(self._counts)
        record_bytes = self._upload.records.schema.record_bytes
        self._bar.reset()
        self._bar.update(sent * record_bytes)
        header = self._upload.header()
        header.upload_id, header.after_batches = self.name, after
        yield Request(header=header)
        for batch in batches(self._upload.records, self._upload.public, sent):
            self._counts.append(batch.count)
            self._digests.append(batch.sha256)
            yield Request(batch=batch)
            self._bar.update(batch.count * record_bytes)
        digest = hashlib.sha256(b"".join(self._digests)).digest()
        self.may_be_whole = True
        yield Request(trailer=dataset_pb2.UploadDatasetTrailer(records=self.records, sha256=digest))

    def go_on_after(self, standing: dataset_pb2.UploadStanding) -> int:
        """How many batches need not be sent again. Where the server tells of others than were sent, it begins under a new name."""
        if standing.batches <= len(self._counts) and standing.records == sum(self._counts[: standing.batches]):
            return int(standing.batches)
        self.name = _fresh_name()
        return 0


def _fresh_name() -> str:
    return secrets.token_hex(16)


def batches(records: Records, public: PublicFacts, sent: int = 0) -> Iterator[dataset_pb2.RecordBatch]:
    """The records after those that were sent, in order, stacked."""
    per_batch = max(1, BATCH_BYTES // records.schema.record_bytes)
    waiting: list[Record] = []
    began = time.monotonic()
    for record in records.after(sent):
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
