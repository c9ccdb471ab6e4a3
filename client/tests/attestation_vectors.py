"""vectors/attestation: what a case holds, and what this verifier makes of it."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from bastionlab._attestation import AMD_ROOTS, Policy, _saved, verify
from bastionlab.errors import AttestationError

FILE = Path(__file__).resolve().parents[2] / "vectors" / "attestation" / "synthetic.json"
Case = dict[str, Any]


def cases() -> list[Case]:
    """With the certificates in the place of their names."""
    read = json.loads(FILE.read_text())
    certificates = {name: base64.b64decode(encoded) for name, encoded in read["certificates"].items()}
    return [case | {"endorsements": [certificates[name] for name in case["endorsements"]]} for case in read["cases"]]


def outcome(case: Case) -> AttestationError | None:
    """Why it is refused; None where it is accepted."""
    pins = case["roots"]
    roots = AMD_ROOTS if pins is None else {product: frozenset(some) for product, some in pins.items()}
    members = {name: case[name] for name in ("evidence", "public_key", "nonce", "exporter")}
    try:
        policy = Policy.parse(case["policy"])
        evidence, nonce, channel = _saved.read({"form": _saved.FORM} | members)
        evidence.endorsements.extend(case["endorsements"])
        verify(evidence, nonce, channel, policy, datetime.fromisoformat(case["now"].replace("Z", "+00:00")), roots)
    except AttestationError as refusal:
        return refusal
    return None
