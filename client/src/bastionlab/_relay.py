"""Carries bytes between one TLS connection and one plain local socket, both ways, until either ends.

Invariants: memory is bounded by a few buffers, whatever either side sends; the caller's thread is the only one that touches the TLS
connection; when it returns, nothing more is read or written.
"""

from __future__ import annotations

import select
import socket

from OpenSSL import SSL

from bastionlab._tls import say_goodbye, seal

# For each direction; more than a local socket holds.
BUFFER_BYTES = 1 << 20
_RECEIVED_BYTES = 1 << 18
_RECORD_BYTES = 1 << 14
# Said of a socket whether or not it was asked for.
_HUNG_UP = select.POLLHUP | select.POLLERR | select.POLLNVAL
# For the last words of a connection that has ended.
_LINGER_SECONDS = 2.0


def relay(tls: SSL.Connection, far: socket.socket, near: socket.socket, stop: socket.socket) -> None:
    """Returns when a side has ended, or stop can be read.

    :param tls: after its handshake
    :param far: what its records travel on
    """
    far.setblocking(False)
    near.setblocking(False)
    out, back = _ToFar(tls, near, far), _ToNear(tls, far, near)
    poll = select.poll()
    for each in (stop, far, near):
        poll.register(each, select.POLLIN)
    while True:
        # Neither direction waits until the other has nothing more to say.
        busy = out.move() | back.move()
        if out.ended or back.ended:
            break
        poll.modify(near, out.wants_source | back.wants_sink)
        poll.modify(far, out.wants_sink | back.wants_source)
        ready = dict(poll.poll(0 if busy else None))
        if stop.fileno() in ready:
            break
        of_near, of_far = ready.get(near.fileno(), 0), ready.get(far.fileno(), 0)
        if (out.has_more and of_near & _HUNG_UP) or (back.has_more and of_far & _HUNG_UP):
            break  # what is still to be said has nobody to answer to
        out.notice(of_near, of_far)
        back.notice(of_far, of_near)
    far.settimeout(_LINGER_SECONDS)
    near.settimeout(_LINGER_SECONDS)
    back.flush()
    out.flush()
    say_goodbye(tls, far)


class _Direction:
    """From a source to a sink. Nothing is taken from the source while something is to be given to the sink."""

    def __init__(self, tls: SSL.Connection, source: socket.socket, sink: socket.socket) -> None:
        self._tls = tls
        self._source = source
        self._sink = sink
        self._ready = memoryview(b"")
        self._source_waits = self._sink_waits = False
        self.ended = False

    @property
    def has_more(self) -> bool:
        return len(self._ready) > 0

    @property
    def wants_source(self) -> int:
        return select.POLLIN if self._source_waits and not self.has_more else 0

    @property
    def wants_sink(self) -> int:
        return select.POLLOUT if self._sink_waits else 0

    def notice(self, source: int, sink: int) -> None:
        self._source_waits = self._source_waits and not source
        self._sink_waits = self._sink_waits and not sink

    def move(self) -> bool:
        """One hand-over; whether there may be another at once."""
        if not self.has_more:
            self._ready = self._take()
            if not self.has_more:  # also where what came was no whole record: then there may be more of it
                return not self._source_waits and not self.ended
        return not self._sink_waits and self.flush() and not self.ended

    def flush(self) -> bool:
        """Whether all is given."""
        try:
            while self.has_more:
                self._ready = self._ready[self._sink.send(self._ready) :]
        except BlockingIOError:
            self._sink_waits = True
        except OSError:
            self._ready = memoryview(b"")
            self.ended = True
        return not self.has_more

    def _take(self) -> memoryview:
        raise NotImplementedError

    def _receive_into(self, buffer: memoryview) -> memoryview:
        if self._source_waits or self.ended:
            return buffer[:0]
        try:
            count = self._source.recv_into(buffer)
        except BlockingIOError:
            self._source_waits = True
            return buffer[:0]
        except OSError:
            count = 0
        self.ended = count == 0
        return buffer[:count]


class _ToFar(_Direction):
    """What is sealed."""

    def __init__(self, tls: SSL.Connection, near: socket.socket, far: socket.socket) -> None:
        super().__init__(tls, near, far)
        self._plain = memoryview(bytearray(BUFFER_BYTES))

    def _take(self) -> memoryview:
        plain = self._receive_into(self._plain)
        if not plain:
            return plain
        try:
            return memoryview(seal(self._tls, plain))
        except SSL.Error:
            self.ended = True
            return plain[:0]


class _ToNear(_Direction):
    """What is opened."""

    def __init__(self, tls: SSL.Connection, far: socket.socket, near: socket.socket) -> None:
        super().__init__(tls, far, near)
        self._sealed = memoryview(bytearray(_RECEIVED_BYTES))
        self._plain = memoryview(bytearray(BUFFER_BYTES))
        self._may_hold_records = True  # that came with the handshake's last words

    def _take(self) -> memoryview:
        if not self._may_hold_records:
            sealed = self._receive_into(self._sealed)
            if not sealed:
                return sealed
            self._tls.bio_write(sealed)
            self._may_hold_records = True
        end = 0
        try:
            while end + _RECORD_BYTES <= BUFFER_BYTES:
                end += self._tls.recv_into(self._plain[end : end + _RECORD_BYTES])
        except SSL.WantReadError:
            self._may_hold_records = False
        except SSL.Error:
            # SECURITY: close_notify, or what is no record of this connection's. What was cut off is of gRPC, whose messages say how
            # long they are.
            self.ended = True
        return self._plain[:end]
