"""An upload whose stream was cut goes on where it was, once a server answers that proved itself anew."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from bastionlab import errors
from bastionlab._refusals import LinkLost, OtherLedger, Unreached
from bastionlab._session import Session
from bastionlab.v1 import dataset_pb2

if TYPE_CHECKING:
    from bastionlab.torch._upload import Stream

# How long a server may be away before the upload is given up.
PATIENCE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 8.0
# Streams in a row that brought the server no batch more.
_FRUITLESS_STREAMS = 5


def send_until_it_is_whole(session: Session, stream: Stream) -> dataset_pb2.UploadDatasetResponse:
    """Sends what is missing, again after each cut. What the server itself refuses is not tried again."""
    kept = fruitless = 0
    cut: type[errors.ServerUnavailable] = LinkLost  # before the first one, a server that is not there got nothing
    while True:
        try:
            parts = functools.partial(stream.parts, kept)
            answer: dataset_pb2.UploadDatasetResponse = session.upload(session.datasets.UploadDataset, parts, stream.ledger)
            return answer
        except OtherLedger as other:
            # PRIVACY: limit and delta were made for the ledger of before, which knows what was spent of these records. Under
            # another one it would be spent again.
            if not stream.may_be_whole:
                raise
            raise _given_up(stream, other, "the server of before may have got all") from None
        except cut as lost:
            cut = Unreached
            before, (kept, records) = kept, _kept(session, stream, lost)
            fruitless = 0 if kept > before else fruitless + 1
            if fruitless == _FRUITLESS_STREAMS:
                raise _given_up(stream, lost, f"it was cut {fruitless} times in a row; the server has kept {records}") from None


def _kept(session: Session, stream: Stream, lost: errors.ServerUnavailable) -> tuple[int, int]:
    """After how many batches to go on, and of how many records they are, by the word of the server that is there now."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            standing = session.call(session.datasets.GetUpload, dataset_pb2.GetUploadRequest(upload_id=stream.name))
            kept = stream.go_on_after(standing)
            return kept, standing.records if kept else 0
        except errors.ServerUnavailable as error:
            lost = error
        if time.monotonic() + pause > deadline:
            raise _given_up(stream, lost, "the server may have kept some") from None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _given_up(stream: Stream, lost: errors.BastionLabError, kept: str) -> errors.ServerUnavailable:
    return errors.ServerUnavailable(
        f"the upload of {stream.title!r} was cut, and could not go on: {lost.what}; {kept} of its {stream.records} records",
        next="upload it again once the server is there: nothing of a part is ever trained on, and the server drops it",
    )
