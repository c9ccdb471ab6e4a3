"""Who did what to which dataset, as the server wrote it down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from bastionlab import errors
from bastionlab._session import Session
from bastionlab._table import table
from bastionlab.v1 import audit_pb2


@dataclass(frozen=True)
class AuditEntry:
    """One call that was allowed, or was not."""

    seq: int
    at: datetime
    user: str
    """Who called: the name of a user; "operator" on the machine itself; empty where nobody had signed in."""
    action: str
    """Such as DatasetService.UploadDataset."""
    dataset: str
    run: str
    allowed: bool
    reason: str
    """Why not."""
    binding: str
    """Of the caller's sign-in: exporter, key, or socket on the machine itself."""
    boot: str
    """Of which start of the server."""
    subject: str
    """The user that the call was about, such as whom access was granted."""


class AuditLog(list[AuditEntry]):
    """Entries, oldest first. Prints as a table."""

    def __str__(self) -> str:
        rows = [
            (
                str(each.seq),
                f"{each.at:%Y-%m-%d %H:%M:%S}",
                each.user[:12] or "nobody",
                each.action,
                each.dataset[:12],
                each.run[:12],
                "allowed" if each.allowed else f"refused: {each.reason}",
                each.subject[:12],
            )
            for each in self
        ]
        return table(("seq", "at (UTC)", "who", "did", "dataset", "run", "", "about"), rows) if rows else "no entries"

    __repr__ = __str__


def fetch_audit(session: Session, dataset: str) -> AuditLog:
    """All that the server tells this user; of one dataset, or of all."""
    found = AuditLog()
    request = audit_pb2.ListAuditRequest(dataset_id=dataset)
    while True:
        answer: audit_pb2.ListAuditResponse = session.call(session.audit.ListAudit, request, concerns="")
        found.extend(map(_entry, answer.entries))
        if not answer.more or not answer.entries:
            return found
        # A server that goes round in circles is not followed.
        newest = answer.entries[-1].seq
        if newest <= request.after_seq:
            raise errors.AttestationError("audit", "entries in order", f"number {newest} after {request.after_seq}")
        request.after_seq = newest


def _entry(message: audit_pb2.AuditEntry) -> AuditEntry:
    return AuditEntry(
        seq=message.seq,
        at=datetime.fromtimestamp(message.unix_ms / 1000, timezone.utc),
        user=message.user,
        action=message.action,
        dataset=message.dataset_id,
        run=message.run_id,
        allowed=message.allowed,
        reason=message.reason,
        binding=message.binding,
        boot=message.boot_id,
        subject=message.subject,
    )
