"""A request's body on its way from the loop that reads it to the thread that works on it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from typing import Final

from node.domain.errors import GroundglassError

MOST_WAITING: Final = 1 << 20
"""Bytes that wait for the thread; beyond, the connection is not read."""


class BodyBrokenOff(GroundglassError):
    """The client went away, or the server stops, before the body was whole."""


class BodyPipe:
    """Takes bytes on the loop and gives them, in their order, to one thread.

    Made on the loop. Its memory is bounded by `MOST_WAITING` and one piece.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._whole = False
        self._broken = False
        self._changed = threading.Condition()

    async def put(self, data: bytes) -> None:
        """Take the next bytes; returns when there is room for more."""
        with self._changed:
            self._waiting.append(data)
            self._size += len(data)
            self._changed.notify()
            full = self._size > MOST_WAITING
            if full:
                self._room.clear()
        if full:
            await self._room.wait()

    def end(self) -> None:
        """Note that the body is whole."""
        with self._changed:
            self._whole = True
            self._changed.notify()

    def break_off(self) -> None:
        """Note that nothing more will come; without effect on a whole body."""
        with self._changed:
            self._broken = True
            self._changed.notify()

    def chunks(self) -> Iterator[bytes]:
        """Yield the body on the thread, until it is whole.

        Raises
        ------
        BodyBrokenOff
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._whole or self._broken)
                if not self._waiting:
                    if self._whole:
                        return
                    raise BodyBrokenOff("the body of a request was broken off")
                data = self._waiting.popleft()
                was_full, self._size = self._size > MOST_WAITING, self._size - len(data)
                has_room = was_full and self._size <= MOST_WAITING
            if has_room:
                self._loop.call_soon_threadsafe(self._room.set)
            yield data
