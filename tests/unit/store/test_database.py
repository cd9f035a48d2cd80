from __future__ import annotations

import sqlite3
import threading
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, select
from sqlalchemy.exc import StatementError

from node.domain.errors import OutOfSpace, StoreError
from node.store.columns import clean_text
from node.store.database import Database, assert_durable
from node.store.schema import audit, patients


@pytest.fixture
def database(tmp_path, clock):
    opened = Database.open(f"sqlite:///{tmp_path / 'deep' / 'index.sqlite'}", clock=clock)
    yield opened
    opened.close()


def test_what_an_acknowledgement_needs_is_in_force_on_every_connection(database):
    with database.read() as one, database.read() as other:
        assert_durable(one)
        assert_durable(other)


@pytest.mark.parametrize(
    "pragma", ["journal_mode=DELETE", "synchronous=NORMAL", "synchronous=OFF", "foreign_keys=OFF"]
)
def test_a_weaker_setting_is_refused(tmp_path, pragma):
    engine = create_engine(f"sqlite:///{tmp_path / 'weak.sqlite'}")
    with engine.connect() as connection:
        for strong in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.exec_driver_sql(f"PRAGMA {strong}")
        assert_durable(connection)
        connection.exec_driver_sql(f"PRAGMA {pragma}")
        with pytest.raises(StoreError, match=pragma.split("=")[0]):
            assert_durable(connection)
    engine.dispose()


def test_a_database_in_memory_is_refused(clock):
    with pytest.raises(StoreError, match="memory"):
        Database.open("sqlite://", clock=clock)


def test_another_database_is_refused_by_name(clock):
    with pytest.raises(StoreError, match="postgresql"):
        Database.open("postgresql://node@localhost/index", clock=clock)


def test_an_error_rolls_back(database):
    def half() -> None:
        with database.write() as connection:
            connection.execute(insert(patients).values(patient_id="P", issuer=""))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    with database.read() as connection:
        assert connection.execute(select(patients)).all() == []


def test_the_error_of_the_database_names_no_patient(database):
    row = insert(patients).values(patient_id="SECRET", issuer="")
    with database.write() as connection:
        connection.execute(row)
    with pytest.raises(StoreError) as caught, database.write() as connection:
        connection.execute(row)
    assert "UNIQUE" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_full_disk_is_told_apart(database):
    def fill() -> None:
        with database.write() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            rows = [{"patient_id": f"{number:0400d}", "issuer": ""} for number in range(1000)]
            connection.execute(insert(patients), rows)

    with pytest.raises(OutOfSpace):
        fill()


def test_a_time_without_zone_is_refused(database):
    act = insert(audit).values(
        at=datetime(2026, 1, 1),  # noqa: DTZ001 - that is what is refused
        by="x",
        action="x",
        subject="x",
        reason="x",
    )
    with pytest.raises((StoreError, StatementError), match="zone"), database.write() as connection:
        connection.execute(act)


def test_times_come_back_aware_in_utc(database, clock):
    with database.write() as connection:
        connection.execute(insert(audit).values(at=clock.now(), by="x", action="x", subject="x", reason="x"))
        assert connection.execute(select(audit.c.at)).scalar_one() == clock.now()


def test_writers_of_many_threads_queue(database):
    barrier = threading.Barrier(8)

    def write(number: int) -> None:
        barrier.wait()
        for step in range(20):
            with database.write() as connection:
                seen = len(connection.execute(select(patients.c.id)).all())
                connection.execute(insert(patients).values(patient_id=f"{number}/{step}", issuer=str(seen)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        issuers = connection.execute(select(patients.c.issuer).order_by(patients.c.id)).scalars().all()
    assert issuers == [str(number) for number in range(160)]


def test_an_index_of_a_newer_version_is_refused(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 'index.sqlite'}"
    Database.open(url, clock=clock).close()
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError, match="9999"):
        Database.open(url, clock=clock)


@given(st.text(alphabet=st.characters(), max_size=20))
def test_cleaned_text_is_utf8_without_nul_and_stays_so(text):
    cleaned = clean_text(text)
    cleaned.encode()
    assert "\x00" not in cleaned
    assert clean_text(cleaned) == cleaned
    assert len(cleaned) == len(text)


def test_clean_text_keeps_what_is_clean():
    assert clean_text("山田^太郎 𝒳") == "山田^太郎 𝒳"
    assert clean_text("a\x00\udcffb") == "a\ufffd\ufffdb"
