"""The TLS of the fake server: grpcio tells a server no exporter, so TLS ends here.

Each connection's plaintext goes to the gRPC server over a TCP connection of its own, by whose port the services find the exporter.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from bastionlab._relay import relay
from bastionlab._tls import HandshakeTimeout, new_context, shake_hands

_HANDSHAKE_SECONDS = 10.0


class Front:
    """Listens at once."""

    def __init__(self, port: int, backend: int, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.exporters: dict[int, bytes] = {}
        """By the port of the connection to the gRPC server."""
        self.connections = 0
        self._backend = backend
        self._context = new_context(SSL.TLS_SERVER_METHOD)
        self._context.use_certificate(certificate)
        self._context.use_privatekey(key)
        self._context.set_alpn_select_callback(lambda _, offered: b"h2" if b"h2" in offered else SSL.NO_OVERLAPPING_PROTOCOLS)
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._stop, self._wake = socket.socketpair()
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()

    def stop_listening(self) -> None:
        self._wake.send(b"x")  # nobody takes it, so everybody sees it
        self._threads[0].join()
        self._listener.close()

    def close(self) -> None:
        for thread in self._threads:
            thread.join(10)
        self._stop.close()
        self._wake.close()

    def _listen(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._stop], [], [])
            if self._stop in ready:
                return
            peer, _ = self._listener.accept()
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(peer,), daemon=True))
            self._threads[-1].start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError, SSL.Error, HandshakeTimeout):
            tls = SSL.Connection(self._context, None)
            tls.set_accept_state()
            peer.setblocking(False)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            shake_hands(tls, peer, _HANDSHAKE_SECONDS)
            with socket.create_connection(("127.0.0.1", self._backend)) as near:
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.exporters[near.getsockname()[1]] = tls.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
                relay(tls, peer, near, self._stop)
