"""Threads that answer requests: the loop of the server hands work over, and waits for none of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class Threads:
    """Threads for one kind of requests; who finds none free waits, and nobody else waits behind it.

    Parameters
    ----------
    most : int
        At the same time.
    name : str
        Of what they do.
    """

    def __init__(self, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=name)

    def run(self, work: Callable[..., Result], *arguments: object) -> asyncio.Future[Result]:
        """Begin work, and return what becomes its result; to be called on the loop.

        Who gives up waiting leaves the thread at its work.
        """
        return asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def close(self) -> None:
        """Wait until all work is done; none may come after."""
        self._pool.shutdown()
