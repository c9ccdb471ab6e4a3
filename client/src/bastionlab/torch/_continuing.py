"""What an upload may still spend of records that were on an account of a server that has forgotten it.

PRIVACY: a server of the storage level "memory" begins anew at every start, and nothing of its own tells that the same records were
trained on before. So the owner's client counts: an old account is wholly spent, unless the old server's signed close says what is
left of it; and what is left goes to one upload, once. That it has gone is on disk before the upload begins: a crash in between
spends too much, never too little.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from bastionlab import errors
from bastionlab._closings import closing_of
from bastionlab._notices import notice
from bastionlab._receipts import NANO, Receipt
from bastionlab._session import Session
from bastionlab._uploads import Note, exclusively, notes_of, sketch_key
from bastionlab.torch._records import Records
from bastionlab.torch._sketch import Hashes, Sketch, hashes_of, overlaps
from bastionlab.v1 import dataset_pb2

ATTO = 10**18
_FORGETFUL = "memory"


@dataclass
class Continuation:
    """The terms on which an upload may be sent, and the notes of it: one for each of its sets, the training set's first."""

    ledger: bytes
    """The key of the ledger that they were made for. Under another one they mean nothing."""
    limit: float | None
    delta: float | None
    notes: list[Note] = field(default_factory=list)
    lost: list[list[Note]] = field(default_factory=list)
    """For each set: the notes of earlier attempts to send the very same records to this start of the server, of which none arrived,
    or of which the server knows."""

    def sent(self, which: int, dataset: dataset_pb2.Dataset) -> None:
        """The server has opened an account."""
        if self.notes:
            self.notes[which] = self.notes[which].with_account(dataset.account or dataset.id)
            try:
                self.notes[which].save()
                # Had one of them arrived, the server would have had both draw on one account, which is this one's.
                for note in self.lost[which]:
                    note.remove()
            except OSError as error:
                # It counts as wholly spent once the server is gone: too much, and no reason to fail now.
                why = (error.strerror or str(error)).lower()
                where = self.notes[which].path
                notice(f"which account {dataset.name!r} is on cannot be kept in {where} ({why})", errors.PrivacyWarning)

    def refused(self, error: BaseException) -> None:
        """Where the server said no there is no account, and nothing to remember. Without an answer there may be one.

        What was left of an earlier account stays given away to this upload, which may be sent again as long as the server lives.
        """
        answered = isinstance(error, errors.BastionLabError) and not isinstance(error, errors.ServerUnavailable)
        if answered and not any(note.account or note.continues for note in self.notes):
            for note in self.notes:
                note.remove()


def continue_accounts(
    session: Session, sets: Sequence[Records], name: str, limit: float | None, delta: float | None, declared: int
) -> Continuation:
    """Looks whether the records were on accounts that are gone, and on what terms they may be sent. Nothing has been sent by then.

    :param declared: slots of the training set, by which the server would choose a delta
    """
    claims = session.attested.claims
    key = claims.ledger_key.hex()
    forgetful = claims.storage_level == _FORGETFUL
    if not forgetful and all(note.key == key and note.left_nano is None for note in notes_of(session.user)):
        return Continuation(claims.ledger_key, limit, delta)
    hashes = [hashes_of(records, sketch_key(), records.schema.record_bytes) for records in sets]
    with exclusively():
        return _decide(session, hashes, name, _Terms.of(limit, delta, declared))


def _decide(session: Session, hashes: Sequence[Hashes], name: str, terms: _Terms) -> Continuation:
    key, limit = session.attested.claims.ledger_key.hex(), terms.asked
    known = notes_of(session.user)
    held = {note.identifier: _sets_of(note, hashes) for note in known}
    same = [note for note in known if held[note.identifier]]
    gone = _still_theirs([note for note in same if note.key != key], same, known, name, limit)
    for note in same:
        if note.key == key and note.left_nano is not None:
            terms.cap(note.left_nano, note.left_delta_atto)  # the account may not have come to be: then nothing else holds it
    closings = {note.identifier: _closed(note, name, limit) for note in gone}
    for which in range(len(hashes)):
        # Each set by itself: what was spent on the test set was not spent on the training set. Both get the smaller limit.
        terms.deduct([closings[each] for each in closings if which in held[each]], name)
    lost = [[note for note in same if note.key == key and not note.account and _is_the_same(note, each)] for each in hashes]
    given = dict.fromkeys([*closings, *(identifier for notes in lost for note in notes for identifier in note.continues)])
    drawn = secrets.token_hex(16)
    notes = [
        Note(
            owner=session.user,
            address=str(session.address),
            key=key,
            records=len(each),
            name=name,
            upload=drawn,
            left_nano=terms.left_nano,
            left_delta_atto=terms.left_delta_atto,
            continues=() if which else tuple(given),
        )
        for which, each in enumerate(hashes)
    ]
    # The training set's last: it is what takes the remainder, and then all of it is remembered.
    for note, each in reversed(list(zip(notes, hashes, strict=True))):
        note.save(Sketch.of(each).to_bytes())
    if gone:
        terms.tell(gone, name)
    return Continuation(session.attested.claims.ledger_key, terms.limit, terms.delta, notes, lost)


def _is_the_same(note: Note, hashes: Hashes) -> bool:
    sketch = Sketch.of(hashes)
    return note.records == sketch.records and note.sketch() == sketch.to_bytes()


def _sets_of(note: Note, hashes: Sequence[Hashes]) -> set[int]:
    """Which sets of the upload have records of an earlier one."""
    sketch = Sketch.from_bytes(note.records, note.sketch())
    return {which for which, each in enumerate(hashes) if overlaps(sketch, each)}


def _still_theirs(gone: list[Note], same: list[Note], known: list[Note], name: str, limit: float | None) -> list[Note]:
    """Those of which something may be left: not those whose remainder another upload has."""
    found = []
    uploads = {note.upload for note in same}
    for note in gone:
        heirs = [each for each in known if note.identifier in each.continues]
        if not heirs:
            found.append(note)
        elif not any(heir.upload in uploads for heir in heirs):
            raise _nothing_left(note, name, limit, "what was left of it went to another upload, which holds other records")
        # Else the heir stands for it, and is judged itself.
    return found


def _closed(note: Note, name: str, limit: float | None) -> Receipt:
    closing = closing_of(note)
    if closing is None:
        why = (
            "its server's keys are gone, and no close that it signed says what was spent: it counts as wholly spent"
            if note.account
            else "it is not known whether that upload arrived, and its server is gone: it counts as wholly spent"
        )
        raise _nothing_left(note, name, limit, why)
    return closing


def _nothing_left(note: Note, name: str, limit: float | None, why: str) -> errors.BudgetExceeded:
    which = f"account {note.account}" if note.account else f"the upload {note.name!r}"
    return errors.BudgetExceeded(
        limit=math.inf if limit is None else limit,
        spent=math.inf,
        requested=math.inf if limit is None else limit,
        remaining=0.0,
        what=f"records of {name!r} were on {which} of an earlier start of the server at {note.address}, and {why}",
        next=f"upload other records; or remove {note.path}, if you know that they were never trained on",
    )


@dataclass
class _Terms:
    """Amounts as the integers that are signed."""

    asked: float | None
    asked_delta: float | None
    default_delta_atto: int
    left_nano: int | None = None
    left_delta_atto: int | None = None
    spent: float = 0.0
    before: float | None = None

    @classmethod
    def of(cls, limit: float | None, delta: float | None, declared: int) -> _Terms:
        # The largest power of ten that is at most a tenth of 1/declared, as the server chooses it.
        return cls(limit, delta, 10 ** (18 - len(str(10 * declared - 1))))

    def cap(self, nano: int | None, delta_atto: int | None) -> None:
        self.left_nano = _least(self.left_nano, nano)
        self.left_delta_atto = _least(self.left_delta_atto, delta_atto)

    def deduct(self, closings: list[Receipt], name: str) -> None:
        """The smallest limit and delta of the old accounts, less what was spent on all of them: a record may have been on each."""
        if not closings:
            return
        afters = [each._members["after"] for each in {each.digest: each for each in closings}.values()]
        limits = [after["limit"] for after in afters if "limit" in after]
        spent = sum(after["spent"] for after in afters)
        infinite = any(after.get("infinite") for after in afters)
        if not limits and self.asked is None:
            return  # nothing was promised, and nothing is
        limit = min(limits) if limits else round((self.asked or 0) * NANO)
        left = 0 if infinite else limit - spent
        if self.left_nano is None or left < self.left_nano:
            self.spent, self.before = math.inf if infinite else spent / NANO, min(limits) / NANO if limits else None
        left_delta = min(after["delta"] for after in afters) - sum(after["spent_delta"] for after in afters)
        if left <= 0 or left_delta <= 0 or any(after.get("frozen") for after in afters):
            raise errors.BudgetExceeded(
                limit=limit / NANO,
                spent=math.inf if infinite else spent / NANO,
                requested=math.inf if self.asked is None else self.asked,
                remaining=0.0,
                what=f"records of {name!r} were uploaded to an earlier start of the server, and nothing is left of their limit of "
                f"{limit / NANO:g} ({'all' if infinite else f'{spent / NANO:g}'} was spent, by the close that it signed)",
                next="upload other records",
            )
        self.cap(left, left_delta)

    @property
    def limit(self) -> float | None:
        if self.left_nano is None:
            return self.asked
        return self.left_nano / NANO if self.asked is None else min(self.asked, self.left_nano / NANO)

    @property
    def delta(self) -> float | None:
        if self.left_delta_atto is None or self.limit is None:
            return self.asked_delta
        left = self.left_delta_atto / ATTO
        if self.left_delta_atto > 2**53:
            left = math.nextafter(left, 0.0)  # the nearest float may be above it
        if self.asked_delta is None:
            # Left to the server where that is less anyway.
            return None if self.default_delta_atto <= self.left_delta_atto else left
        return min(self.asked_delta, left)

    def tell(self, gone: list[Note], name: str) -> None:
        accounts = ", ".join(sorted({note.account for note in gone}))
        before = "no limit" if self.before is None else f"a limit of {self.before:g}"
        now = "no limit" if self.limit is None else f"a limit of {self.limit:g}"
        notice(
            f"records of {name!r} were on the account {accounts} of an earlier start of the server, which had {before}; "
            f"{self.spent:g} was spent, by the close that it signed. They are uploaded under {now}, and the old account is good "
            "for nothing more",
            errors.PrivacyWarning,
        )


def _least(a: int | None, b: int | None) -> int | None:
    return min((each for each in (a, b) if each is not None), default=None)
