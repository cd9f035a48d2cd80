"""No statement of the daily work reads a whole table that grows with the years."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from node.domain.announcement import AnnouncedInstance, Status, StepEvent
from node.domain.commitment import NO_SUCH_INSTANCE, AskedInstance, RequestEvent, RequestState
from node.domain.expectation import Source
from node.domain.study import AssociationEnd

SMALL = {
    "open_destinations",
    "refused_callers",  # bounded
    "alembic_version",
    "those",  # of a subquery: the instances that some series are said to have
    "naming",  # of a subquery: the requests for commitment that name one of them
    "ranked",  # of a subquery: the associations that carried some series
}
NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
WHOLE_TABLE = re.compile(r"^SCAN (\w+)$")


def plans(engine, work) -> dict[str, list[str]]:
    """Run ``work`` and return the query plan of every statement that it executed."""
    seen = {}

    def remember(_connection, _cursor, statement, parameters, _context, _many) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            seen[statement] = parameters[0] if isinstance(parameters, list) else parameters

    def trace(connection, _record, _proxy) -> None:
        """Have SQLite tell of what runs beside SQLAlchemy, with its values in it."""
        connection.set_trace_callback(lambda statement: remember(None, None, statement, (), None, None))

    event.listen(engine, "before_cursor_execute", remember)
    event.listen(engine, "checkout", trace)
    work()
    event.remove(engine, "before_cursor_execute", remember)
    event.remove(engine, "checkout", trace)
    with engine.connect() as connection:
        connection.connection.driver_connection.set_trace_callback(None)
    found = {}
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        for statement, parameters in seen.items():
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            found[statement] = [row[3] for row in cursor.fetchall()]
    return found


def announce(store) -> None:
    """Hear of a series, and be asked to keep an instance of it."""
    listed = [AnnouncedInstance(series_instance_uid="1.2.3.1", sop_instance_uid="1.2.3.1.1")]
    store.announcements.create(
        Source.PROCEDURE_STEP, "1.5", Status.IN_PROGRESS, listed, calling_ae_title="CT1"
    )
    store.announcements.set_step("1.5", StepEvent.COMPLETE, listed, calling_ae_title="CT1")
    (series, *_) = store.studies.receiving_series()
    store.announcements.expectations([series])
    store.archives.largest_counts([series.series_instance_uid], ["pacs"])
    store.announcements.missing(series.id)
    instance = AskedInstance(sop_class_uid="1.2", sop_instance_uid="1.2.3.1.1")
    number = store.commitments.ask("1.6", "CT1", [instance])
    store.commitments.due(RequestState.OPEN, limit=10)
    store.commitments.undecided(number)
    store.commitments.verified(number, {instance.sop_instance_uid: "key"})
    store.commitments.relaying(number, "1.7", "pacs")
    store.commitments.relaying_since(number)
    store.commitments.relayed("1.7", destinations=["pacs"], committed=[instance.sop_instance_uid])
    store.commitments.fail(number, {instance.sop_instance_uid: NO_SUCH_INSTANCE})
    store.commitments.outcomes(number)
    store.commitments.not_reported(number, store.database.clock.now(), "away")
    store.commitments.ended(number, RequestEvent.REPORT, "")


def judge(store) -> None:
    """Look at what is open."""
    now = store.database.clock.now()
    store.judging.latest(now, timedelta(seconds=1))
    store.judging.ripe(now=now, silent_since=now, after=0, limit=10)
    store.judging.associations([1, 2])
    store.judging.sender_gaps(["CT1"])
    store.asides.confirmable({"RIS"}, settled_since=now)


def day(ward) -> None:
    """Do everything that happens all day long, once."""
    store, clock = ward.store, ward.clock
    association = store.intake.association_opened("CT1", "10.0.0.7")
    for number in (1, 2, 2):
        clock.advance(1)
        ward.add(number, association_id=association)
    ward.add(2, data=b"other")
    store.intake.association_closed(association, AssociationEnd.RELEASED)
    store.studies.receiving_series()
    store.studies.instances(1)
    judge(store)
    store.studies.unsettled()
    announce(store)
    store.studies.pending_comparisons(1)
    store.asides.same(store.asides.to_compare()[0].id)
    ward.screened()
    store.screenings.current_version(1, "covid")
    store.screenings.next_version(1, "covid")
    store.screenings.latest(1)
    store.screenings.claim("worker", lease=timedelta(hours=1))
    store.operations.go_live("pacs", "Ada", "ready")
    first, second, third = store.outbox.claim("pacs", limit=10)
    store.outbox.delivered(first.id, "0000H", "the answer")
    store.outbox.retry(second.id, clock.now(), "later")
    store.outbox.refuse(third.id, "no")
    prove(store)
    store.outbox.for_study(1)
    store.outbox.release(1, "pacs", "Ada", "again")
    store.outbox.next_due()
    store.outbox.recover()
    store.screenings.recover()
    store.studies.defer_after_restart(timedelta(seconds=1))
    store.studies.bring_back(timedelta(seconds=1))
    store.studies.list(10)
    store.studies.get(ward.study.study_instance_uid)


def prove(store) -> None:
    """Send, ask for the proof, and hear of it, in all ways."""
    for item in store.outbox.claim("pacs", limit=10):
        store.outbox.accepted(item.id, "0000H")
    items = store.proofs.unproven("pacs", limit=10)
    store.proofs.asking("1.2.3", "pacs", [item.id for item in items])
    store.proofs.look_again(items[0].id, store.database.clock.now(), "no answer", asked=1)
    store.proofs.committed("1.2.3", destinations=["pacs"], succeeded=[items[0].sop_instance_uid], failed={})
    store.proofs.missing("pacs", limit=10)
    store.proofs.oldest("pacs")
    store.proofs.lost(items[0].id, store.database.clock.now(), "not there")
    store.proofs.asked("1.2.3", answered=True, forget=False)
    store.proofs.asked("1.2.3", answered=True, forget=True)
    store.breakers.failing("pacs")
    store.breakers.answered("pacs")


def test_every_statement_of_a_day_finds_its_rows_by_an_index(ward):
    found = plans(ward.store.database.engine, lambda: day(ward))
    assert len(found) > 40
    scans = {
        (step, statement)
        for statement, steps in found.items()
        for step in steps
        if (match := WHOLE_TABLE.match(step)) and match.group(1) not in SMALL
    }
    assert scans == set()


@pytest.mark.parametrize("table", ["own_objects", "instances", "asides", "result_objects"])
def test_who_names_a_file_is_found_by_an_index(ward, table):
    ward.add(1)
    ward.add(1, data=b"other")
    aside = ward.store.asides.to_compare()[0]
    found = plans(ward.store.database.engine, lambda: ward.store.asides.same(aside.id))
    (naming,) = [steps for statement, steps in found.items() if "UNION ALL" in statement]
    assert any(step.startswith(f"SEARCH {table} USING") for step in naming)


@pytest.mark.parametrize(
    ("work", "index"),
    [
        (lambda store: store.screenings.counts(), "ix_screenings_purpose"),
        (lambda store: store.outbox.counts(), "ix_deliveries_state"),
    ],
)
def test_what_is_counted_for_each_scrape_is_counted_in_an_index_alone(ward, work, index):
    plan = next(iter(plans(ward.store.database.engine, lambda: work(ward.store)).values()))
    assert f"USING COVERING INDEX {index}" in plan[0]


@pytest.mark.parametrize(
    ("work", "index"),
    [
        (lambda store: store.screenings.claim("worker", lease=timedelta(hours=1)), "ix_screenings_state"),
        (lambda store: store.outbox.claim("pacs", limit=10), "ix_deliveries_state"),
        (lambda store: store.proofs.unproven("pacs", limit=10), "ix_deliveries_unproven"),
        (lambda store: store.proofs.missing("pacs", limit=10), "ix_deliveries_unproven"),
        (lambda store: store.proofs.oldest("pacs"), "ix_deliveries_accepted"),
        (lambda store: store.studies.unsettled(), "ix_studies_state"),
        (lambda store: store.studies.receiving_series(), "ix_series_state"),
        (lambda store: store.judging.ripe(now=NOW, silent_since=NOW, after=0, limit=10), "ix_series_state"),
        (lambda store: store.asides.to_compare(), "ix_asides_reason"),
        (lambda store: store.archives.open_series(since=NOW, limit=10), "ix_series_incomplete"),
    ],
)
def test_what_runs_every_second_begins_with_the_few_rows_that_are_open(ward, work, index):
    found = plans(ward.store.database.engine, lambda: work(ward.store))
    first = next(iter(found.values()))
    assert any(index in step for step in first[:6]), first
