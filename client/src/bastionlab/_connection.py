"""Connection and Client: the way in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bastionlab import errors
from bastionlab._address import require_loopback
from bastionlab._identity import Identity
from bastionlab._notices import notice
from bastionlab._session import Session

if TYPE_CHECKING:
    from bastionlab.torch import TorchClient

DEFAULT_PORT = 50056


@dataclass(frozen=True)
class ServerInfo:
    """What a server says of itself."""

    version: str
    platform: str
    """The confidential-computing platform; "none" outside of one."""
    simulated: bool
    """Whether the platform is only simulated."""
    development: bool
    """Whether any key is accepted."""
    measurement: str
    binding: str
    """How the channel is bound to the server's key."""
    storage_level: str
    """Where the key of what is stored lives."""
    ledger_key: str
    """By which its receipts are signed, in hex, for ``verify_receipt(..., key=...)``; empty where it signs none."""


class Client:
    """What a connection offers."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._torch: TorchClient | None = None

    @property
    def torch(self) -> TorchClient:
        """Private training of PyTorch models."""
        if self._torch is None:
            # Here, not at the top: whoever only connects does not wait for torch to be imported.
            from bastionlab.torch import TorchClient

            self._torch = TorchClient(self._session)
        return self._torch

    @property
    def info(self) -> ServerInfo:
        """What the server says of itself."""
        info = self._session.info
        return ServerInfo(
            version=info.version,
            platform=info.platform,
            simulated=info.simulated,
            development=info.development,
            measurement=info.measurement,
            binding=info.binding,
            storage_level=info.storage_level,
            ledger_key=info.ledger_key.hex(),
        )

    @property
    def user(self) -> str:
        """How the server names whoever holds this connection's key."""
        return self._session.user


class Connection:
    """A way to a server, opened when its client is first used.

    Until servers can prove what code they run, only localhost, 127.0.0.1 and ::1 are spoken to.

    :param host: where the server is
    :param port: where it listens
    :param identity: who speaks; None: a key of this user, made on first use
    :param attestation: None; policies come together with servers that have something to prove

    >>> with Connection("localhost", port) as connection:
    ...     connection.client.info.version
    '1.0.0'
    """

    def __init__(
        self,
        host: str,
        port: int = DEFAULT_PORT,
        identity: Identity | None = None,
        attestation: str | os.PathLike[str] | dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(host, str) or not host:
            raise errors.InvalidArgument("host is not the name of a machine", next='for example Connection("localhost")')
        if identity is not None and not isinstance(identity, Identity):
            raise errors.InvalidArgument(
                f"identity is a {type(identity).__name__}", next="use Identity.load or Identity.create, or leave it out"
            )
        self.host = host
        self.port = port
        self.identity = identity
        self.attestation = attestation
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The client, connecting where that has not happened yet."""
        if self._client is None:
            self._client = Client(self._connect())
        return self._client

    def close(self) -> None:
        """Ends the connection. Runs go on."""
        if self._client is not None:
            self._client._session.close()
            self._client = None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Connection({self.host!r}, port={self.port})"

    def _connect(self) -> Session:
        require_loopback(self.host)
        if self.attestation is not None:
            # SECURITY: whoever asks for proof gets proof or no connection.
            raise errors.AttestationError(
                "evidence",
                "evidence that satisfies the given policy",
                "none: this release's servers cannot prove what code they run",
                next="leave `attestation` out to speak to this machine without proof",
            )
        session = Session.open(self.host, self.port, self.identity or Identity.default())
        notice(
            f"the certificate of {session.address} was accepted unseen, because it is this machine; "
            "the server has proved nothing about the code it runs"
        )
        if session.info.development:
            notice(
                f"DEVELOPMENT MODE: the server at {session.address} accepts any key as any user. "
                "It protects nobody's data from its operator. Use it to try things out.",
                errors.PrivacyWarning,
            )
        return session
