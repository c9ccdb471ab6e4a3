"""Where a server is."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from bastionlab import errors
from bastionlab._refusals import unreachable

CONNECT_TIMEOUT_SECONDS = 10.0
_NAMES_OF_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """One address of a server, as literal numbers: nothing resolves a name a second time."""

    ip: str
    port: int
    named: str  # as the user wrote it

    @property
    def target(self) -> str:
        """The address for gRPC."""
        # In a URI, the sign before an interface's name is written as %25.
        return f"ipv6:[{self.ip.replace('%', '%25')}]:{self.port}" if ":" in self.ip else f"ipv4:{self.ip}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(self.ip)

    def __str__(self) -> str:
        return self.named


def reach(host: str, port: int) -> Address:
    """The first address of host on which something listens."""
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise errors.InvalidArgument(f"port {port!r} is not between 1 and 65535", next="BastionLab listens on 50056")
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
    except (OSError, UnicodeError):  # a name that is none
        return []
    addresses = list(dict.fromkeys(str(a[4][0]) for a in found))
    # SECURITY: "localhost" is only a name; where a resolver sends it elsewhere, that place is not used.
    return [ip for ip in addresses if _is_loopback(ip)] if host in _NAMES_OF_THIS_MACHINE else addresses


def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip.partition("%")[0]).is_loopback
