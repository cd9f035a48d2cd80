"""What ends the waits of the two threads of an association."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from typing import Final

from pynetdicom.pdu_primitives import P_DATA

MOST_WAITING: Final = 64
"""PDUs of data that wait for the connection: a megabyte, by the length of PDU that most peers take."""
LONGEST_WAIT: Final = 60.0
"""Seconds; a connection that takes nothing ends before, by its own time limit."""


class Waker:
    """A socket pair: a byte in it ends a wait for the connection."""

    def __init__(self) -> None:
        self.waiting_end, self._waking_end = socket.socketpair()
        self.waiting_end.setblocking(False)
        self._waking_end.setblocking(False)
        self._lock = threading.Lock()
        self._closed = False

    def wake(self) -> None:
        """End the wait, or the next one."""
        with self._lock:
            if self._closed:
                return
            try:
                self._waking_end.send(b"\0")
            except BlockingIOError:
                return  # so many wake it already

    def drain(self) -> None:
        """Forget what has ended a wait."""
        try:
            self.waiting_end.recv(4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close both ends; nothing is woken any more."""
        with self._lock:
            self._closed = True
            self.waiting_end.close()
            self._waking_end.close()


class WakingQueue(queue.Queue):  # type: ignore[type-arg]  # of several kinds of item
    """A queue whose reader waits for something else as well."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._wake = wake

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in, and wake the reader."""
        super().put(item, block, timeout)
        self._wake()


class OutgoingQueue(WakingQueue):
    """What is to be sent; data come no faster than the peer reads them.

    The library hands a whole object over at once, and all of it would be in memory on a slow line.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(wake)
        self._ended = False

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in, data when few others wait, and wake the reader."""
        if isinstance(item, P_DATA):
            with self.not_full:  # told whenever something is taken
                self.not_full.wait_for(lambda: self._ended or self._qsize() < MOST_WAITING, LONGEST_WAIT)
        super().put(item, block, timeout)

    def end(self) -> None:
        """Keep nobody waiting any more: nothing goes out again."""
        with self.not_full:
            self._ended = True
            self.not_full.notify_all()


class Checkpoint(threading.Event):
    """Holds the serving thread while another one sends a request and waits for the response to it."""

    def __init__(self, released: Callable[[], None]) -> None:
        super().__init__()
        super().set()
        self._released = released

    def set(self) -> None:
        """Let the serving thread go on."""
        super().set()
        self._released()
