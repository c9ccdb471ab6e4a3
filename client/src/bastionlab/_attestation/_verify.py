"""Evidence against a policy: dispatch by format, the binding, and what the server claims."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from google.protobuf.message import DecodeError

from bastionlab import errors
from bastionlab._attestation import _binding, _saved, _snp, _tdx
from bastionlab._attestation._channel import Channel
from bastionlab._attestation._policy import Policy
from bastionlab._attestation._policy_fields import PLATFORMS
from bastionlab._attestation._refuse import refuse
from bastionlab._attestation._roots import AMD_ROOTS
from bastionlab.v1 import attestation_pb2

_NAMES: dict[int, str] = {attestation_pb2.BINDING_KEY: "key", attestation_pb2.BINDING_EXPORTER: "exporter"}
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})([-+].*)?", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class Attested:
    """What was proved, and what proved it."""

    claims: attestation_pb2.Claims
    platform: str  # "sev-snp", "tdx" or "simulated"
    measurement: str
    chip_id: str  # "" where the platform shows none
    evidence: attestation_pb2.Evidence
    nonce: bytes
    channel: Channel

    @property
    def simulated(self) -> bool:
        """That nothing was proved: anybody can make simulated evidence."""
        return self.platform == "simulated"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the evidence to a file that `bastionlab verify evidence` takes, on any machine and without the server."""
        _saved.save(path, self.evidence, self.nonce, self.channel)


def verify(
    evidence: attestation_pb2.Evidence,
    nonce: bytes,
    channel: Channel,
    policy: Policy,
    now: datetime | None = None,
    roots: Mapping[str, frozenset[str]] = AMD_ROOTS,
) -> Attested:
    """What the evidence proves of the server at the other end of the channel, or AttestationError.

    :param nonce: the 32 bytes that the evidence was asked for with, drawn for this one call
    :param now: when certificates must be valid; None: now, by this machine's clock
    :param roots: pins of AMD's roots by product, for tests
    """
    now = now or datetime.now(timezone.utc)
    if now.tzinfo is None:
        now = now.replace(tzinfo=timezone.utc)
    try:
        return _verify(evidence, nonce, channel, policy, now, roots)
    except errors.AttestationError:
        raise
    # SECURITY: what a library makes of hostile bytes is a refusal too, whatever it raises; nothing is accepted on this way.
    except Exception as error:
        refuse("format", "evidence that can be read", f"{type(error).__name__}: {error}")


def _verify(
    evidence: attestation_pb2.Evidence,
    nonce: bytes,
    channel: Channel,
    policy: Policy,
    now: datetime,
    roots: Mapping[str, frozenset[str]],
) -> Attested:
    _check_format(evidence, policy)
    proved = (
        _tdx.check(evidence.report, evidence.endorsements, policy, now)
        if evidence.format == "tdx"
        else _snp.check(evidence.report, evidence.endorsements, policy, None if evidence.format == "simulated" else roots, now)
    )
    _check_binding(evidence, nonce, channel, policy, proved.report_data)
    # Only from here on are the claims those that the hardware vouched for.
    try:
        claims = attestation_pb2.Claims.FromString(evidence.claims)
    except DecodeError:
        refuse("format", "claims that can be read", f"{len(evidence.claims)} other bytes")
    _check_claims(claims, policy)
    return Attested(claims, evidence.format, proved.measurement, proved.chip_id, evidence, nonce, channel)


def _check_format(evidence: attestation_pb2.Evidence, policy: Policy) -> None:
    if not evidence.report:
        refuse("evidence", "a report", "none")
    if evidence.format not in PLATFORMS:
        refuse("format", f"evidence of format {', '.join(PLATFORMS)}", repr(evidence.format))
    if evidence.format in policy.platforms:
        return
    if evidence.format == "simulated":
        refuse("simulated", "evidence from a real device", "simulated evidence, which anybody can make")
    refuse("policy", f"a policy with {evidence.format} among its platforms", ", ".join(policy.platforms))


def _check_binding(evidence: attestation_pb2.Evidence, nonce: bytes, channel: Channel, policy: Policy, report_data: bytes) -> None:
    """The report is about this key, these claims, and the call that it was asked for in."""
    name = _NAMES.get(channel.binding, "none")
    if name == "none" or evidence.binding != channel.binding:
        refuse("binding", f"evidence bound to {name}", _NAMES.get(evidence.binding, "none"))
    # SECURITY: what the key binding proves is less; a policy that wants the connection itself must not get it.
    if policy.binding not in (None, name):
        refuse("binding", f"evidence bound to {policy.binding}", name)
    exporter = channel.exporter if name == "exporter" else bytes(_binding.EXPORTER_BYTES)
    if len(nonce) != _binding.NONCE_BYTES or len(exporter) != _binding.EXPORTER_BYTES:
        refuse("binding", "a nonce and an exporter of 32 bytes", f"{len(nonce)} and {len(exporter)}")
    mine = _binding.leaf(channel.binding, nonce, exporter)
    head = _binding.tree_head(mine, evidence.leaf_index, evidence.tree_size, evidence.path)
    if _binding.report_data(channel.public_key, evidence.claims, head) != report_data:
        refuse("binding", "a report about this server's key, its claims, this call's nonce and this connection", "one about others")


def _check_claims(claims: attestation_pb2.Claims, policy: Policy) -> None:
    digest = claims.config_digest.hex()
    if policy.config_digests is not None and digest not in policy.config_digests:
        refuse("config", "a configuration of the policy", digest or "none")
    if policy.min_version is not None and not _is_at_least(claims.version, policy.min_version):
        refuse("version", f"version {'.'.join(map(str, policy.min_version))} or newer", claims.version or "none")
    if claims.storage_level not in policy.storage_levels:
        refuse("storage", f"storage level {' or '.join(policy.storage_levels)}", claims.storage_level or "none")
    if claims.development and not policy.development:
        refuse("development", "a server that takes registered keys only", "a server in development mode")


def _is_at_least(version: str, least: tuple[int, int, int]) -> bool:
    matched = _VERSION.fullmatch(version)
    if matched is None:
        return False
    number = int(matched[1]), int(matched[2]), int(matched[3])
    # A pre-release comes before its release.
    return number > least or (number == least and not (matched[4] or "").startswith("-"))
