"""Sends a model: a header, chunks of its TorchScript archive, a trailer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bastionlab._progress import bytes_bar
from bastionlab._session import Session
from bastionlab.v1 import model_pb2

CHUNK_BYTES = 1 << 20

Request = model_pb2.UploadModelRequest


@dataclass(frozen=True)
class ModelUpload:
    """All that is said of a model when it is sent."""

    name: str
    description: str
    dataset: str
    loss: str

    def send(self, session: Session, archive: Path, progress: bool) -> model_pb2.UploadModelResponse:
        with bytes_bar(f"Sending {self.name}", archive.stat().st_size, progress) as bar:
            answer: model_pb2.UploadModelResponse = session.upload(session.models.UploadModel, lambda: self._parts(archive, bar))
        return answer

    def _parts(self, archive: Path, bar: Any) -> Iterator[model_pb2.UploadModelRequest]:
        bar.reset()
        yield Request(
            header=model_pb2.UploadModelHeader(
                name=self.name,
                description=self.description,
                dataset_id=self.dataset,
                loss=self.loss,
                archive_bytes=archive.stat().st_size,
            )
        )
        digest = hashlib.sha256()
        with archive.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                yield Request(chunk=chunk)
                bar.update(len(chunk))
        yield Request(trailer=model_pb2.UploadModelTrailer(sha256=digest.digest()))
