"""Work of several threads done in one transaction, and one sync of the index for several of those."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from sqlalchemy import Connection

from node.domain.errors import StoreError
from node.store.database import Database, Transaction

MOST = 64
"""Pieces of work in one transaction: a bound on how long the first of them waits for the last."""

Work = TypeVar("Work")
Outcome = TypeVar("Outcome")


class _Entry(Generic[Work, Outcome]):
    def __init__(self, work: Work) -> None:
        self.work = work
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self.written: Transaction | None = None
        self.done = False


class Together(Generic[Work, Outcome]):
    """A queue in front of the write lock; whoever is first does what all others wait for.

    Parameters
    ----------
    database : Database
    action : callable
        Does one piece of work within a transaction. When one fails, those of the same transaction are done
        again one by one, so that each fails for itself alone.
    """

    def __init__(self, database: Database, action: Callable[[Connection, Work], Outcome]) -> None:
        self._database = database
        self._action = action
        self._waiting: deque[_Entry[Work, Outcome]] = deque()
        self._turn = threading.Lock()

    def do(self, work: Work) -> Outcome:
        """Do a piece of work; when this returns it is durable.

        Raises
        ------
        OutOfSpace, StoreError
            The transaction failed.
        Exception
            Whatever the action raises for this piece of work.
        """
        entry: _Entry[Work, Outcome] = _Entry(work)
        self._waiting.append(entry)
        with self._turn:
            while not entry.done and self._waiting:
                self._lead()  # more than once where many came before
        if entry.error is not None:
            raise entry.error
        if entry.written is None:
            raise StoreError("the thread that wrote the index for several ended; send again")
        entry.written.make_durable()
        return entry.outcome  # type: ignore[return-value]  # set by who led

    def _lead(self) -> None:
        self._commit([self._waiting.popleft() for _ in range(min(len(self._waiting), MOST))])

    def _commit(self, batch: list[_Entry[Work, Outcome]]) -> None:
        """Do several pieces in one transaction.

        Where it cannot begin or end, that is so for all of them: trying each alone would make them wait for
        the lock as often as there are pieces.
        """
        acting = False
        try:
            with self._database.commit() as written:
                acting = True
                for entry in batch:
                    entry.outcome = self._action(written.connection, entry.work)
                acting = False
        except Exception as error:  # noqa: BLE001 - raised in the threads that brought the work
            if acting and len(batch) > 1:
                for entry in batch:
                    self._commit([entry])
                return
            for entry in batch:
                entry.error = error
        else:
            for entry in batch:
                entry.written = written
        for entry in batch:
            entry.done = True
