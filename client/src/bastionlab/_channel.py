"""gRPC channels: by way of a tunnel, or over gRPC's own TLS with one certificate that is the only one accepted."""

from __future__ import annotations

import socket
import ssl

import grpc
from cryptography import x509

from bastionlab import errors
from bastionlab._address import CONNECT_TIMEOUT_SECONDS, Address
from bastionlab._certificate import SERVER_NAME, public_key_of
from bastionlab._refusals import no_server, unreachable
from bastionlab._tunnel import Tunnel

_OPTIONS = (
    # SECURITY: a proxy from the environment would be a middleman before the server has proved anything.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_metadata_size", 64 << 10),
    # gRPC shares connections between channels that look alike; here each was attested for itself.
    ("grpc.use_local_subchannel_pool", 1),
    # A server that is away for a moment is found again soon, so that a watch can be joined again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


def fetch_certificate(address: Address) -> bytes:
    """The certificate of the server at an address, in DER, trusted for nothing yet."""
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
        raise no_server(str(address), "TLS 1.3") from None
    except OSError as error:
        raise unreachable(str(address), (error.strerror or str(error)).lower()) from None
    if not der:
        raise unreachable(str(address), "it showed no certificate")
    return der


def key_of(der: bytes) -> bytes:
    try:
        certificate = x509.load_der_x509_certificate(der)
    except ValueError:
        raise errors.AttestationError("tls", "a certificate of X.509", "one that cannot be read") from None
    return public_key_of(certificate)


def pinned_channel(address: Address, der: bytes) -> grpc.Channel:
    """A channel on which no other certificate than this one is accepted."""
    # SECURITY: the pinned certificate is the only root, so whoever answers later with another one is refused by TLS itself.
    credentials = grpc.ssl_channel_credentials(root_certificates=ssl.DER_cert_to_PEM_cert(der).encode())
    options = (("grpc.ssl_target_name_override", SERVER_NAME), *_OPTIONS)
    return grpc.secure_channel(address.target, credentials, options=options)


def tunnelled_channel(tunnel: Tunnel) -> grpc.Channel:
    # Local credentials, not none: gRPC sends what is private over a private socket only.
    credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
    return grpc.secure_channel(tunnel.target, credentials, options=_OPTIONS)
