"""Who may stand between a client and a server: a router that can be turned, and one who ends TLS and reads along."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from fake_server import self_signed
from OpenSSL import SSL

from bastionlab._relay import relay
from bastionlab._tls import new_context, shake_hands


class _Listener:
    """Serves each connection in a thread of its own; use it with `with`."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0
        self._live: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    def _run(self) -> None:
        while True:
            try:
                peer, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._guarded, args=(peer, self.connections), daemon=True))
            self._threads[-1].start()

    def _guarded(self, peer: socket.socket, number: int) -> None:
        with peer, contextlib.suppress(OSError, SSL.Error):
            self._live.append(peer)
            self.serve(peer, number)

    def serve(self, peer: socket.socket, number: int) -> None:
        raise NotImplementedError

    def cut(self) -> None:
        """Every connection that there is."""
        live, self._live = self._live, []
        for each in live:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Listener:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)


class Switch(_Listener):
    """A router of the attacker's: TCP only. `target` is the port to which new connections go, by their number."""

    def __init__(self, target: int | Callable[[int], int]) -> None:
        self.target = target
        super().__init__()

    def __enter__(self) -> Switch:
        return self

    def serve(self, peer: socket.socket, number: int) -> None:
        target = self.target if isinstance(self.target, int) else self.target(number)
        with socket.create_connection(("127.0.0.1", target)) as on:
            self._live.append(on)
            _carry(peer, on)


def _carry(one: socket.socket, other: socket.socket, heard: bytearray | None = None) -> None:
    while True:
        ready, _, _ = select.select([one, other], [], [])
        for source, sink in ((one, other), (other, one)):
            if source in ready:
                data = source.recv(1 << 16)
                if not data:
                    return
                if heard is not None and source is one:
                    heard += data
                sink.sendall(data)


class Middleman(_Listener):
    """Ends TLS with a key of its own, or a stolen one, and passes everything on to the genuine server. `heard` is what it read."""

    def __init__(self, target: int, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self._target = target
        self.heard = bytearray()
        self._key, self._certificate = self_signed(key)
        super().__init__()

    def __enter__(self) -> Middleman:
        return self

    def serve(self, peer: socket.socket, number: int) -> None:
        # Each TLS connection has a thread of its own: OpenSSL's are not for two at once.
        context = new_context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(self._certificate)
        context.use_privatekey(self._key)
        context.set_alpn_select_callback(lambda *_: b"h2")
        near = SSL.Connection(context, None)
        near.set_accept_state()
        shake_hands(near, peer, 10)
        context = new_context(SSL.TLS_CLIENT_METHOD)
        context.set_alpn_protos([b"h2"])
        far = SSL.Connection(context, None)
        far.set_connect_state()
        pairs = [socket.socketpair() for _ in range(3)]
        (near_end, heard), (far_end, said), (stop, wake) = pairs
        with socket.create_connection(("127.0.0.1", self._target)) as on:
            self._live.append(on)
            shake_hands(far, on, 10)
            threads = [
                threading.Thread(target=_relay_and_close, args=(tls, way, end, stop), daemon=True)
                for tls, way, end in ((near, peer, near_end), (far, on, far_end))
            ]
            for thread in threads:
                thread.start()
            with contextlib.suppress(OSError):
                _carry(heard, said, self.heard)
            wake.send(b"x")
            for thread in threads:
                thread.join(5)
        for each in (end for pair in pairs for end in pair):
            each.close()


def _relay_and_close(tls: SSL.Connection, way: socket.socket, end: socket.socket, stop: socket.socket) -> None:
    with end:
        relay(tls, way, end, stop)


class Hostile(_Listener):
    """A server that shakes hands as it should, and then does what it likes."""

    def __init__(self, then: Callable[[SSL.Connection, socket.socket], None], alpn: bytes | None = b"h2") -> None:
        self._then = then
        self._alpn = alpn
        self._key, self._certificate = self_signed()
        super().__init__()

    def __enter__(self) -> Hostile:
        return self

    def serve(self, peer: socket.socket, number: int) -> None:
        self._then(serve_tls(peer, self._key, self._certificate, self._alpn), peer)


def serve_tls(
    peer: socket.socket, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, alpn: bytes | None = b"h2"
) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    if alpn is not None:
        context.set_alpn_select_callback(lambda *_: alpn)
    tls = SSL.Connection(context, peer)
    tls.set_accept_state()
    tls.do_handshake()
    return tls
