"""What an owner should know of an upload whose records were there before."""

from __future__ import annotations

from bastionlab import errors
from bastionlab._notices import notice
from bastionlab._session import Session
from bastionlab.torch._budget import Budget
from bastionlab.v1 import dataset_pb2


def tell_lineage(session: Session, answer: dataset_pb2.UploadDatasetResponse) -> None:
    """Warns where the records of an upload are in other datasets too."""
    dataset, lineage = answer.dataset, answer.lineage
    if lineage.joined:
        account = dataset.account or lineage.joined[0]
        others = ", ".join(each for each in lineage.joined if each != account)
        notice(
            f"records of {dataset.name!r} were uploaded before: it draws on the account of the dataset {account}"
            f"{f', together with {others}' if others else ''}; {_spent(session, dataset.id)}",
            errors.PrivacyWarning,
        )
    for shared in lineage.apart:
        why = "its training set" if shared.training_set else "less than a tenth"
        notice(
            f"{shared.records} records of {dataset.name!r} are in the dataset {shared.dataset_id} too, {why}: "
            "the accounts stay apart, and what both spend adds up for these records",
            errors.PrivacyWarning,
        )


def _spent(session: Session, dataset: str) -> str:
    try:
        request = dataset_pb2.GetBudgetRequest(dataset_id=dataset)
        budget = Budget.from_message(session.call(session.datasets.GetBudget, request))
    except errors.BastionLabError:
        # The upload has come to pass: it is not to look as if it had failed.
        return "its budget() says what is spent already"
    limit = "without a limit" if budget.limit is None else f"of a limit of {budget.limit:g}"
    return f"{budget.spent:g} {limit} is spent already"
