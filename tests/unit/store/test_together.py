"""Work of several threads in one transaction, on a real index."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from node.domain.errors import ObjectMissing, StoreError
from node.store import database as opening
from node.store.database import Database
from node.store.together import MOST, Together
from tests.conftest import FrozenClock
from tests.station.receiving_node import wait_until


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(opening._make_engine(opening.make_url(f"sqlite:///{tmp_path / 'x'}")), FrozenClock())
    with opened.write() as connection:
        connection.exec_driver_sql("CREATE TABLE pieces (number INTEGER PRIMARY KEY)")
    yield opened
    opened.close()


def insert(connection: Connection, number: int) -> int:
    if number < 0:
        raise ObjectMissing(f"piece {number}")
    connection.exec_driver_sql("INSERT INTO pieces VALUES (?)", (number,))
    return number * 2


def pieces(database: Database) -> set[int]:
    with database.read() as connection:
        return {row[0] for row in connection.exec_driver_sql("SELECT number FROM pieces")}


def outcome(do: Callable[[], int]) -> object:
    try:
        return do()
    except Exception as error:  # noqa: BLE001 - what it was is the outcome
        return error


def all_at_once(together: Together[int, int], numbers: list[int]) -> list[object]:
    """Let every piece wait before the first thread leads; return what became of each."""
    with ThreadPoolExecutor(len(numbers)) as threads:
        with together._turn:
            found = [threads.submit(outcome, lambda n=number: together.do(n)) for number in numbers]
            wait_until(lambda: len(together._waiting) == len(numbers), "all wait")
        return [future.result() for future in found]


def test_what_many_bring_at_once_takes_few_transactions_and_is_all_there(database):
    begun: list[int] = []
    event.listen(database.engine, "commit", lambda _connection: begun.append(1))
    together = Together(database, insert)
    numbers = list(range(2 * MOST + 10))

    found = all_at_once(together, numbers)

    assert found == [number * 2 for number in numbers], "also of those that lead for others first"
    assert pieces(database) == set(numbers)
    assert len(begun) < len(numbers) / 4


def test_what_fails_fails_alone(database):
    together = Together(database, insert)
    numbers = [1, 2, -3, 4, 4, 5]

    found = all_at_once(together, numbers)

    assert found[:2] == [2, 4]
    assert isinstance(found[2], ObjectMissing)
    assert [isinstance(one, StoreError) for one in found[3:5]].count(True) == 1, "one of two with one number"
    assert found[5] == 10
    assert pieces(database) == {1, 2, 4, 5}


def test_a_transaction_that_cannot_begin_fails_for_all_and_is_tried_once(database, monkeypatch):
    tried: list[int] = []
    begun = database.commit

    def locked() -> object:
        tried.append(1)
        raise StoreError("the index stays locked by another write")

    together = Together(database, insert)
    monkeypatch.setattr(database, "commit", locked)
    ends = all_at_once(together, list(range(8)))
    monkeypatch.setattr(database, "commit", begun)

    assert all(isinstance(end, StoreError) for end in ends)
    assert len(tried) == 1, "each try waits for the lock, half a minute"
    assert pieces(database) == set()
    assert together.do(7) == 14


def test_a_transaction_that_cannot_end_acknowledges_nothing(database):
    def refuse(_connection: Connection) -> None:
        raise StoreError("the disk refused")

    together = Together(database, insert)
    event.listen(database.engine, "commit", refuse)
    found = all_at_once(together, [1, 2, 3])
    event.remove(database.engine, "commit", refuse)

    assert all(isinstance(end, StoreError) for end in found)
    assert pieces(database) == set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_leads_and_is_killed_leaves_nobody_waiting_or_acknowledged(database):
    def act(connection: Connection, number: int) -> int:
        if number == 0:
            raise KeyboardInterrupt
        return insert(connection, number)

    together = Together(database, act)
    ends: dict[int, object] = {}

    def bring(number: int) -> None:
        try:
            ends[number] = outcome(lambda: together.do(number))
        except KeyboardInterrupt as error:
            ends[number] = error

    threads = [threading.Thread(target=bring, args=(number,)) for number in range(4)]
    with together._turn:
        for thread in threads:
            thread.start()
        wait_until(lambda: len(together._waiting) == len(threads), "all wait")
    for thread in threads:
        thread.join(10)

    assert sorted(ends) == [0, 1, 2, 3]
    done = {number for number, end in ends.items() if not isinstance(end, BaseException)}
    assert done == pieces(database), "acknowledged is what is there"
    assert together.do(9) == 18
