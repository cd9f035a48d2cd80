"""The connection to the index: transactions, and what is demanded of SQLite."""

from __future__ import annotations

import errno
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from node.domain.errors import OutOfSpace, StoreError
from node.domain.ports import Clock
from node.store.log_sync import LogSync
from node.store.migrate import upgrade
from node.store.turns import Turns

logger = logging.getLogger(__name__)

BUSY_SECONDS = 30.0  # another process (the command line) may hold the write lock for a moment
POOL_SIZE = 8
PRIVATE = 0o700  # patients' data: for the node's user alone
POOL_OVERFLOW = 56  # one connection a thread: associations, workers, ticks, health
WRITES = "groundglass_writes"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
LONGEST_LOG = 1 << 26
"""Bytes that the log keeps after a long reader let it grow: whoever opens it writes all of it anew."""
SYNCHRONOUS_FULL = 2  # sqlite.org/pragma.html#pragma_synchronous


class Transaction:
    """One write transaction, committed when its context ends.

    Parameters
    ----------
    database : Database
    log : LogSync
    """

    connection: Connection

    def __init__(self, database: Database, log: LogSync) -> None:
        self._database = database
        self._log = log
        self.number = 0
        """In the log; of one that changed nothing, that of the last one before it."""

    def make_durable(self) -> None:
        """Wait until it has reached the disk.

        Raises
        ------
        OutOfSpace, StoreError
        """
        self._database.make_durable(self._log, self.number)


@dataclass(frozen=True)
class _Writer:
    connection: Connection
    log: LogSync

    def changes(self) -> int:
        """Return how many rows the connection has written."""
        return int(self._driver().total_changes)

    def version(self) -> int:
        """Return a number that is another one after others have written (sqlite.org/pragma.html)."""
        return int(self._driver().execute("PRAGMA data_version").fetchone()[0])

    def _driver(self) -> sqlite3.Connection:
        return cast(sqlite3.Connection, self.connection.connection.driver_connection)


class Database:
    """The index. Threads share it; writers queue, readers never wait.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Ready for use; ``open`` makes one.
    clock : Clock
        Where every stored time comes from.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self.clock = clock
        self._writing = threading.Lock()
        self._writer: _Writer | None = None
        self._doubtful = False
        """Whether parts of the log may not be on the disk though the system takes them for written."""
        # SQLite sleeps, up to 100 ms at a time, and looks again; whoever waits here is woken, and in turn. A
        # lock on the index itself would need a descriptor of it, whose closing ends SQLite's own.
        self._turns = Turns(Path(engine.url.database or "").parent)

    @classmethod
    def open(cls, url: str, *, clock: Clock, migrate: bool = True) -> Database:
        """Open the index, create or migrate it, and verify that it keeps what it acknowledges.

        Parameters
        ----------
        url : str
            SQLAlchemy URL, for example ``sqlite:////var/lib/groundglass/index.sqlite``.
        clock : Clock
        migrate : bool
            Whether the index is created or migrated where needed; not where another process has done so.

        Raises
        ------
        StoreError
            SQLite refuses WAL, synchronous=FULL or foreign keys, or the index is of a newer version.
        """
        target = make_url(url)
        database = cls(_make_engine(target), clock)
        try:
            with database.read() as connection:
                assert_durable(connection)
            if migrate:
                with database.write() as connection:
                    upgrade(connection)
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def write(self, *, after_sync: bool = False) -> Iterator[Connection]:
        """Open a write transaction (BEGIN IMMEDIATE); at the end it is committed and durable.

        On any error it is rolled back.

        Parameters
        ----------
        after_sync : bool
            Whether all that it sees is made durable first: for who removes files that no row names any more.

        Raises
        ------
        OutOfSpace
            No room is left for the index.
        StoreError
            The write lock could not be had in time, or the database or its disk refused.
        """
        with self.commit(after_sync=after_sync) as transaction:
            yield transaction.connection
        transaction.make_durable()

    @contextmanager
    def commit(self, *, after_sync: bool = False) -> Iterator[Transaction]:
        """Open a write transaction as `write` does, and leave it to the caller to make it durable.

        Others see what it wrote before it is durable; what they build on it cannot be durable without it, for
        one log holds both in their order.
        """
        if not self._writing.acquire(timeout=BUSY_SECONDS):
            raise StoreError("the index stays locked by another write; look for a hanging disk")
        try:
            with self._turns.turn(BUSY_SECONDS), _translated():
                writer = self._writer or self._new_writer()
                self._writer = None  # one that fails is not used again
                transaction = Transaction(self, writer.log)
                try:
                    changes = writer.changes()
                    with writer.connection.begin():  # from here on nobody else writes to the log
                        if self._doubtful:
                            self._write_again(writer.log)
                        if after_sync:
                            with _disk():
                                writer.log.sync(writer.log.seen(writer.version()))
                        transaction.connection = writer.connection
                        yield transaction
                    changed = writer.changes() != changes
                    transaction.number = (
                        writer.log.committed() if changed else writer.log.seen(writer.version())
                    )
                except BaseException:
                    self._close_writer(writer)
                    raise
                self._writer = writer
        finally:
            self._writing.release()

    def make_durable(self, log: LogSync, number: int) -> None:
        """Return when a transaction has reached the disk.

        Raises
        ------
        OutOfSpace, StoreError
            The disk refused, also to take the log once more.
        """
        try:
            log.sync(number)
        except OSError as error:
            logger.error("the index could not be synced (%s); its log is written again", error.strerror)  # noqa: TRY400 - it says all
            self._doubtful = True
            with self.commit():
                """Nothing but what comes before every transaction then."""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction: one consistent snapshot, never waiting for a writer."""
        with _translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    def _new_writer(self) -> _Writer:
        connection = self.engine.connect().execution_options(**{WRITES: True})
        try:
            cursor = connection.connection.cursor()
            cursor.execute("PRAGMA synchronous=NORMAL")  # the log is synced by `LogSync`, the index as ever
            cursor.execute(f"PRAGMA journal_size_limit={LONGEST_LOG}")
            cursor.execute("SELECT count(*) FROM sqlite_schema")  # from here on there is a log
            cursor.close()
            with _disk():
                index = Path(self.engine.url.database or "").resolve()  # SQLite follows links as well
                log = LogSync(index.with_name(f"{index.name}-wal"))
            # Who could not sync it before may have been killed since: the system told that one alone.
            self._doubtful = True
            return _Writer(connection, log)
        except BaseException:
            connection.close()
            raise

    def _close_writer(self, writer: _Writer) -> None:
        try:
            writer.log.close()
        except OSError as error:
            logger.error("the index could not be synced (%s)", error.strerror)  # noqa: TRY400 - it says all
            self._doubtful = True
        writer.connection.close()

    def _write_again(self, log: LogSync) -> None:
        with _disk():
            log.rewrite()
        self._doubtful = False

    def close(self) -> None:
        """Close every connection."""
        with self._writing:
            writer, self._writer = self._writer, None
            if writer is not None:
                self._close_writer(writer)
            self._turns.close()  # whoever waited finds it closed
        self.engine.dispose()


def assert_durable(connection: Connection) -> None:
    """Read the pragmas back, for SQLite ignores silently what it cannot do.

    Raises
    ------
    StoreError
        One of them is not in force on this connection.
    """
    demanded: tuple[tuple[str, object], ...] = (
        ("journal_mode", "wal"),
        ("synchronous", SYNCHRONOUS_FULL),
        ("foreign_keys", 1),
    )
    for pragma, wanted in demanded:
        found = connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()
        if found != wanted:
            raise StoreError(
                f"SQLite runs with {pragma}={found} instead of {wanted}; "
                "put the index on a local disk whose file system has shared memory and locks"
            )


def _make_engine(target: URL) -> Engine:
    if target.get_backend_name() != "sqlite":
        raise StoreError(f"the index runs on SQLite, not on {target.get_backend_name()}; change its URL")
    if not target.database or target.database == ":memory:":
        raise StoreError("the index needs a file; a database in memory keeps nothing")
    Path(target.database).parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    engine = create_engine(
        target,
        hide_parameters=True,  # parameters are patients' names
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver starts no transactions of its own; _begin_sqlite does
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={int(BUSY_SECONDS * 1000)}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "trusted_schema=OFF",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns into a write one may fail at once with SQLITE_BUSY; IMMEDIATE waits.
    writes = connection.get_execution_options().get(WRITES, False)
    cursor = connection.connection.cursor()
    cursor.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    cursor.close()


@contextmanager
def _disk() -> Iterator[None]:
    """Turn the errors of the operating system into those of the store."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise OutOfSpace("no room is left for the index; free space on its disk") from error
        raise StoreError(f"the disk of the index refused: {error.strerror}") from error


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of SQLAlchemy into those of the store."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:  # the second from statements of `prepared`
        refusal = error.orig if isinstance(error, DBAPIError) else error
        if getattr(refusal, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise OutOfSpace("no room is left for the index; free space on its disk") from error
        raise StoreError(f"the index refused: {refusal}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"the index failed: {error}") from error
