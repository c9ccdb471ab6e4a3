"""TLS by OpenSSL over memory, not over a socket: as many records as there are go into one write, and one read brings as many.

A call costs a turn of the interpreter's lock, and whoever is at work in the caller's own threads keeps that for milliseconds.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time

from OpenSSL import SSL

# OpenSSL's SSL_MODE_ENABLE_PARTIAL_WRITE.
_PARTIAL_WRITE = 1
_HANDSHAKE_BYTES = 1 << 16


class HandshakeTimeout(Exception):
    """The other side does not answer."""


def new_context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    if hasattr(context, "clear_mode"):  # else each call seals one record
        context.clear_mode(_PARTIAL_WRITE)
    return context


def shake_hands(tls: SSL.Connection, far: socket.socket, seconds: float) -> None:
    """SSL.Error where the other side does not speak TLS as it should, OSError where the way broke.

    :param tls: without a socket of its own
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            tls.do_handshake()
            done = True
        except SSL.WantReadError:
            done = False
        except SSL.Error:
            with contextlib.suppress(OSError):
                far.send(_sealed(tls))  # the alert that says why
            raise
        _send(far, _sealed(tls), deadline)
        if done:
            return
        _wait(far, select.POLLIN, deadline)
        received = far.recv(_HANDSHAKE_BYTES)
        if not received:
            raise SSL.SysCallError(-1, "Unexpected EOF")
        tls.bio_write(received)


def seal(tls: SSL.Connection, plain: memoryview) -> bytes:
    """As records, with whatever TLS has to say of its own."""
    size = len(plain)
    while plain:
        plain = plain[tls.send(plain) :]
    return _sealed(tls, size + size // 64 + _HANDSHAKE_BYTES)


def say_goodbye(tls: SSL.Connection, far: socket.socket) -> None:
    """close_notify, as far as it can be sent at once."""
    with contextlib.suppress(OSError, SSL.Error):
        tls.shutdown()
        far.send(_sealed(tls))


def _sealed(tls: SSL.Connection, size: int = _HANDSHAKE_BYTES) -> bytes:
    """:param size: of what is expected at most, so that one read has it all"""
    sealed = b""
    with contextlib.suppress(SSL.WantReadError):
        while len(part := tls.bio_read(size)) == size:
            sealed += part
        sealed = sealed + part if sealed else part
    return sealed


def _send(far: socket.socket, sealed: bytes, deadline: float) -> None:
    while sealed:
        _wait(far, select.POLLOUT, deadline)
        sealed = sealed[far.send(sealed) :]


def _wait(far: socket.socket, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(far, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise HandshakeTimeout
