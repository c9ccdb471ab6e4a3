"""TLS 1.3 in this process, for gRPC: the binding to one connection needs its exporter, and grpcio tells none.

gRPC speaks plaintext HTTP/2 to a private unix socket; one thread carries it over the TLS connection.

Invariants: one TLS connection, never made again: when it ends, so does the tunnel. One local client, this very process. As long as
gRPC knows the socket's name, nobody else can have it. The thread and the socket end with close(), in the process that made them.
Nothing is sent over TLS before gRPC says something.
Non-goal: to judge the server. Any certificate is taken; what is said before its evidence was verified is _link's affair.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import struct
import tempfile
import threading
import weakref
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL

from bastionlab import errors
from bastionlab._address import CONNECT_TIMEOUT_SECONDS, Address
from bastionlab._certificate import SERVER_NAME, public_key_of
from bastionlab._refusals import no_server, unreachable
from bastionlab._relay import relay
from bastionlab._tls import HandshakeTimeout, new_context, shake_hands

# RFC 9266, section 4.2.
_EXPORTER_LABEL = b"EXPORTER-Channel-Binding"
_EXPORTER_BYTES = 32
_NAME_BYTES = 100  # a unix socket's name may have little more
_JOIN_SECONDS = 5.0
# A machine that vanished is noticed: after so much silence it is asked so often.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4}


class Tunnel:
    """Connects at once; close it when done."""

    def __init__(self, address: Address) -> None:
        self._far, self._tls = _connect(address)
        try:
            self.public_key = public_key_of(_certificate_of(self._tls))
            self.exporter = self._tls.export_keying_material(_EXPORTER_LABEL, _EXPORTER_BYTES, b"")
            self._directory = Path(tempfile.mkdtemp(prefix="bastionlab-", dir=_short_directory()))  # mode 0700
        except BaseException:
            self._far.close()
            raise
        self._name = self._directory / "s"
        self._process = os.getpid()
        # SECURITY: gRPC connects to this name again when its connection ends, so the private directory stays until gRPC is done:
        # where all may write, whoever made another of its name would be spoken to in the server's stead, and in plain text.
        self._forget_directory = weakref.finalize(self, _remove, self._directory, self._process)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stop, self._wake = socket.socketpair()
        self._ending = threading.Lock()
        try:
            self._listener.bind(str(self._name))
            self._listener.listen(1)
            self._thread = threading.Thread(target=self._run, name=f"bastionlab tunnel to {address}", daemon=True)
            self._thread.start()
        except BaseException:
            self._end()
            self._forget_directory()
            raise

    @property
    def target(self) -> str:
        """The local end, for gRPC."""
        return f"unix:{self._name}"

    @property
    def is_open(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """To be called when gRPC's channel is closed."""
        if os.getpid() != self._process:
            return  # a fork has no thread of its own, and must not end its parent's
        with self._ending, contextlib.suppress(OSError):
            self._wake.send(b"x")
        self._thread.join(_JOIN_SECONDS)
        self._forget_directory()

    def _run(self) -> None:
        try:
            near = self._accept()
            if near is not None:
                with near:
                    relay(self._tls, self._far, near, self._stop)
        except OSError:
            pass  # as an end of the connection
        finally:
            self._end()

    def _end(self) -> None:
        self._forget_name()
        self._far.close()
        self._stop.close()
        with self._ending:  # so that close() writes to no other socket that gets its number
            self._wake.close()

    def _accept(self) -> socket.socket | None:
        """This process's own connection, the first and the last one; None where the tunnel was closed before."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while True:
            if self._stop.fileno() in dict(poll.poll()):
                return None
            near, _ = self._listener.accept()
            if _is_own(near):
                self._forget_name()
                return near
            # SECURITY: whoever else found the name does not get to speak to the server in our name.
            near.close()

    def _forget_name(self) -> None:
        self._listener.close()
        self._name.unlink(missing_ok=True)


def _remove(directory: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(directory, ignore_errors=True)


def _certificate_of(tls: SSL.Connection) -> x509.Certificate | None:
    try:
        return tls.get_peer_certificate(as_cryptography=True)
    except ValueError:  # OpenSSL took what the stricter reader does not
        raise errors.AttestationError("tls", "a certificate of X.509", "one that cannot be read") from None


def _connect(address: Address) -> tuple[socket.socket, SSL.Connection]:
    try:
        far = socket.create_connection((address.ip, address.port), CONNECT_TIMEOUT_SECONDS)
    except OSError as error:
        raise unreachable(str(address), (error.strerror or str(error)).lower()) from None
    try:
        _prepare(far)
        tls = SSL.Connection(_context(), None)
        tls.set_tlsext_host_name(SERVER_NAME.encode())
        tls.set_connect_state()
        shake_hands(tls, far, CONNECT_TIMEOUT_SECONDS)
        if tls.get_alpn_proto_negotiated() != b"h2":
            raise no_server(str(address), "HTTP/2")
    except BaseException as error:
        far.close()
        if isinstance(error, SSL.Error):
            raise no_server(str(address), "TLS 1.3") from None
        if isinstance(error, (HandshakeTimeout, OSError)):
            raise unreachable(str(address), getattr(error, "strerror", None) or "it does not answer in time") from None
        raise
    return far, tls


def _context() -> SSL.Context:
    context = new_context(SSL.TLS_CLIENT_METHOD)
    # SECURITY: no authority vouches for a server. Its evidence does, and it is bound to the key and to this connection.
    context.set_verify(SSL.VERIFY_NONE)
    context.set_alpn_protos([b"h2"])
    # No tickets: a resumed session would be another connection with the keys of this one.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    return context


def _prepare(far: socket.socket) -> None:
    far.setblocking(False)
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):
            far.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _is_own(near: socket.socket) -> bool:
    """Whether the other end is in this process, as far as the system tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the directory is this user's only
    pid, uid, _ = struct.unpack("3i", near.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return (pid, uid) == (os.getpid(), os.geteuid())


def _short_directory() -> str | None:
    """Where temporary names are too long for a socket, the system's own place."""
    return None if len(tempfile.gettempdir()) + len("/bastionlab-12345678/s") < _NAME_BYTES else "/tmp"
