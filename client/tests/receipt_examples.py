"""One receipt of each type, to be bent by tests and vectors."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from receipt_writer import charge_of, seal, write_body

# The seeds of the first two examples of RFC 8032, 7.1.
KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))

DATASET = "5b" * 16
RUN = "c4" * 16
LARGEST = 2**63 - 1
AFTER: dict[str, Any] = dict(limit=6_000_000_000, delta=10**15, spent=0, spent_delta=0)
BASE: dict[str, Any] = dict(
    v=1, at=1_790_000_000_000, account=DATASET, seq=2, prev="ab" * 32,
    boot="0d" * 16, level="file", development=False, release="1.0.0",
    dataset=DATASET, owner="0a" * 32, after=AFTER,
)  # fmt: skip
OPENING = dict(limit=6_000_000_000, delta=10**15, orders=[2, 4, 8, 16], declared=4459, blob="b1" * 32, rows="e7" * 32)
PRICE: dict[str, Any] = dict(
    run=RUN, scientist="5c" * 32, epsilon=2_000_000_000, run_delta=166_666_666_666_666,
    renyi=[5_000_000_000, 10**10, 2 * 10**10, 4 * 10**10],
    after=AFTER | dict(spent=2_000_000_000, spent_delta=166_666_666_666_666),
)  # fmt: skip
PLAIN: dict[str, Any] = dict(run_delta=None, epsilon=None, renyi=None, infinite=True)


def members(kind: str, **changed: Any) -> dict[str, Any]:
    of_kind: dict[str, dict[str, Any]] = {
        "open": dict(seq=1, prev=None, **OPENING),
        "join": dict(OPENING, limit=5_000_000_000, test_of="7a" * 16, accounts=["7e" * 16], renyi=[1, 2, 3, 4]),
        "limit": dict(limit=3_000_000_000),
        "reserve": PRICE,
        "data": dict(run=RUN, scientist="5c" * 32),
        "release": dict(run=RUN, scientist="5c" * 32),
        "settle": dict(run=RUN, scientist="5c" * 32, outcome="completed"),
        "freeze": dict(
            reason="a receipt was presented that the ledger does not hold", presented="f0" * 32, after=AFTER | dict(frozen=True)
        ),
        "close": dict(orders=[2, 4, 8, 16], renyi=[1, 2, 3, 4]),
    }
    found = BASE | dict(type=kind) | of_kind[kind] | changed
    if kind == "reserve" and "charge" not in changed:
        found["charge"] = charge_of(found)
    return found


def receipt(kind: str, key: Ed25519PrivateKey = KEY, **changed: Any) -> dict[str, Any]:
    return seal(key, write_body(members(kind, **changed)))


def charged(**changed: Any) -> dict[str, Any]:
    """A reserve whose charge says something else."""
    return receipt("reserve", charge=charge_of(members("reserve"), **changed))
