"""A hand-over of parts from the caller's thread to the thread in which gRPC sends them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Part = TypeVar("Part")


class Feed(Generic[Part], Iterator[Part]):
    """Holds few parts, so that memory stays bounded however slow the network is.

    The caller's dataset is read in the caller's thread, where its errors and Ctrl-C are at home; gRPC takes from here.
    """

    def __init__(self, room: int = 2) -> None:
        self._room = room
        self._parts: deque[Part] = deque()
        self._ended = False  # no more parts will come
        self._abandoned = False  # nobody takes parts any more
        self._changed = threading.Condition()

    def put(self, part: Part) -> bool:
        """Waits for room. False when the other side has gone, so that going on is pointless."""
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or len(self._parts) < self._room)
            if self._abandoned:
                return False
            self._parts.append(part)
            self._changed.notify_all()
            return True

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abandon(self) -> None:
        with self._changed:
            self._abandoned = True
            self._parts.clear()
            self._changed.notify_all()

    def __next__(self) -> Part:
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or self._ended or bool(self._parts))
            if not self._parts:
                raise StopIteration
            part = self._parts.popleft()
            self._changed.notify_all()
            return part
