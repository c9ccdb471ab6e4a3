"""Writes receipts as docs/receipts.md says, independently of the code that reads them; tests bend what it writes."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bastionlab.v1 import training_pb2

ORDER = """
    v type at account seq prev boot level development release lease dataset owner scientist limit delta orders declared blob rows
    test_of accounts run epsilon run_delta infinite renyi charge outcome reason presented after
""".split()  # noqa: SIM905 - as docs/receipts.md lists them
AFTER = ("limit", "delta", "spent", "spent_delta", "infinite", "frozen")


def write_body(members: dict[str, Any]) -> str:
    """The body with these members, in order; those that are None are left out."""
    assert set(members) <= set(ORDER)
    body = {name: members[name] for name in ORDER if members.get(name) is not None}
    if isinstance(body.get("after"), dict):
        body["after"] = {name: body["after"][name] for name in AFTER if body["after"].get(name) is not None}
    return json.dumps(body, separators=(",", ":"))


def public_hex(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def sign(key: Ed25519PrivateKey, body: str) -> bytes:
    return key.sign(b"bastionlab receipt 1\n" + body.encode("utf-8", "surrogatepass"))


def seal(key: Ed25519PrivateKey, body: str) -> dict[str, Any]:
    """What a receipt file holds."""
    signature = base64.b64encode(sign(key, body)).decode()
    return {"bastionlab_receipt": 1, "body": body, "signature": signature, "key": public_hex(key)}


def digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def charge_of(members: dict[str, Any], **changed: Any) -> str:
    """A charge that agrees with a body's price, but for what is changed."""
    price: dict[str, Any] = dict(
        dataset_id=members["dataset"],
        program_sha256=bytes(range(32)),
        private=not members.get("infinite"),
        epsilon_nano=members.get("epsilon") or 0,
        delta_atto=members.get("run_delta") or 0,
        steps=[training_pb2.ChargedSteps(sample_rate=0.25, noise_multiplier=0 if members.get("infinite") else 1.5, count=100)],
        max_grad_norm=1.0,
        accountant="pld",
        release_mode="certified",
        renyi=[training_pb2.RenyiCost(order=2 + i, pico=pico) for i, pico in enumerate(members.get("renyi") or ())],
    )
    return base64.b64encode(training_pb2.Charge(**(price | changed)).SerializeToString(deterministic=True)).decode()
