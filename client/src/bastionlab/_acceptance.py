"""Which evidence a connection takes: what was given to Connection as `attestation`."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bastionlab import errors
from bastionlab._address import Address
from bastionlab._attestation import SIMULATED, SIMULATED_ON_LOOPBACK, Policy
from bastionlab._attestation._refuse import refuse
from bastionlab.v1 import attestation_pb2

_DEVICES = ("sev-snp", "tdx")
_LONGEST_FORM = 40  # in an error: it is what a stranger sent
_BINDINGS = {"exporter": attestation_pb2.BINDING_EXPORTER, "key": attestation_pb2.BINDING_KEY}


@dataclass(frozen=True)
class Acceptance:
    """A policy; or without one, what the release and the place of the server decide."""

    policy: Policy | None = None
    simulated: bool = False
    """Whether simulated evidence was asked for, and only that."""

    @classmethod
    def of(cls, attestation: str | os.PathLike[str] | Mapping[str, Any] | None) -> Acceptance:
        if attestation is None:
            return cls()
        if isinstance(attestation, str) and attestation == "simulated":
            return cls(simulated=True)
        if isinstance(attestation, Mapping):
            return cls(Policy.parse(attestation))
        if isinstance(attestation, (str, os.PathLike)):
            return cls(Policy.load(attestation))
        raise errors.InvalidArgument(
            f"attestation is a {type(attestation).__name__}",
            next='give a policy as a dict or a file, "simulated", or nothing for the policy of this release',
        )

    @property
    def binding(self) -> attestation_pb2.Binding:
        """To what evidence and sign-in are bound: the connection, or only the key where this system has no way to learn more."""
        # gRPC is reached by a unix socket, which Windows' Python does not have.
        can = hasattr(socket, "AF_UNIX") and hasattr(select, "poll")
        wanted = self.policy.binding if self.policy is not None else None
        if wanted == "exporter" and not can:
            raise errors.AttestationError(
                "policy",
                "a binding that this system can check",
                "exporter",
                next='write "binding": "key" into the policy: that a stolen TLS key is used elsewhere is then not noticed',
            )
        return _BINDINGS[wanted or ("exporter" if can else "key")]

    def policy_for(self, form: str, address: Address) -> Policy:
        """The policy that evidence of a form, from an address, is held against."""
        if self.policy is not None:
            return self.policy
        if form in _DEVICES:
            if not self.simulated:
                return Policy.shipped()
            raise errors.AttestationError(
                "policy",
                'simulated evidence: attestation="simulated" takes no other',
                f"evidence of {form}",
                next="give the policy of that server instead: attestation=FILE",
            )
        if self.simulated:
            return SIMULATED
        # SECURITY: what is simulated proves nothing, and is taken where the network between is this machine alone.
        if not address.is_loopback:
            refuse(
                "simulated",
                "evidence from a real device, off this machine",
                f"evidence of {form[:_LONGEST_FORM]} from {address.ip}",
                next='attestation="simulated" speaks to it all the same, where nobody\'s real data is at stake; or forward its '
                f"port, for example `ssh -L 56056:localhost:{address.port} HOST`, if you trust the way there",
            )
        return SIMULATED_ON_LOOPBACK
