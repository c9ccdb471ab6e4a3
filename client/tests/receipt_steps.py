"""Two receipts, one after the other, whose sums follow and do not follow."""

from __future__ import annotations

from typing import Any

from receipt_examples import AFTER, LARGEST, PLAIN, PRICE, RUN, receipt
from receipt_writer import digest


def two(before: dict[str, Any], kind: str, after: dict[str, Any], first: str = "data", **changed: Any) -> list[dict[str, Any]]:
    """A receipt that leaves an account so, and the next one; what is changed is in the next, but for a price that is given back."""
    price = changed if first == "reserve" else {}
    one = receipt(first, after=before, **price)
    return [one, receipt(kind, seq=3, prev=digest(one["body"]), after=after, **({} if price else changed))]


def sums_that_follow() -> dict[str, Any]:
    paid, low = PRICE["after"], AFTER | dict(limit=3_000_000_000)
    most = AFTER | dict(spent=LARGEST, spent_delta=LARGEST)
    some = AFTER | dict(spent=7, spent_delta=8)
    endless, free = AFTER | dict(infinite=True), AFTER | dict(limit=None)
    return {
        "a price is added": two(some, "reserve", some | dict(spent=2_000_000_007, spent_delta=166_666_666_666_674)),
        "a price is added to an infinite account": two(endless, "reserve", paid | dict(infinite=True)),
        "a price without noise": two(free, "reserve", free | dict(infinite=True), **PLAIN),
        "sums stop at the largest integer": two(
            AFTER | dict(spent=LARGEST - 1, spent_delta=LARGEST - 166_666_666_666_666), "reserve", most
        ),
        "sums stay at the largest integer": two(most, "reserve", most),
        "a price is given back": two(paid, "release", AFTER, "reserve", run=RUN),
        "a price that is not in the book is given back": two(paid, "release", some),
        "a price is given back and sums were at their end": two(most, "release", some, "reserve", run=RUN),
        "a price without noise is given back": two(free | dict(infinite=True), "release", free, "reserve", **PLAIN),
        "a price without noise is given back, and there is another": two(
            free | dict(infinite=True), "release", free | dict(infinite=True), "reserve", **PLAIN
        ),
        "an unknown price is given back, perhaps without noise": two(endless, "release", AFTER),
        "data leave the account": two(some, "data", some),
        "an end leaves the account": two(some, "settle", some, renyi=[1], outcome="cancelled"),
        "a frozen account stays frozen": two(AFTER | dict(frozen=True), "settle", AFTER | dict(frozen=True)),
        "a limit falls": two(some, "limit", some | dict(limit=3_000_000_000)),
        "a first limit": two(free, "limit", low),
        "a first limit that is the largest": two(free, "limit", AFTER | dict(limit=LARGEST), limit=LARGEST),
        "a limit for one scientist leaves the account": two(some, "limit", some, scientist="5c" * 32),
        "a freeze": two(some, "freeze", some | dict(frozen=True)),
        "a close": two(some, "close", some),
        "a frozen account is closed": two(AFTER | dict(frozen=True), "close", AFTER | dict(frozen=True)),
        "a joining with what others spent": two(
            some, "join", dict(limit=5, delta=1, spent=8, spent_delta=9, infinite=True, frozen=True)
        ),
        "a joining that changes nothing": two(some, "join", some),
        "a joining of an account without a limit": two(free, "join", free, limit=None),
    }


def sums_that_do_not_follow() -> dict[str, Any]:
    paid = PRICE["after"]
    some = AFTER | dict(spent=7, spent_delta=8)
    frozen, free = AFTER | dict(frozen=True), AFTER | dict(limit=None)
    bad = {
        "a limit after the close": two(AFTER, "limit", AFTER | dict(limit=3_000_000_000), "close"),
        "a price after the close": two(AFTER, "reserve", PRICE["after"], "close"),
        "a close after the close": two(AFTER, "close", AFTER, "close"),
        "a joining after the close": two(AFTER, "join", AFTER, "close"),
        "an opening with another before it": two(AFTER, "open", AFTER),
        "less is added than the price": two(some, "reserve", paid | dict(spent_delta=166_666_666_666_674)),
        "more is added than the price": two(AFTER, "reserve", paid | dict(spent=2_000_000_001)),
        "less delta is added than the price": two(some, "reserve", paid | dict(spent=2_000_000_007)),
        "sums do not stop before the largest integer": two(paid, "reserve", paid | dict(spent=LARGEST, spent_delta=LARGEST)),
        "a price with noise makes the account infinite": two(AFTER, "reserve", paid | dict(infinite=True)),
        "a price is added to a frozen account and thaws it": two(frozen, "reserve", paid),
        "less is given back than the price": two(paid, "release", AFTER | dict(spent=1), "reserve", run=RUN),
        "more is given back than the price": two(paid | dict(spent=2_000_000_001), "release", AFTER, "reserve", run=RUN),
        "less delta is given back than the price": two(paid, "release", AFTER | dict(spent_delta=1), "reserve", run=RUN),
        "sums rise as a price is given back": two(some, "release", some | dict(spent=8)),
        "the sum of delta rises as a price is given back": two(some, "release", some | dict(spent_delta=9)),
        "a finite price is given back and the account becomes finite": two(
            paid | dict(infinite=True), "release", AFTER, "reserve", run=RUN
        ),
        "a price is given back and the account becomes infinite": two(paid, "release", AFTER | dict(infinite=True)),
        "a price is given back and the account becomes frozen": two(paid, "release", frozen),
        "a limit that is not the one named": two(AFTER, "limit", AFTER | dict(limit=2_999_999_999)),
        "a limit that rises": two(AFTER | dict(limit=2), "limit", AFTER | dict(limit=3_000_000_000)),
        "a limit that stays": two(AFTER, "limit", AFTER, limit=6_000_000_000),
        "a limit that is lost": two(AFTER, "limit", free),
        "a limit for one scientist and for all": two(AFTER, "limit", AFTER | dict(limit=3_000_000_000), scientist="5c" * 32),
        "a joining that raises the limit": two(AFTER, "join", AFTER | dict(limit=6_000_000_001)),
        "a joining that takes the limit away": two(AFTER, "join", free),
        "a joining that raises delta": two(AFTER, "join", AFTER | dict(delta=10**15 + 1)),
        "a joining after which less is spent": two(some, "join", some | dict(spent=6)),
        "a joining after which less delta is spent": two(some, "join", some | dict(spent_delta=7)),
        "a joining after which the account is finite": two(AFTER | dict(infinite=True), "join", AFTER),
        "a joining that thaws": two(frozen, "join", AFTER),
        "the one before comes later in the file": two(AFTER, "data", some)[::-1],
    }
    other = dict(
        limit=dict(limit=7), limits=dict(limit=None), delta=dict(delta=7), spent=dict(spent=6), spent_delta=dict(spent_delta=9),
        infinite=dict(infinite=True),
    )  # fmt: skip
    for kind in ("data", "settle", "freeze", "close"):
        for name, change in (other | (dict(frozen=dict(frozen=True)) if kind != "freeze" else {})).items():
            bad[f"a {kind} that changes {name}"] = two(some, kind, some | (dict(frozen=True) if kind == "freeze" else {}) | change)
        bad[f"a {kind} after which the account is finite"] = two(
            some | dict(infinite=True), kind, some | (dict(frozen=True) if kind == "freeze" else {})
        )
    for kind in ("data", "settle", "limit"):
        bad[f"a {kind} that thaws"] = two(frozen, kind, AFTER | (dict(limit=3_000_000_000) if kind == "limit" else {}))
    for kind, lowered in (("limit", dict(limit=3_000_000_000)), ("reserve", paid), ("release", some)):
        names = ("delta", "infinite") if kind == "limit" else ("limit", "delta")
        for name in names:
            bad[f"a {kind} that changes {name}"] = two(some if kind == "release" else AFTER, kind, AFTER | lowered | other[name])
    for name in ("spent", "spent_delta"):
        bad[f"a limit that changes {name}"] = two(some, "limit", some | dict(limit=3_000_000_000) | other[name])
        bad[f"a limit for one scientist that changes {name}"] = two(some, "limit", some | other[name], scientist="5c" * 32)
    return bad
