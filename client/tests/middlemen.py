"""Who may stand between a client and a server: a router that can be turned, and one who ends TLS and reads along."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from fake_server import self_signed
from OpenSSL import SSL


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
        self._last = time.monotonic()
        super().__init__()

    def __enter__(self) -> Switch:
        return self

    def serve(self, peer: socket.socket, number: int) -> None:
        target = self.target if isinstance(self.target, int) else self.target(number)
        with socket.create_connection(("127.0.0.1", target)) as on:
            self._live.append(on)
            self._carry(peer, on)

    def wait_until_quiet(self, seconds: float) -> None:
        """Returns when nothing has been said for so long: what was on its way has arrived."""
        while (rest := self._last + seconds - time.monotonic()) > 0:
            time.sleep(rest)

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([one, other], [], [])
            for source, sink in ((one, other), (other, one)):
                if source in ready:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    sink.sendall(data)
                    self._last = time.monotonic()


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
        near = serve_tls(peer, self._key, self._certificate)
        with socket.create_connection(("127.0.0.1", self._target)) as on:
            self._live.append(on)
            context = _context(SSL.TLS_CLIENT_METHOD)
            context.set_alpn_protos([b"h2"])
            far = SSL.Connection(context, on)
            far.set_connect_state()
            far.do_handshake()
            with contextlib.suppress(SSL.Error, OSError):
                self._carry(near, peer, far, on)

    def _carry(self, near: SSL.Connection, peer: socket.socket, far: SSL.Connection, on: socket.socket) -> None:
        """Both ways in one thread: a connection of OpenSSL's is not for two."""
        peer.setblocking(False)
        on.setblocking(False)
        while True:
            heard, said = _read(near), _read(far)
            self.heard += heard
            _write(far, on, heard)
            _write(near, peer, said)
            if not heard and not said:
                select.select([peer, on], [], [])


def _read(tls: SSL.Connection) -> bytes:
    """What there is, perhaps nothing; SSL.Error at the end."""
    try:
        return bytes(tls.recv(1 << 16))
    except SSL.WantReadError:
        return b""


def _write(tls: SSL.Connection, under: socket.socket, data: bytes) -> None:
    while data:
        try:
            data = data[tls.send(data) :]
        except SSL.WantWriteError:
            select.select([], [under], [])


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
    context = _context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    if alpn is not None:
        context.set_alpn_select_callback(lambda *_: alpn)
    tls = SSL.Connection(context, peer)
    tls.set_accept_state()
    tls.do_handshake()
    return tls


def _context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    return context
