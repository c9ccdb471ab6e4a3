"""Proves possession of the user's key, on one link."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bastionlab import errors
from bastionlab._identity import Identity
from bastionlab._link import Link
from bastionlab._methods import SESSIONS, Method, metadata
from bastionlab._version import PROTOCOL, __version__
from bastionlab.v1 import attestation_pb2, session_pb2, user_pb2

CALL_TIMEOUT_SECONDS = 120.0
# A token is replaced this long before it runs out, so that a call that starts now does not meet its end.
TOKEN_MARGIN_SECONDS = 60.0
_PREFIX = b"bastionlab.v1 sign-in 2\x00"


@dataclass(frozen=True)
class SignedIn:
    """A link with a token, which is worth nothing elsewhere."""

    link: Link
    token: str
    good_until: float
    user: str
    roles: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        return not self.link.is_lost and time.monotonic() < self.good_until

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return metadata(self.token)

    def bind(self, method: Method) -> Any:
        return self.link.bind(method)


def sign_in(link: Link, identity: Identity, address: str) -> SignedIn:
    """grpc.RpcError where the server does not take it."""
    hello = link.bind(SESSIONS.Hello)(
        session_pb2.HelloRequest(client_version=__version__), metadata=metadata(), timeout=CALL_TIMEOUT_SECONDS
    )
    if hello.protocol != PROTOCOL:
        raise errors.VersionMismatch(
            f"the server at {address} (version {hello.server_version}) speaks protocol {hello.protocol}, "
            f"this client (version {__version__}) speaks {PROTOCOL}",
            next=f"install the client of BastionLab {hello.server_version}",
        )
    attested = link.attested.claims.version
    if hello.server_version != attested:
        raise errors.AttestationError(
            "version", f"the version in the server's evidence, {attested}", f"{hello.server_version} in its Hello"
        )
    request = session_pb2.SignInRequest(
        public_key=identity.public_key.der,
        signature=identity.sign(signed_at_sign_in(hello.challenge, link.binding, link.public_key, link.exporter)),
        challenge=hello.challenge,
        binding=attestation_pb2.Binding.Name(link.binding),
    )
    started = time.monotonic()
    answer = link.bind(SESSIONS.SignIn)(request, metadata=metadata(), timeout=CALL_TIMEOUT_SECONDS)
    # At least half of its life, or a server with very short tokens would be asked before every call.
    life = answer.expires_in_seconds
    return SignedIn(
        link=link,
        token=answer.token,
        good_until=started + max(life - TOKEN_MARGIN_SECONDS, life / 2),
        user=answer.user,
        roles=tuple(map(_role_name, answer.roles)),
    )


def signed_at_sign_in(challenge: bytes, binding: int, public_key: bytes, exporter: bytes) -> bytes:
    """SECURITY: names the server's key and, with the exporter, this very connection: whoever relays it has another of them."""
    return _PREFIX + challenge + bytes([binding]) + hashlib.sha256(public_key).digest() + exporter


def asking(signed_in: SignedIn, method: Method) -> Callable[[Any], Any]:
    """The method as a plain function, for what has to be asked before anything else is."""
    ask = signed_in.bind(method)
    return lambda request: ask(request, metadata=signed_in.metadata, timeout=CALL_TIMEOUT_SECONDS)


def _role_name(role: int) -> str:
    known = role in user_pb2.Role.values()
    return str(user_pb2.Role.Name(role)).removeprefix("ROLE_").lower() if known else f"role {role}"
