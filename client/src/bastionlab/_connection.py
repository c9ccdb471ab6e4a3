"""Connection and Client: the way in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bastionlab import errors
from bastionlab._acceptance import Acceptance
from bastionlab._identity import Identity
from bastionlab._server_info import ServerInfo
from bastionlab._session import Session

if TYPE_CHECKING:
    from bastionlab.torch import TorchClient

DEFAULT_PORT = 50056


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
        """What the server proved of itself when it was last connected to."""
        return ServerInfo.of(self._session.attested)

    def save_evidence(self, path: str | os.PathLike[str]) -> None:
        """Writes what the server proved itself with to a file, for `bastionlab verify evidence FILE`."""
        self._session.attested.save(path)

    @property
    def user(self) -> str:
        """How the server names whoever holds this connection's key."""
        return self._session.user

    @property
    def roles(self) -> tuple[str, ...]:
        """What this user was registered as: owner, scientist, operator. None for an unregistered key in development mode."""
        return self._session.roles


class Connection:
    """A way to a server, opened when its client is first used.

    Before the server is told anything, it proves to this connection what code it runs on which hardware; where that does not
    satisfy, AttestationError says which check failed. It proves it again whenever the connection had to be made anew.

    :param host: where the server is
    :param port: where it listens
    :param identity: who speaks; None: a key of this user, made on first use
    :param attestation: what the server has to prove. None: the policy that came with this release; a simulated device is taken
        on this machine only. A dict or a file: that policy. "simulated": a simulated device, wherever it is, which proves nothing

    >>> with Connection("localhost", port) as connection:
    ...     connection.client.info.storage_level
    'file'
    """

    def __init__(
        self,
        host: str,
        port: int = DEFAULT_PORT,
        identity: Identity | None = None,
        attestation: str | os.PathLike[str] | Mapping[str, Any] | None = None,
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
        acceptance = Acceptance.of(self.attestation)
        return Session.open(self.host, self.port, self.identity or Identity.default(), acceptance)
