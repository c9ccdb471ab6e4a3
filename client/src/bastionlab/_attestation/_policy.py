"""What a verifier demands. docs/attestation.md has the fields.

Invariant: a policy that was read is complete. An unknown field, a wrong type and a missing field are errors that name the field;
what has no default must be written, and "any" is written as null. No policy can permit a guest in debug mode, or a migration agent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from bastionlab._attestation import _policy_fields as fields
from bastionlab._attestation._refuse import each_once, refuse

_LARGEST_FILE = 1 << 20
_SHIPPED = "policy.json"
_PACKAGE = "bastionlab._attestation"


@dataclass(frozen=True)
class TdxPolicy:
    mr_td: frozenset[str]
    mr_seam: frozenset[str] | None
    rtmrs: Mapping[int, frozenset[str]]
    statuses: tuple[str, ...]
    advisories: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """What is accepted; ``None`` in place of a list: any."""

    platforms: tuple[str, ...]
    measurements: frozenset[str] | None
    tcb: Mapping[str, Mapping[str, int]] | None
    chip_ids: frozenset[str] | None
    config_digests: frozenset[str] | None
    storage_levels: tuple[str, ...]
    binding: str | None
    signing_keys: tuple[str, ...]
    vmpl: int
    min_guest_svn: int
    min_abi: tuple[int, int]
    allow: tuple[str, ...]
    require_policy: tuple[str, ...]
    require_platform: tuple[str, ...]
    report_versions: tuple[int, ...]
    id_key_digests: frozenset[str] | None
    author_key_digests: frozenset[str] | None
    host_data: frozenset[str] | None
    development: bool
    roots: frozenset[str] | None
    min_version: tuple[int, int, int] | None
    tdx: TdxPolicy | None

    @classmethod
    def parse(cls, written: Mapping[str, Any]) -> Policy:
        """From what a policy file holds."""
        values = fields.read(written, fields.POLICY, "")
        platforms = values["platforms"]
        tdx = None if values["tdx"] is None else fields.read(values["tdx"], fields.TDX, "tdx.")
        if "sev-snp" in platforms and not values["measurements"]:
            refuse("policy", "field measurements: at least one where sev-snp is a platform", "none")
        if "sev-snp" in platforms and not values["tcb"]:
            refuse("policy", "field tcb: at least one floor where sev-snp is a platform", "none")
        if "tdx" in platforms and tdx is None:
            refuse("policy", "field tdx where tdx is a platform", "none")
        if "simulated" not in platforms and values["roots"] is not None:
            refuse("policy", "field roots only where simulated is a platform: a device's root is not for a policy to say", "roots")
        return cls(**(values | {"tdx": TdxPolicy(**tdx) if tdx is not None else None}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """From a policy file."""
        try:
            with Path(path).open("rb") as file:
                text = file.read(_LARGEST_FILE + 1)
        except OSError as error:
            refuse("policy", "a policy file", f"{os.fspath(path)}: {error.strerror}")
        return cls.read(text)

    @classmethod
    def read(cls, text: bytes) -> Policy:
        """From the bytes of a policy file."""
        if len(text) > _LARGEST_FILE:
            refuse("policy", f"a policy of at most {_LARGEST_FILE} bytes", "more")
        try:
            written = json.loads(text.decode("utf-8"), object_pairs_hook=each_once)
        except (ValueError, RecursionError) as error:
            refuse("policy", "a policy in JSON", error)
        return cls.parse(written)

    @classmethod
    def shipped(cls) -> Policy:
        """The one that came with this release of the client, for servers of the same release."""
        file = resources.files(_PACKAGE) / _SHIPPED
        if not file.is_file():
            next = "give one: attestation=FILE; whoever built the server knows its measurement"
            refuse("policy", "the policy of this release in the package", "none: a real device is taken by a policy only", next)
        return cls.read(file.read_bytes())


_ANY_SIMULATED = {
    "platforms": ["simulated"],
    "measurements": None,
    "chip_ids": None,
    "config_digests": None,
    "storage_levels": ["file", "memory"],
    "allow": ["smt"],
    "development": True,
}
# Two names for one set of demands: what differs is where they may be used, and how loudly.
SIMULATED_ON_LOOPBACK = Policy.parse(_ANY_SIMULATED)
"""For a server on this machine that nobody said anything about."""
SIMULATED = Policy.parse(_ANY_SIMULATED)
"""For ``attestation="simulated"``: said aloud, so taken anywhere."""
