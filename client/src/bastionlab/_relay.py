"""Carries bytes between one TLS connection and one plain local socket, both ways, until either ends.

Invariants: memory is bounded by two buffers, whatever either side sends; the caller's thread is the only one that touches the TLS
connection; when it returns, nothing more is read or written.
"""

from __future__ import annotations

import contextlib
import select
import socket

from OpenSSL import SSL

# One hand-over is as large as a local socket holds: each costs a turn of the interpreter's lock, and whoever is at work in the
# caller's own threads keeps that for milliseconds.
BUFFER_BYTES = 1 << 20
_RECORD_BYTES = 1 << 14
# OpenSSL's SSL_MODE_ENABLE_PARTIAL_WRITE.
_PARTIAL_WRITE = 1
# Said of a socket whether or not it was asked for.
_HUNG_UP = select.POLLHUP | select.POLLERR | select.POLLNVAL
# For the last words of a connection that has ended.
_LINGER_SECONDS = 2.0


def tune(context: SSL.Context) -> None:
    """Lets one call seal as many records as there are, without the interpreter's lock."""
    if hasattr(context, "clear_mode"):  # else each call seals one record
        context.clear_mode(_PARTIAL_WRITE)


def relay(tls: SSL.Connection, far: socket.socket, near: socket.socket, stop: socket.socket) -> None:
    """Returns when a side has ended, or stop can be read.

    :param far: the socket under tls
    """
    far.setblocking(False)
    near.setblocking(False)
    out = _ToFar(tls, near)
    back = _ToNear(tls, near)
    poll = select.poll()
    poll.register(stop, select.POLLIN)
    poll.register(far, 0)
    poll.register(near, 0)
    while True:
        # Neither side waits until the other has nothing more to say.
        busy = out.move() | back.move()
        if out.ended or back.ended:
            break
        poll.modify(near, out.wants_near | back.wants_near)
        poll.modify(far, out.wants_far | back.wants_far)
        ready = dict(poll.poll(0 if busy else None))
        if stop.fileno() in ready:
            return
        near_ready, far_ready = ready.get(near.fileno(), 0), ready.get(far.fileno(), 0)
        if (out.has_more and near_ready & _HUNG_UP) or (back.has_more and far_ready & _HUNG_UP):
            break
        out.notice(near_ready, far_ready)
        back.notice(near_ready, far_ready)
    _linger(out, back, near)


class _ToFar:
    """What is sealed and sent."""

    def __init__(self, tls: SSL.Connection, near: socket.socket) -> None:
        self._tls = tls
        self._near = near
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._begin = self._end = 0
        self._near_waits = self._far_waits = 0  # for which event, 0: there may be something to do
        self.ended = False

    @property
    def has_more(self) -> bool:
        return self._begin < self._end

    @property
    def wants_near(self) -> int:
        return 0 if self.has_more else self._near_waits

    @property
    def wants_far(self) -> int:
        return self._far_waits

    def notice(self, near: int, far: int) -> None:
        self._near_waits = 0 if near else self._near_waits
        self._far_waits = 0 if far else self._far_waits

    def move(self) -> bool:
        """One hand-over; whether there may be another."""
        if not self.has_more and not self._receive():
            return False
        return not self._far_waits and self.flush()

    def _receive(self) -> bool:
        if self._near_waits:
            return False
        try:
            self._begin, self._end = 0, self._near.recv_into(self._buffer)
        except BlockingIOError:
            self._near_waits = select.POLLIN
            return False
        except OSError:
            self._begin = self._end = 0
        self.ended = self._end == 0
        return not self.ended

    def flush(self) -> bool:
        """Whether all that was received is sent. What has to wait is given again as it was: OpenSSL insists on it."""
        try:
            while self.has_more:
                self._begin += self._tls.send(self._buffer[self._begin : self._end])
        except SSL.WantWriteError:
            self._far_waits = select.POLLOUT
        except SSL.WantReadError:
            self._far_waits = select.POLLIN
        except SSL.Error:
            self._begin = self._end
            self.ended = True
        return not self.has_more


class _ToNear:
    """What is received and opened."""

    def __init__(self, tls: SSL.Connection, near: socket.socket) -> None:
        self._tls = tls
        self._near = near
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._begin = self._end = 0
        self._near_waits = self._far_waits = 0
        self.ended = False

    @property
    def has_more(self) -> bool:
        return self._begin < self._end

    @property
    def wants_near(self) -> int:
        return self._near_waits

    @property
    def wants_far(self) -> int:
        # Not while there is something to deliver: whoever does not take it holds the sender back.
        return 0 if self.has_more else self._far_waits

    def notice(self, near: int, far: int) -> None:
        self._near_waits = 0 if near else self._near_waits
        self._far_waits = 0 if far else self._far_waits

    def move(self) -> bool:
        """One hand-over; whether there may be another."""
        if not self.has_more and (self._far_waits or not self._receive()):
            return False
        return not self._near_waits and self.flush() and not self._far_waits

    def _receive(self) -> bool:
        self._begin = self._end = 0
        try:
            while self._end + _RECORD_BYTES <= BUFFER_BYTES:
                self._end += self._tls.recv_into(self._buffer[self._end : self._end + _RECORD_BYTES])
        except SSL.WantReadError:
            self._far_waits = select.POLLIN
        except SSL.WantWriteError:
            self._far_waits = select.POLLOUT
        except SSL.Error:
            # SECURITY: an end without close_notify is an end too. What is cut off is of gRPC, whose messages say how long they are.
            self.ended = True
        return self.has_more

    def flush(self) -> bool:
        try:
            while self.has_more:
                self._begin += self._near.send(self._buffer[self._begin : self._end])
        except BlockingIOError:
            self._near_waits = select.POLLOUT
        except OSError:
            self._begin = self._end
            self.ended = True
        return not self.has_more


def _linger(out: _ToFar, back: _ToNear, near: socket.socket) -> None:
    """The rest of what was said on one side reaches the other."""
    near.settimeout(_LINGER_SECONDS)
    with contextlib.suppress(OSError):
        back.flush()
    with contextlib.suppress(SSL.Error):
        out.flush()
