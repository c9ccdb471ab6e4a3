"""A receipt: what a server signed of one movement of a budget account."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from bastionlab._receipt_form import FORM

NANO = 1e9


@dataclass(frozen=True)
class Receipt:
    """One movement of a budget account, signed by the server. Every receipt in your hands has been verified.

    >>> receipt = learner.fit(nb_epochs=1, eps=1.0).receipts[0]
    >>> receipt.type, receipt.epsilon, receipt.spent, receipt.limit
    ('reserve', 1.0, 1.0, 6.0)
    """

    type: str
    """open, join, limit, reserve, data, release, settle, freeze or close."""
    account: str
    """The identifier of the account's first dataset."""
    seq: int
    """Its number in the account, from 1."""
    time: datetime
    """By the server's clock."""
    dataset: str
    owner: str
    scientist: str
    """Empty where it concerns none."""
    run: str
    """Empty where it concerns none."""
    epsilon: float | None
    """The price of a run, with ``reserve`` only; infinite without noise."""
    delta: float | None
    """Of the run, with ``reserve`` only."""
    charge: bytes
    """The price together with all that determines it, as it was authorised."""
    device: str
    """What the run computes on, with ``reserve`` only: cpu or cuda."""
    outcome: str
    """With ``settle``: completed, failed or cancelled."""
    reason: str
    """With ``freeze``."""
    limit: float | None
    """Of the account, after the movement; None where it has none."""
    spent: float
    """The sum of what is charged to the account, after the movement; infinite once something was trained without noise."""
    frozen: bool
    """True once nothing is charged to the account any more."""
    accounts: tuple[str, ...]
    """With ``join``: the other accounts that this one continues from here on."""
    development: bool
    """Whether the server took any key."""
    level: str
    """Where the server keeps its key."""
    release: str
    """The server's version."""
    boot: str
    """Which start of the server it was."""
    key: str
    """Whose signature it is."""
    prev: str
    """The digest of the receipt before it in the account; empty for the first."""
    body: str = field(repr=False)
    """What was signed, as it is."""
    signature: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the body, by which the account's next receipt names this one."""
        return hashlib.sha256(self.body.encode("ascii")).hexdigest()

    @cached_property
    def _members(self) -> dict[str, Any]:
        """All that the body says, with amounts as the integers that were signed; docs/receipts.md has what they are."""
        members: dict[str, Any] = json.loads(self.body)
        return members

    def to_dict(self) -> dict[str, Any]:
        """What a receipt file holds."""
        signature = base64.b64encode(self.signature).decode("ascii")
        return {"bastionlab_receipt": FORM, "body": self.body, "signature": signature, "key": self.key}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a receipt file, for verify_receipt and ``bastionlab verify receipt``. Several in one file make a book."""
        Path(path).write_bytes(to_line(self))

    def __str__(self) -> str:
        limit = "without a limit" if self.limit is None else f"of {self.limit:g}"
        lines = [
            f"{self.type:<10}receipt {self.seq} of account {self.account}, {self.time:%Y-%m-%d %H:%M:%S} UTC",
            f"dataset   {self.dataset}",
        ]
        if self.run:
            lines.append(f"run       {self.run}{f' {self.outcome}' if self.outcome else ''}")
        if self.epsilon is not None:
            price = (
                "infinite: without noise" if math.isinf(self.epsilon) else f"eps {self.epsilon:g} at delta {self.delta or 0:.3g}"
            )
            lines.append(f"price     {price}{'' if self.device == 'cpu' else f', on {self.device}'}")
        if self.type == "limit" and self.scientist:
            lines.append(f"limit     {self._members['limit'] / NANO:g} for the scientist {self.scientist}")
        lines.append(f"account   spent {self.spent:g} {limit}{', frozen' if self.frozen else ''}")
        if self.reason:
            lines.append(f"reason    {self.reason}")
        mode = ", which took any key (development)" if self.development else ""
        return "\n".join([*lines, f"signed    by {self.key} (release {self.release}){mode}"])


def to_line(receipt: Receipt) -> bytes:
    """A receipt as a line of a book."""
    return json.dumps(receipt.to_dict(), separators=(",", ":")).encode("ascii") + b"\n"
