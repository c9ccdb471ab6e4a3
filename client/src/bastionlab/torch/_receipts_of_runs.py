"""Receipts of runs: collected while a run is watched, and held against the price that was shown."""

from __future__ import annotations

from bastionlab import errors
from bastionlab._collecting import has_receipts, known_of_run, receipts_of_run
from bastionlab._notices import notice
from bastionlab._receipts import Receipt
from bastionlab._session import Session
from bastionlab.v1 import training_pb2


def collect(session: Session, run: training_pb2.Run) -> None:
    """Fetches a run's receipts. That they cannot be had fails no run; that they are wrong is said at once."""
    if not has_receipts(session):
        return
    try:
        found = checked_receipts(session, run)
    except errors.AttestationError as error:
        error.charged = run.spent or "perhaps the price of this run; its receipts do not say"
        raise
    except errors.BastionLabError as error:
        notice(
            f"the receipts of the run {run.id} could not be fetched ({error.what}); its `receipts` asks again",
            errors.PrivacyWarning,
        )
        return
    if not found:
        notice(f"the server gave no receipt of the run {run.id}: nothing proves what it was charged", errors.PrivacyWarning)


def checked_receipts(session: Session, run: training_pb2.Run) -> list[Receipt]:
    """All receipts of a run, in order; AttestationError where one is not of the price that the run was started with."""
    session.memory.require_dataset(run.dataset_id)
    found = receipts_of_run(session, run.id, run.dataset_id)
    for receipt in found:
        # PRIVACY: what was shown is what is charged, byte for byte, and both are in the book.
        if receipt.type == "reserve" and receipt.charge != run.plan.charge:
            raise errors.AttestationError(
                "charge",
                f"the price of the run {run.id} as it was shown",
                f"another one in receipt {receipt.seq} of account {receipt.account}",
                next="keep the receipt, and ask the dataset's owner",
            )
    return found


def newest_receipt(session: Session, run: training_pb2.Run) -> Receipt:
    """The last word on a run, from the book where it is there."""
    found = known_of_run(session, run.id)
    if not found or found[-1].type not in ("settle", "release"):
        found = checked_receipts(session, run)
    if not found:
        raise errors.NotFound(f"there is no receipt of the run {run.id}", next="ask the operator of the server why")
    return found[-1]
