"""Where a server is, and whether it may be spoken to before it can prove what it is."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from bastionlab import errors
from bastionlab._refusals import unreachable

CONNECT_TIMEOUT_SECONDS = 10.0
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """One address of a server, as literal numbers: nothing resolves a name a second time."""

    ip: str
    port: int
    named: str  # as the user wrote it

    @property
    def target(self) -> str:
        """The address for gRPC."""
        return f"ipv6:[{self.ip}]:{self.port}" if ":" in self.ip else f"ipv4:{self.ip}:{self.port}"

    def __str__(self) -> str:
        return self.named


def require_loopback(host: str) -> None:
    """Refuses every host but this machine; nothing is looked up, nothing is sent."""
    # SECURITY: a server cannot prove yet what code it runs, so its certificate is worth no more than the network that delivered it.
    # Only the loopback interface is trusted that far.
    if host not in _LOOPBACK_NAMES:
        raise errors.AttestationError(
            "evidence",
            "a server that proves what code it runs",
            f"{host}, and no way yet for it to prove anything",
            next="this release speaks to localhost, 127.0.0.1 and ::1 only; forward the port, for example "
            f"`ssh -L 56056:localhost:50056 {host}`, if you trust the way there",
        )


def reach(host: str, port: int) -> Address:
    """The first loopback address of host on which something listens."""
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise errors.InvalidArgument(f"port {port!r} is not between 1 and 65535", next="BastionLab listens on 50056")
    require_loopback(host)
    named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    said = "the name has no address"
    for ip in _addresses(host, port):
        try:
            socket.create_connection((ip, port), CONNECT_TIMEOUT_SECONDS).close()
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            continue
        return Address(ip, port, named)
    raise unreachable(named, said)


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    # SECURITY: "localhost" is only a name; where a resolver sends it elsewhere, that place is not used.
    return list(dict.fromkeys(str(a[4][0]) for a in found if ipaddress.ip_address(a[4][0]).is_loopback))
