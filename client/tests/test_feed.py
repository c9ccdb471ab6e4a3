"""The hand-over between the thread that reads and the thread that sends: bounded, and never stuck."""

from __future__ import annotations

import threading
import time

import pytest

from bastionlab._feed import Feed


def test_parts_come_in_order_and_end() -> None:
    feed: Feed[int] = Feed()
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.extend(feed))
    thread.start()
    assert all(feed.put(part) for part in range(100))
    feed.end()
    thread.join(5)
    assert taken == list(range(100))


def test_a_slow_taker_holds_the_giver_back() -> None:
    feed: Feed[int] = Feed(room=2)
    given: list[int] = []

    def give() -> None:
        for part in range(10):
            if not feed.put(part):
                return
            given.append(part)

    thread = threading.Thread(target=give)
    thread.start()
    time.sleep(0.1)
    assert given == [0, 1]
    assert next(feed) == 0
    time.sleep(0.1)
    assert given == [0, 1, 2]
    feed.abandon()
    thread.join(5)
    assert not thread.is_alive()


def test_a_taker_that_waits_is_let_go() -> None:
    feed: Feed[int] = Feed()
    ended = threading.Event()

    def take() -> None:
        with pytest.raises(StopIteration):
            next(feed)
        ended.set()

    threading.Thread(target=take).start()
    feed.abandon()
    assert ended.wait(5)
    assert not feed.put(1), "nobody takes it"
