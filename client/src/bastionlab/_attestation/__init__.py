"""What a server's evidence proves, decided offline.

Purpose: `verify` takes a server's evidence, what the channel to it is, and a policy, and gives what the evidence proves or raises
an `AttestationError` that names the check, what was expected and what was seen. docs/attestation.md has every check.

Invariants: nothing is fetched; no root comes from the wire without a pin, simulated evidence apart; what a policy does not state is
refused; whatever the bytes of the evidence are, nothing but `AttestationError` leaves `verify`.

Not here: the channel itself, and when evidence is asked for. Cryptographic primitives are those of `cryptography`; the reading of
reports, certificates and policies is this package's own.
"""

from bastionlab._attestation._channel import Channel
from bastionlab._attestation._policy import SIMULATED, SIMULATED_ON_LOOPBACK, Policy
from bastionlab._attestation._roots import AMD_ROOTS
from bastionlab._attestation._saved import load
from bastionlab._attestation._verify import Attested, verify

__all__ = ["AMD_ROOTS", "SIMULATED", "SIMULATED_ON_LOOPBACK", "Attested", "Channel", "Policy", "load", "verify"]
