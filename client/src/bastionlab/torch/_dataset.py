"""A dataset on the server, as an owner or a scientist sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bastionlab import errors
from bastionlab._collecting import chain_of_dataset, has_receipts, receipts_of_dataset
from bastionlab._notices import notice
from bastionlab._numbers import as_integer, as_real
from bastionlab._receipt_form import is_hash
from bastionlab._receipts import Receipt
from bastionlab._session import Session
from bastionlab.torch._budget import ATTO, NANO, Budget, disagreement
from bastionlab.torch._continuing import Continuation, continue_accounts
from bastionlab.torch._permissions import Grant, Permissions, Who, as_permissions, user_or_everybody
from bastionlab.torch._public import PublicFacts
from bastionlab.torch._records import Records
from bastionlab.torch._schema import Schema
from bastionlab.torch._upload import Upload
from bastionlab.v1 import dataset_pb2

# How often budget and receipts are asked for anew where the account moves between the two.
_LOOKS = 5


class RemoteDataset:
    """A dataset on the server. ``client.torch.RemoteDataset(...)`` uploads one, ``list_remote_datasets()`` finds them.

    >>> dataset = client.torch.list_remote_datasets()[0]
    >>> dataset.name, dataset.nb_samples, dataset.privacy_limit
    ('digits', 100, 6.0)
    >>> print(dataset.schema)
    input_0 float32[8] -> label int64[]
    """

    def __init__(self, session: Session, message: dataset_pb2.Dataset) -> None:
        self._session = session
        self._message = message
        self._schema = Schema.from_message(message.schema)

    @property
    def identifier(self) -> str:
        return self._message.id

    @property
    def name(self) -> str:
        return self._message.name

    @property
    def description(self) -> str:
        return self._message.description

    @property
    def nb_samples(self) -> int:
        """How many slots the owner declared."""
        return self._message.declared_samples

    @property
    def schema(self) -> Schema:
        """Names, shapes and dtypes."""
        return self._schema

    @property
    def public(self) -> PublicFacts:
        """What the owner published on purpose."""
        return PublicFacts.from_message(self._message.public)

    @property
    def privacy_limit(self) -> float | None:
        """The epsilon that all runs together never pass; None where the owner set none."""
        return self._message.privacy_limit_nano / NANO if self._message.HasField("privacy_limit_nano") else None

    @property
    def delta(self) -> float:
        return self._message.delta_atto / ATTO

    @property
    def permissions(self) -> Permissions:
        """Who may do what with it, as of when it was last heard of. For the owner.

        >>> print(client.torch.list_remote_datasets()[0].permissions)
        nobody but the owner sees it
        """
        if not self._is_mine:
            raise errors.PermissionDenied(
                f"only its owner is told who may do what with {self.name!r}", next="its `may` says what you may"
            )
        if not self._message.HasField("permissions"):
            # PRIVACY: a listing leaves them out, and its owner must not read that as "nobody".
            request = dataset_pb2.GetDatasetRequest(id=self.identifier)
            self._message = self._session.call(self._session.datasets.GetDataset, request)
        return Permissions.from_message(self._message.permissions)

    @property
    def may(self) -> Grant:
        """What you may do with it, as of when it was last heard of."""
        return Grant.from_message(self._message.may)

    def grant(
        self, who: Who, *, train: bool = True, test: bool = True, take_home: bool = True, eps: float | None = None
    ) -> Permissions:
        """Lets somebody do something with it, in the place of what they might before. For the owner.

        :param who: a PublicKey, its PEM text, or a user's name; "everybody": whoever may sign in
        :param take_home: the weights of completed runs
        :param eps: up to which eps, in all; None: as far as the dataset's limit goes

        >>> from bastionlab.torch import Grant
        >>> dataset = client.torch.list_remote_datasets()[0]
        >>> print(dataset.grant("ab" * 32, take_home=False, eps=2.0))
        who           may
        abababababab  train, test, up to eps 2
        """
        granted = Grant(train, test, take_home, eps).to_message(user_or_everybody(who))
        if not granted.user and eps is not None:
            raise errors.InvalidArgument("everybody has a limit of eps", next="limit single users, or the dataset: lower_limit")
        request = dataset_pb2.GrantAccessRequest(dataset_id=self.identifier, grant=granted)
        self._message = self._session.call(self._session.datasets.GrantAccess, request)
        return self.permissions

    def revoke(self, who: Who) -> Permissions:
        """Takes back what somebody may. Their unfinished runs end, and they take no weights home any more. For the owner.

        :param who: as in grant; "everybody" takes back what all may, not what single users were granted
        """
        request = dataset_pb2.RevokeAccessRequest(dataset_id=self.identifier, user=user_or_everybody(who))
        self._message = self._session.call(self._session.datasets.RevokeAccess, request)
        return self.permissions

    @property
    def test_dataset(self) -> RemoteDataset | None:
        """The test set that was uploaded beside it: a dataset with an account of its own. None where there is none.

        >>> client.torch.list_remote_datasets()[0].test_dataset is None
        True
        """
        if not self._message.test_id:
            return None
        request = dataset_pb2.GetDatasetRequest(id=self._message.test_id)
        return RemoteDataset(self._session, self._session.call(self._session.datasets.GetDataset, request))

    def budget(self) -> Budget:
        """What was spent, by which runs, and what remains. The owner's is held against the account's receipts.

        >>> print(client.torch.list_remote_datasets()[0].budget())
        limit 6   spent 0   remaining 6   delta 0.001
        no runs
        """
        moved = -1
        for _ in range(_LOOKS):
            request = dataset_pb2.GetBudgetRequest(dataset_id=self.identifier)
            answer = self._session.call(self._session.datasets.GetBudget, request)
            chain = self._collect()
            wrong = disagreement(answer, chain) if chain else None
            # Between the two answers the account may have moved: they have to agree when it did not.
            if wrong is None or len(chain) == moved:
                break
            moved = len(chain)
        if wrong is not None:
            raise wrong
        return Budget.from_message(answer)

    def receipts(self) -> list[Receipt]:
        """What the server signed of every movement of the account that the dataset draws on, in order. For the owner.

        They are kept in this user's book, too, and shown to the server whenever it is connected to: it has to hold them still.

        >>> [receipt.type for receipt in client.torch.list_remote_datasets()[0].receipts()]
        ['open']
        """
        return receipts_of_dataset(self._session, self.identifier, self._account)

    def lower_limit(self, privacy_limit: float, scientist: str | None = None) -> Budget:
        """Lowers the limit; it can never be raised again. For the owner.

        :param scientist: the user whose runs the limit is for, beside the limit of all; None: for all
        """
        checked = check_limit(privacy_limit)
        if checked is None:
            raise errors.InvalidArgument("a limit cannot be taken away", next="give a smaller limit")
        if scientist is not None and not is_hash(scientist):
            raise errors.InvalidArgument(
                f"scientist is {scientist!r}", next="give a user's name, 64 hex digits: theirs is `client.user`, and in their runs"
            )
        request = dataset_pb2.LowerLimitRequest(dataset_id=self.identifier, privacy_limit=checked, scientist=scientist or "")
        answer = self._session.call(self._session.datasets.LowerLimit, request)
        if answer.HasField("limit_nano"):
            self._message.privacy_limit_nano = answer.limit_nano
        self._collect()
        return Budget.from_message(answer)

    def delete(self) -> None:
        """Deletes the records. What was spent on them stays in the ledger. For the owner."""
        request = dataset_pb2.DeleteDatasetRequest(id=self.identifier)
        self._session.call(self._session.datasets.DeleteDataset, request, concerns=self.identifier)

    @property
    def _account(self) -> str:
        return self._message.account or self.identifier

    @property
    def _is_mine(self) -> bool:
        return self._message.mine or self._message.owner == self._session.user

    def _collect(self) -> list[Receipt]:
        """Looks what the server has signed of the account since; only its owner is told. Empty where that is not known."""
        if not self._is_mine or not has_receipts(self._session):
            return []
        try:
            return chain_of_dataset(self._session, self.identifier, self._account)
        except errors.AttestationError:
            raise
        except errors.BastionLabError as error:
            notice(f"the receipts of {self.name!r} could not be fetched ({error.what})", errors.PrivacyWarning)
            return []

    def __str__(self) -> str:
        return f"{self.name} ({self.identifier}): size={self.nb_samples}, desc={self.description or 'N/A'}"

    def __repr__(self) -> str:
        return f"RemoteDataset({self.name!r}, {self.identifier})"


def upload(
    session: Session,
    train_dataset: Any,
    test_dataset: Any | None,
    privacy_limit: float | None,
    name: str | None,
    description: str,
    delta: float | None,
    declared_samples: int | None,
    public: Mapping[str, Any] | None,
    permissions: Any,
    progress: bool,
) -> RemoteDataset:
    """Checks all that can be checked here, then sends the training set and, as a dataset of its own, the test set."""
    granted = as_permissions(permissions)
    for field, given in (("name", name), ("description", description)):
        if not isinstance(given, str) and (field, given) != ("name", None):
            raise errors.InvalidArgument(f"{field} is a {type(given).__name__}", next="give a text")
    if privacy_limit is None:
        _warn_unlimited(session)
    limit = check_limit(privacy_limit)
    records = Records(train_dataset)
    test_records = None if test_dataset is None else Records(test_dataset, "the test set")
    if test_records is not None and test_records.schema != records.schema:
        raise errors.InvalidArgument(
            f"the test set holds {test_records.schema}, the training set {records.schema}", next="give both the same form"
        )
    name = type(train_dataset).__name__ if name is None else name
    declared = _check_declared(declared_samples, records.count)
    sets = [records] if test_records is None else [records, test_records]
    checked_delta = _check_delta(delta, limit, declared or records.count)
    terms = continue_accounts(session, sets, name, limit, checked_delta, declared or records.count)
    train = Upload(
        records=records,
        name=name,
        description=description,
        privacy_limit=terms.limit,
        delta=terms.delta,
        declared_samples=declared,
        public=PublicFacts.of(public, records.schema),
        permissions=granted,
        ledger=terms.ledger,
    )
    sent = _send(train, session, progress, terms, 0)
    if test_records is not None:
        # The same limit and delta as the training set's, whatever its own size. They are its account's, which may be stricter than
        # what was asked for, where its records were uploaded before.
        limited = sent.HasField("privacy_limit_nano")
        test = replace(
            train,
            records=test_records,
            name=f"{name} (test)",
            declared_samples=0,
            privacy_limit=sent.privacy_limit_nano / NANO if limited else None,
            delta=sent.delta_atto / ATTO if limited else None,
            permissions=None,  # the training set's
            test_of=sent.id,
        )
        try:
            sent.test_id = _send(test, session, progress, terms, 1).id
        except BaseException:
            # Both or none: half of a call is no dataset that anybody asked for.
            RemoteDataset(session, sent).delete()
            raise
    return RemoteDataset(session, sent)


def _send(upload: Upload, session: Session, progress: bool, terms: Continuation, which: int) -> dataset_pb2.Dataset:
    try:
        sent = upload.send(session, progress)
    except BaseException as error:
        terms.refused(error)
        raise
    terms.sent(which, sent)
    return sent


def check_limit(limit: float | None) -> float | None:
    """A limit as it is sent; None for no limit."""
    if limit is None or limit == math.inf:
        return None
    number = as_real(limit)
    if number is None or not number > 0:
        raise errors.InvalidArgument(f"privacy_limit is {limit!r}", next="give a number above 0, or math.inf for no limit")
    return number


def _check_delta(delta: float | None, limit: float | None, declared: int) -> float | None:
    if delta is None:
        return None
    if limit is None:
        raise errors.InvalidArgument("delta is given without a privacy_limit", next="give both, or neither")
    number = as_real(delta)
    if number is None or not 0 < number < 1 / declared:
        raise errors.InvalidArgument(
            f"delta is {delta!r}", next=f"give a number above 0 and below 1/{declared}, or leave it out for a tenth of that"
        )
    return number


def _check_declared(declared: int | None, count: int) -> int:
    """0: as many as there are."""
    if declared is None:
        return 0
    number = as_integer(declared)
    if number is None or number < count:
        raise errors.InvalidArgument(
            f"declared_samples is {declared!r}, the dataset has {count} items", next="declare at least as many as there are"
        )
    return number


def _warn_unlimited(session: Session) -> None:
    if not session.attested.claims.development:
        raise errors.InvalidArgument(
            "there is no privacy_limit", next="give one, for example 6.0; write math.inf where you want no protection"
        )
    notice(
        "NO PRIVACY LIMIT: whoever may train on this dataset can learn its records, without noise and without end. "
        "Give privacy_limit, for example 6.0.",
        errors.PrivacyWarning,
    )
