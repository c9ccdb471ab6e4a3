"""The channel to a server: its certificate is fetched once and is then the only one accepted."""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import dataclass

import grpc

from bastionlab import errors
from bastionlab._address import CONNECT_TIMEOUT_SECONDS, Address
from bastionlab._refusals import unreachable

# The name in the server's self-signed certificate, whatever address it is reached at.
SERVER_NAME = "localhost"

_OPTIONS = (
    ("grpc.ssl_target_name_override", SERVER_NAME),
    # SECURITY: a proxy from the environment would be a middleman before the server has proved anything.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_metadata_size", 64 << 10),
    # A server that restarts is found again soon, so that a watch can be joined again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


@dataclass(frozen=True)
class Certificate:
    """The leaf certificate that a server showed, in DER."""

    der: bytes

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.der).digest()


def fetch_certificate(address: Address) -> Certificate:
    """The certificate of the server at an address, trusted for nothing yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((address.ip, address.port), CONNECT_TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=SERVER_NAME) as secure,
        ):
            der = secure.getpeercert(binary_form=True)
    except ssl.SSLError:
        raise errors.ServerUnavailable(
            f"what listens at {address} does not speak TLS 1.3, so it is no BastionLab server",
            next="check the port; BastionLab listens on 50056",
        ) from None
    except OSError as error:
        raise unreachable(str(address), (error.strerror or str(error)).lower()) from None
    if not der:
        raise unreachable(str(address), "it showed no certificate")
    return Certificate(der)


def open_channel(address: Address, certificate: Certificate) -> grpc.Channel:
    """A channel on which no other certificate than this one is accepted."""
    # SECURITY: the pinned certificate is the only root, so whoever answers later with another one is refused by TLS itself.
    root = ssl.DER_cert_to_PEM_cert(certificate.der).encode()
    return grpc.secure_channel(address.target, grpc.ssl_channel_credentials(root_certificates=root), options=_OPTIONS)
