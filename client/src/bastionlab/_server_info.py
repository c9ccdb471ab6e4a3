"""What a server proved of itself, in the user's terms, and what of it the user should be told unasked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bastionlab import errors
from bastionlab._attestation import Attested
from bastionlab._version import __version__, is_far
from bastionlab.v1 import attestation_pb2

_BINDINGS: dict[int, str] = {attestation_pb2.BINDING_EXPORTER: "exporter", attestation_pb2.BINDING_KEY: "key"}
_CONSEQUENCES = {
    "file": "The key of what is stored lies in a file on the server's disk: data and budgets outlive a restart, and whoever has "
    "the disk can read the data.",
    "memory": "The key of what is stored lives in the server's memory only: no record can be read off its disk, and when it "
    "restarts, the data is gone. An account then counts as wholly spent, unless your receipts hold its signed closing.",
}


@dataclass(frozen=True)
class ServerInfo:
    """What a server proved of itself when it was last connected to."""

    version: str
    platform: str
    """sev-snp, tdx or simulated."""
    simulated: bool
    """Whether the device is only simulated: then nothing below is proved."""
    development: bool
    """Whether any key is accepted."""
    measurement: str
    """Of the code that it runs, in hex."""
    binding: str
    """To what the proof is bound: exporter (this connection) or key (the server's TLS key)."""
    storage_level: str
    """Where the key of what is stored lives: file or memory."""
    ledger_key: str
    """By which its receipts are signed, in hex, for ``verify_receipt(..., key=...)``; empty where it signs none."""
    boot_id: str
    """Of this start of the server; in its receipts."""

    @property
    def storage_consequences(self) -> str:
        """What the storage level means."""
        return _CONSEQUENCES.get(self.storage_level, "")

    @classmethod
    def of(cls, attested: Attested) -> ServerInfo:
        claims = attested.claims
        return cls(
            version=claims.version,
            platform=attested.platform,
            simulated=attested.simulated,
            development=claims.development,
            measurement=attested.measurement,
            binding=_BINDINGS[attested.channel.binding],
            storage_level=claims.storage_level,
            ledger_key=claims.ledger_key.hex(),
            boot_id=claims.boot_id,
        )


@dataclass(frozen=True)
class Said:
    """Something to warn of."""

    text: str
    kind: type[errors.BastionLabWarning]
    again: bool = False
    """Whether it is said whenever it comes up, not once a connection."""


def worth_saying(address: str, attested: Attested, asked_for: bool) -> Iterator[Said]:
    """:param asked_for: whether simulated evidence was, by name"""
    info = ServerInfo.of(attested)
    if info.simulated and asked_for:
        yield Said(
            f"SIMULATED EVIDENCE: the device of the server at {address} is a simulation, taken because attestation is "
            '"simulated". It proves nothing: whoever runs that server, or stands in its way, can read all that is sent to it.',
            errors.PrivacyWarning,
        )
    elif info.simulated:
        yield Said(
            f"the evidence of the server at {address} is simulated, and was taken because it is this machine or is by your "
            "policy; the server has proved nothing about the code it runs",
            errors.BastionLabWarning,
        )
    if is_far(__version__, info.version):
        yield Said(
            f"the server at {address} is BastionLab {info.version} and this client is {__version__}: more than one minor version "
            f"apart, which nobody tests. It may lack what this client asks for; install the client of BastionLab {info.version}",
            errors.BastionLabWarning,
        )
    if info.development:
        yield Said(
            f"DEVELOPMENT MODE: the server at {address} accepts any key as any user. "
            "It protects nobody's data from its operator. Use it to try things out.",
            errors.PrivacyWarning,
        )
    if info.storage_level == "memory":
        yield Said(f"storage level of the server at {address}: memory. {info.storage_consequences}", errors.BastionLabWarning)
