"""The index's log: one sync for several transactions, and what follows when the disk refuses it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, text

from node.domain.errors import OutOfSpace, StoreError
from node.store import database as opening
from node.store.database import Database
from node.store.naming import drop_unnamed
from node.store.schema import instances

PWRITE = os.pwrite


@pytest.fixture
def database(tmp_path, clock):
    opened = Database.open(f"sqlite:///{tmp_path / 'index.sqlite'}", clock=clock)
    with opened.write() as connection:
        connection.execute(text("CREATE TABLE pieces (number INTEGER)"))
    yield opened
    opened.close()


def insert(connection: Connection, number: int) -> None:
    connection.execute(text("INSERT INTO pieces VALUES (:number)"), {"number": number})


def pieces(database: Database) -> set[int]:
    with database.read() as connection:
        return set(connection.execute(text("SELECT number FROM pieces")).scalars())


class Disk:
    """`os.fdatasync`, counted, refused or held up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[str] = []
        self.refusals: list[int] = []
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self._sync = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, descriptor: int) -> None:
        self.reached.set()
        assert self.go_on.wait(30)
        if self.refusals:
            number = self.refusals.pop(0)
            raise OSError(number, os.strerror(number))
        self._sync(descriptor)
        self.synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))


@pytest.fixture
def disk(monkeypatch, database):
    return Disk(monkeypatch)


def test_a_transaction_is_over_when_the_log_is_synced(database, disk, tmp_path):
    with database.write() as connection:
        insert(connection, 1)
        assert disk.synced == []
    assert disk.synced == [str(tmp_path / "index.sqlite-wal")]


def test_one_that_changes_nothing_waits_for_no_disk(database, disk):
    with database.write() as connection:
        connection.execute(text("SELECT 1"))
    assert disk.synced == []


def test_what_is_committed_while_the_disk_works_shares_the_next_sync(database, disk):
    disk.go_on.clear()

    def write(number: int) -> None:
        with database.write() as connection:
            insert(connection, number)

    first = threading.Thread(target=write, args=(0,))
    first.start()
    assert disk.reached.wait(30)
    others = [threading.Thread(target=write, args=(number,)) for number in range(1, 6)]
    for other in others:
        other.start()
    while pieces(database) != set(range(6)):  # all are committed while the first one waits
        assert first.is_alive()
    disk.go_on.set()
    for thread in (first, *others):
        thread.join(30)
    assert len(disk.synced) == 2


def test_a_log_that_could_not_be_synced_is_written_again(database, disk, monkeypatch):
    written: list[int] = []
    real = os.pwrite

    def pwrite(descriptor: int, data: bytes, place: int) -> int:
        written.append(place)
        return real(descriptor, data, place)

    monkeypatch.setattr(os, "pwrite", pwrite)
    disk.refusals = [errno.EIO]
    with database.write() as connection:
        insert(connection, 1)
    assert written[0] == 0, "a second sync alone would succeed without what the first one lost"
    assert len(disk.synced) == 1
    assert pieces(database) == {1}


@pytest.mark.parametrize(("number", "error"), [(errno.EIO, StoreError), (errno.ENOSPC, OutOfSpace)])
def test_a_disk_that_keeps_refusing_gets_nothing_acknowledged_until_it_takes_the_whole_log(
    database, disk, number, error
):
    def write(value: int) -> None:
        with database.write() as connection:
            insert(connection, value)

    disk.refusals = [number] * 6
    with pytest.raises(error):
        write(1)
    with pytest.raises(error):
        write(2)
    assert disk.refusals, "each tried the disk"
    assert disk.synced == []
    disk.refusals = []
    write(3)
    assert pieces(database) == {1, 3}, "the second one was never begun"
    assert len(disk.synced) == 2  # of the log written again, then of the transaction


def test_no_other_that_waits_is_served_by_a_second_sync_of_what_the_first_one_lost(
    database, disk, monkeypatch
):
    """The system takes for written what it could not write: a second sync succeeds without it."""
    written: list[int] = []
    monkeypatch.setattr(os, "pwrite", lambda *block: written.append(block[2]) or PWRITE(*block))
    with database.commit() as first:
        insert(first.connection, 1)
    with database.commit() as second:
        insert(second.connection, 2)
    disk.refusals = [errno.EIO]
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        first._log.sync(first.number)  # another thread, that was first, and writes the log again only later
    second.make_durable()
    assert written, "the second one rests on the sync of a log with a hole in it"
    assert pieces(database) == {1, 2}


def test_a_log_that_could_not_be_synced_is_written_again_though_its_connection_fails_first(
    database, disk, monkeypatch
):
    written: list[int] = []
    monkeypatch.setattr(os, "pwrite", lambda *block: written.append(block[2]) or PWRITE(*block))
    with database.commit() as first:
        insert(first.connection, 1)
    disk.refusals = [errno.EIO]
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        first._log.sync(first.number)

    def fail() -> None:
        with database.commit() as second:
            insert(second.connection, 2)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.write() as connection:
        insert(connection, 3)
    assert written
    assert pieces(database) == {1, 3}


def test_who_opens_a_log_trusts_nothing_in_it_that_it_has_not_written(
    database, disk, monkeypatch, tmp_path, clock
):
    """Who could not sync it may have been killed since, and nobody sees what is missing on the disk."""
    with database.commit() as first:
        insert(first.connection, 1)
    disk.refusals = [errno.EIO]
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        first._log.sync(first.number)
    written: list[int] = []
    monkeypatch.setattr(os, "pwrite", lambda *block: written.append(block[2]) or PWRITE(*block))
    other = Database(opening._make_engine(opening.make_url(f"sqlite:///{tmp_path / 'index.sqlite'}")), clock)
    with other.write() as connection:
        assert connection.execute(text("SELECT count(*) FROM pieces")).scalar() == 1
    assert written[:1] == [0]
    assert disk.synced
    with other.write() as connection:
        insert(connection, 2)
    assert len(written) == 1, "from then on it knows itself what is on the disk"
    other.close()


def test_what_rests_on_a_transaction_that_is_not_durable_waits_for_its_sync(database, disk):
    with database.commit() as first:
        insert(first.connection, 1)
    with database.write() as connection:  # the same object again: there is nothing to write
        assert connection.execute(text("SELECT count(*) FROM pieces")).scalar() == 1
    assert len(disk.synced) == 1
    first.make_durable()
    assert len(disk.synced) == 1


def test_what_rests_on_a_transaction_of_another_process_waits_for_its_sync(database, disk, tmp_path, clock):
    with database.write() as connection:
        insert(connection, 1)
    other = Database(opening._make_engine(opening.make_url(f"sqlite:///{tmp_path / 'index.sqlite'}")), clock)
    with other.commit() as unsynced:
        insert(unsynced.connection, 2)
    disk.synced.clear()
    with database.write() as connection:
        assert connection.execute(text("SELECT count(*) FROM pieces")).scalar() == 2
    assert len(disk.synced) == 1
    with database.write() as connection:
        assert connection.execute(text("SELECT count(*) FROM pieces")).scalar() == 2
    assert len(disk.synced) == 1, "nothing was written since"
    other.close()


def test_no_file_goes_for_rows_that_would_come_back_after_a_loss_of_power(ward, monkeypatch):
    ward.add(1)
    (instance,) = ward.store.studies.instances(ward.study.series[0].id)
    database = ward.store.database
    with database.commit() as removal:
        removal.connection.execute(delete(instances))
    disk = Disk(monkeypatch)
    disk.refusals = [errno.EIO]
    with pytest.raises(StoreError):
        drop_unnamed(database, ward.store.files, [instance.object_key])
    assert ward.store.files.path(instance.object_key).exists()
    assert drop_unnamed(database, ward.store.files, [instance.object_key]) == 1
    assert disk.synced, "before the file went"


def test_nobody_who_waited_writes_to_an_index_that_is_closed(database, monkeypatch):
    real = database.engine.dispose

    def dispose() -> None:
        with pytest.raises(StoreError, match="closed"), database.write() as connection:
            insert(connection, 1)
        real()

    monkeypatch.setattr(database.engine, "dispose", dispose)
    database.close()


def test_a_transaction_that_fails_takes_no_other_with_it(database, disk):
    with database.commit() as committed:
        insert(committed.connection, 1)

    def fail() -> None:
        with database.write() as connection:
            insert(connection, 2)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()  # its connection is closed, and the log with it
    assert len(disk.synced) == 1
    committed.make_durable()
    assert len(disk.synced) == 1
    assert pieces(database) == {1}


def test_the_log_of_an_index_behind_a_link_is_found(tmp_path, clock, disk):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "elsewhere" / "real.sqlite")
    linked = Database.open(f"sqlite:///{tmp_path / 'link.sqlite'}", clock=clock)
    linked.close()
    assert set(disk.synced) == {str(tmp_path / "elsewhere" / "real.sqlite-wal")}
