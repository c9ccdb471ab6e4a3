"""Who may do what with a dataset, as its owner says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from bastionlab import errors
from bastionlab._identity import Identity, PublicKey
from bastionlab._numbers import as_real
from bastionlab._receipt_form import is_hash
from bastionlab._table import table
from bastionlab.torch._budget import NANO
from bastionlab.v1 import dataset_pb2

Who: TypeAlias = PublicKey | Identity | str
"""A public key, its PEM text, or a user's name: the 64 hex digits of ``client.user``."""

EVERYBODY = "everybody"
_WHO = "give a PublicKey, its PEM text, or a user's name, 64 hex digits: theirs is `client.user`"
# The protocol's integers have 63 bits.
_LARGEST_EPS = 1e9


@dataclass(frozen=True)
class Grant:
    """What somebody may do with a dataset. To be granted anything at all, or nothing but to look, is to see it."""

    train: bool = True
    test: bool = True
    take_home: bool = True
    """The weights of completed runs."""
    eps: float | None = None
    """Up to which eps, in all; None: as far as the dataset's limit goes."""

    def __post_init__(self) -> None:
        for name in ("train", "test", "take_home"):
            if not isinstance(getattr(self, name), bool):
                raise errors.InvalidArgument(f"{name} is {getattr(self, name)!r}", next="give True or False")
        eps = self.eps
        if eps is not None and (as_real(eps) is None or not 1 / NANO <= eps <= _LARGEST_EPS):
            raise errors.InvalidArgument(
                f"eps is {eps!r}", next="give a number above 0, or leave it out for no limit but the dataset's"
            )

    def to_message(self, user: str) -> dataset_pb2.Grant:
        message = dataset_pb2.Grant(user=user, train=self.train, test=self.test, take_home=self.take_home)
        if self.eps is not None:
            # PRIVACY: rounded down, so that nobody gets more than was written; of what was written, for 2.3 is not a binary number.
            message.epsilon_nano = int(Decimal(str(as_real(self.eps))) * int(NANO))
        return message

    @classmethod
    def from_message(cls, message: dataset_pb2.Grant) -> Grant:
        eps = message.epsilon_nano / NANO if message.HasField("epsilon_nano") else None
        return cls(message.train, message.test, message.take_home, eps)

    def __str__(self) -> str:
        may = [text for text, given in (("train", self.train), ("test", self.test), ("take home", self.take_home)) if given]
        return (", ".join(may) or "see it") + (f", up to eps {self.eps:g}" if self.eps is not None else "")


@dataclass(frozen=True)
class Permissions:
    """For ``RemoteDataset(..., permissions=...)``. The owner may do everything but download records, which nobody may.

    >>> from bastionlab.torch import Grant, Permissions
    >>> print(Permissions({"ab" * 32: Grant(eps=2.0)}, everybody=Grant(train=False, test=False, take_home=False)))
    who           may
    abababababab  train, test, take home, up to eps 2
    everybody     see it
    """

    grants: Mapping[Who, Grant] = field(default_factory=dict)
    """By user. Keys are kept as users' names."""
    everybody: Grant | None = None
    """What all may who may sign in; a grant of one's own adds to it, or bounds its eps. The server takes none that permits less."""
    constant_time: bool = False
    """Whether runs of others must take constant time, so that how long they take says nothing about records."""
    gpu: bool = False
    """Whether runs of others may compute on a GPU. Its memory is outside of what evidence speaks of: whoever runs the machine may
    read records there, in a TEE too.

    It and ``constant_time`` are said with the upload, and ``grant()`` and ``revoke()`` leave them as they are. To change one,
    delete the dataset and upload it again; what was spent stays spent."""

    def __post_init__(self) -> None:
        if not isinstance(self.grants, Mapping):
            raise errors.InvalidArgument(f"grants is a {type(self.grants).__name__}", next="give a dict of users and their Grant")
        named = {user_of(who): _as_grant(grant) for who, grant in self.grants.items()}
        if len(named) != len(self.grants):
            raise errors.InvalidArgument("a user has two grants", next="give each one")
        object.__setattr__(self, "grants", named)
        if self.everybody is not None and _as_grant(self.everybody).eps is not None:
            raise errors.InvalidArgument("everybody has a limit of eps", next="limit single users, or the dataset: privacy_limit")
        for name in ("constant_time", "gpu"):
            if not isinstance(getattr(self, name), bool):
                raise errors.InvalidArgument(f"{name} is {getattr(self, name)!r}", next="give True or False")

    @classmethod
    def owner_only(cls) -> Permissions:
        """Nobody but its owner so much as sees the dataset."""
        return cls()

    @classmethod
    def open_to_everybody(cls) -> Permissions:
        """Whoever may sign in may do everything that can be granted; on the CPU."""
        return cls(everybody=Grant())

    def to_message(self) -> dataset_pb2.Permissions:
        grants = [grant.to_message(user_of(who)) for who, grant in self.grants.items()]
        if self.everybody is not None:
            grants.append(self.everybody.to_message(""))
        return dataset_pb2.Permissions(grants=grants, constant_time=self.constant_time, gpu=self.gpu)

    @classmethod
    def from_message(cls, message: dataset_pb2.Permissions) -> Permissions:
        found = {grant.user: Grant.from_message(grant) for grant in message.grants}
        everybody = found.pop("", None)
        return cls({user: grant for user, grant in found.items()}, everybody, message.constant_time, message.gpu)

    def __str__(self) -> str:
        rows = [(user_of(who)[:12], str(grant)) for who, grant in self.grants.items()]
        if self.everybody is not None:
            rows.append((EVERYBODY, str(self.everybody)))
        lines = [table(("who", "may"), rows)] if rows else ["nobody but the owner sees it"]
        if self.constant_time:
            lines.append("runs of others take constant time")
        if self.gpu:
            lines.append("runs of others may compute on a GPU")
        return "\n".join(lines)


def user_of(who: Any) -> str:
    """A user's name."""
    if isinstance(who, Identity):
        return who.public_key.user
    if isinstance(who, PublicKey):
        return who.user
    if is_hash(who):
        return str(who)
    if isinstance(who, str) and "BEGIN PUBLIC KEY" in who:
        try:
            key = serialization.load_pem_public_key(who.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise errors.InvalidArgument("the PEM text holds no public key that can be read", next=_WHO) from None
        return PublicKey(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).user
    shown = repr(who) if isinstance(who, str) else f"a {type(who).__name__}"
    raise errors.InvalidArgument(f"{shown[:80]} names no user", next=_WHO)


def user_or_everybody(who: Any) -> str:
    """As the protocol names them: everybody is the empty name."""
    return "" if isinstance(who, str) and who == EVERYBODY else user_of(who)


def as_permissions(given: Any) -> Permissions | None:
    """What was given to RemoteDataset; None: the server's default."""
    if given is None or isinstance(given, Permissions):
        return given
    raise errors.InvalidArgument(
        f"permissions is a {type(given).__name__}", next="give a bastionlab.torch.Permissions, for example Permissions.owner_only()"
    )


def _as_grant(grant: Any) -> Grant:
    if not isinstance(grant, Grant):
        raise errors.InvalidArgument(f"a grant is a {type(grant).__name__}", next="give a Grant, for example Grant(eps=2.0)")
    return grant
