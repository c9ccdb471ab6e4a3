"""What the sums of an account can be: after one movement, and from one movement to the next.

The rules are those of docs/receipts.md. Amounts are the integers of the body: as floats two that differ could look the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from bastionlab._numbers import LARGEST_INTEGER
from bastionlab._receipt_form import refuse
from bastionlab._receipts import Receipt

_OF_RUN = (("spent", "epsilon"), ("spent_delta", "run_delta"))


def check_sums(body: dict[str, Any]) -> None:
    """What holds of every account, whatever its limit: a limit may be lowered below what is spent."""
    after = body["after"]
    if body["type"] == "reserve":
        # The sums stop at the largest integer instead of passing it.
        for name, of_run in _OF_RUN:
            if after[name] < min(body.get(of_run, 0), LARGEST_INTEGER):
                refuse("sums", f"{name} to be at least the run's {body[of_run]}", str(after[name]))
        if body.get("infinite") and not after.get("infinite"):
            refuse("sums", "an account that counts as infinite", "a finite one")
    if body["type"] == "freeze" and not after.get("frozen"):
        refuse("sums", "an account that is frozen", "one that is not")


def impossible(steps: Iterable[tuple[Receipt, Receipt]], receipts: Iterable[Receipt]) -> Iterator[tuple[Receipt, Receipt]]:
    """Of receipts and the next ones of their accounts, those whose sums do not follow.

    :param receipts: in which the prices of runs are looked up whose charge is given back
    """
    prices: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for receipt in receipts:
        if receipt.type == "reserve":
            prices.setdefault((receipt.dataset, receipt.run), []).append(receipt._members)
    for before, after in steps:
        if before.type == "close":
            yield before, after  # nothing follows on that
            continue
        given_back = prices.get((after.dataset, after.run), []) if after.type == "release" else []
        if not _follows(before._members["after"], after._members, given_back):
            yield before, after


def _follows(before: dict[str, Any], body: dict[str, Any], prices: list[dict[str, Any]]) -> bool:
    """Whether an account can be what a body says of it, after what was said of it before."""
    kind, after = body["type"], body["after"]
    if kind == "open" or not _terms_follow(before, body) or not _marks_follow(before, body, prices):
        return False
    return all(
        _sum_follows(kind, before[name], after[name], body.get(of_run, 0), [price.get(of_run, 0) for price in prices])
        for name, of_run in _OF_RUN
    )


def _terms_follow(before: dict[str, Any], body: dict[str, Any]) -> bool:
    kind, after = body["type"], body["after"]
    # No limit is above every limit.
    old, new = before.get("limit", math.inf), after.get("limit", math.inf)
    if kind == "join":
        return bool(new <= old and after["delta"] <= before["delta"])
    lowered = kind == "limit" and "scientist" not in body
    return bool(after["delta"] == before["delta"] and (new == body["limit"] < old if lowered else new == old))


def _sum_follows(kind: str, old: int, new: int, price: int, given_back: list[int]) -> bool:
    if kind == "join":
        return new >= old
    if kind == "release":
        # What stopped at the largest integer does not tell how far beyond it was.
        return new <= old and (old == LARGEST_INTEGER or all(new == old - each for each in given_back))
    return new == min(old + price, LARGEST_INTEGER)


def _marks_follow(before: dict[str, Any], body: dict[str, Any], prices: list[dict[str, Any]]) -> bool:
    kind, after = body["type"], body["after"]
    infinite, frozen = before.get("infinite", False), before.get("frozen", False)
    infinite_now, frozen_now = after.get("infinite", False), after.get("frozen", False)
    if kind == "join":
        return bool(infinite_now >= infinite and frozen_now >= frozen)
    if kind == "release":
        # A run without noise that never had the data leaves the account finite, unless another one had them.
        may_end = all(price.get("infinite", False) for price in prices)
        return bool(frozen_now == frozen and (infinite_now == infinite or (infinite and may_end)))
    return bool(infinite_now == (infinite or body.get("infinite", False)) and frozen_now == (frozen or kind == "freeze"))
