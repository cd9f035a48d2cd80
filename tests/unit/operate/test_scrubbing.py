"""Scrubbing finds what a disk lost, in its time, and stands back while objects arrive."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event

from node.domain.study import Arrival
from node.operate.scrubbing import BATCH, Scrubbing
from node.store.store import Store, open_store
from node.store.verification import Round, VerificationRecords
from tests.conftest import CountingUids, FrozenClock, ct_header

SIZE = 100
DAY = 86_400.0


class Place:
    """A store with files of `SIZE` bytes."""

    def __init__(self, store: Store, clock: FrozenClock) -> None:
        self.store, self.clock = store, clock

    def add(self, number: int) -> str:
        stored = self.store.files.store(b"%0100d" % number)
        arrival = Arrival(
            header=ct_header(number),
            object_key=stored.key,
            sha256=stored.sha256,
            size=stored.size,
            received_at=self.clock.now(),
            calling_ae_title="CT1",
            association_id=None,
        )
        self.store.intake.add(arrival, own_device_uids=frozenset())
        return stored.key

    def scrubbing(self, *, days: float = 1, rate: float = 1e6) -> Scrubbing:
        made = Scrubbing(self.store, clock=self.clock, within=timedelta(days=days), bytes_per_second=rate)
        made.run_once()  # learns what is there
        return made

    def round(self, scrubbing: Scrubbing) -> int:
        self.clock.advance(DAY)
        return scrubbing.run_once()

    def flip(self, key: str) -> bytes:
        path = self.store.files.path(key)
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        return content


@pytest.fixture
def place(tmp_path):
    clock = FrozenClock()
    store = open_store(tmp_path / "store", clock=clock, uids=CountingUids())
    yield Place(store, clock)
    store.close()


def test_a_flipped_byte_is_told_until_the_file_is_right_again(place):
    keys = [place.add(number) for number in range(3)]
    scrubbing = place.scrubbing()
    content = place.flip(keys[1])
    assert place.store.damage.count() == 0
    assert place.round(scrubbing) == 3
    assert place.store.damage.count() == place.store.damage.count() == 1
    place.store.files.path(keys[1]).write_bytes(content)
    assert place.store.damage.count() == 0


def test_a_file_with_yet_other_bytes_is_damaged_still(place):
    key = place.add(1)
    scrubbing = place.scrubbing()
    place.flip(key)
    place.round(scrubbing)
    place.store.files.path(key).write_bytes(b"x" * SIZE)
    assert place.store.damage.count() == 1


def test_a_missing_file_is_told_and_one_that_retention_took_is_not(place):
    missing, removed = place.add(1), place.add(2)
    scrubbing = place.scrubbing()
    for key in (missing, removed):
        place.store.files.delete(key)
    with place.store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM instances WHERE object_key = ?", (removed,))
    assert place.store.damage.verify(removed, SIZE)  # its name was looked up before
    place.round(scrubbing)
    assert place.store.damage.count() == 1


def test_no_more_is_read_than_may_be_and_it_is_spread_over_the_round(place):
    for number in range(12):
        place.add(number)
    slow = place.scrubbing(rate=SIZE)
    place.clock.advance(DAY)
    assert slow.run_once() == 5  # the rest of a day is not made up for
    place.clock.advance(2)
    assert slow.run_once() == 2
    place.store.verification.save(Round(position="", began_at=place.clock.now()))
    even = place.scrubbing()
    place.clock.advance(DAY / 2)
    assert 0 < even.run_once() < 12


def test_it_pauses_while_objects_arrive_and_then_goes_slowly(place):
    for number in range(8):
        place.add(number)
    scrubbing = place.scrubbing(rate=2 * SIZE)
    place.clock.advance(1)
    scrubbing.run_once()  # nothing came since
    place.clock.set_by(DAY)  # all is due
    found = []
    for number in range(40):
        place.clock.advance(2)
        place.add(100 + number)
        found.append(scrubbing.run_once())
    assert not any(found[:29])
    assert any(found[29:])


def test_a_restart_goes_on_where_it_was(place):
    for number in range(8):
        place.add(number)
    first = place.scrubbing(rate=SIZE)
    place.clock.advance(DAY)
    read = first.run_once()
    second = Scrubbing(place.store, clock=place.clock, within=timedelta(days=1), bytes_per_second=1e6)
    second.run_once()
    place.clock.advance(2)
    assert read + second.run_once() == 8


def test_names_are_looked_up_by_their_indices(place):
    seen = []
    event.listen(
        place.store.database.engine,
        "before_cursor_execute",
        lambda _c, _u, statement, parameters, _x, _m: seen.append((statement, parameters)),
    )
    VerificationRecords(place.store.database).following("ab", BATCH)
    lookups = [item for item in seen if "object_key >" in item[0]]
    assert len(lookups) == 4
    with place.store.database.read() as connection:
        for statement, parameters in lookups:
            (step,) = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            assert step[3].startswith("SEARCH")
