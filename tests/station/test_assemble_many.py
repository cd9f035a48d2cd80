"""A tick over many open series and studies: as many statements as over few."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from node.assemble.sweep import Sweep, Swept
from node.domain.announcement import AnnouncedInstance, Status, StepEvent
from node.domain.commitment import AskedInstance
from node.domain.expectation import Source
from node.domain.study import Arrival, AssociationEnd, SeriesState
from node.store.store import Store, open_store
from tests.conftest import ct_header
from tests.station.sweep_ground import QUIET, SELECTION, by_covid

NOTHING = Swept(compared=0, concluded=0, settled=0)


@pytest.fixture
def store(tmp_path: Path, clock: Any, uids: Any) -> Iterator[Store]:
    opened = open_store(tmp_path / "store", clock=clock, uids=uids)
    yield opened
    opened.close()


def receive(
    store: Store, name: str, end: AssociationEnd | None = AssociationEnd.RELEASED, *, modality: str = "CT"
) -> None:
    """Receive one image of a study of its own."""
    header = dataclasses.replace(
        ct_header(1),
        study_instance_uid=f"1.2.3.{name}",
        series_instance_uid=f"1.2.4.{name}",
        sop_instance_uid=f"1.2.5.{name}",
        modality=modality,
    )
    association = store.intake.association_opened("CT1", "127.0.0.1")
    stored = store.files.store(header.sop_instance_uid.encode())
    arrival = Arrival(
        header=header,
        object_key=stored.key,
        sha256=stored.sha256,
        size=stored.size,
        received_at=store.database.clock.now(),
        calling_ae_title="CT1",
        association_id=association,
    )
    store.intake.add(arrival)
    if end is not None:
        store.intake.association_closed(association, end)


def fill(store: Store, first: int, last: int) -> None:
    """Receive images that wait for one thing each, and let others say something of them."""
    for number in range(first, last):
        receive(store, f"1.{number}", AssociationEnd.ABORTED)
        receive(store, f"2.{number}", None)
        receive(store, f"3.{number}")
        receive(store, f"4.{number}")
        listed = [
            AnnouncedInstance(
                series_instance_uid=f"1.2.4.3.{number}", sop_instance_uid=f"1.2.5.3.{number}{end}"
            )
            for end in ("", ".1")
        ]
        store.announcements.create(
            Source.PROCEDURE_STEP, f"1.2.6.{number}", Status.IN_PROGRESS, listed, calling_ae_title="CT1"
        )
        store.announcements.set_step(f"1.2.6.{number}", StepEvent.COMPLETE, None, calling_ae_title="CT1")
        asked = [
            AskedInstance(sop_class_uid="1.2", sop_instance_uid=f"1.2.5.4.{number}{end}")
            for end in ("", ".1")
        ]
        store.commitments.ask(f"1.2.7.{number}", "CT1", asked)


def statements(store: Store, sweep: Sweep) -> list[str]:
    """Return what one tick executes that has nothing to do."""
    seen: list[str] = []

    def remember(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(store.database.engine, "before_cursor_execute", remember)
    assert sweep.run() == NOTHING
    event.remove(store.database.engine, "before_cursor_execute", remember)
    return seen


def test_a_tick_makes_as_many_statements_over_thirty_series_as_over_three(store: Store, clock: Any) -> None:
    sweep = Sweep(
        store, clock, QUIET, lambda: SELECTION, by_covid, expectations=[store.announcements.expectations]
    )
    fill(store, 0, 3)
    clock.advance(QUIET.plain.total_seconds())
    assert sweep.run() == NOTHING
    few = statements(store, sweep)
    fill(store, 3, 30)
    clock.advance(QUIET.plain.total_seconds())
    assert sweep.run() == NOTHING  # looks at the slices
    assert len(statements(store, sweep)) == len(few)
    assert len(store.studies.receiving_series()) == 4 * 30


def test_what_fills_more_than_one_page_is_judged_and_settled(store: Store, clock: Any) -> None:
    for number in range(7):
        receive(store, str(number))
    sweep = Sweep(store, clock, QUIET, lambda: SELECTION, by_covid, page=3)
    clock.advance(QUIET.plain.total_seconds())
    assert sweep.run() == Swept(compared=0, concluded=7, settled=7)


def test_a_tick_settles_none_of_many_that_are_not_quiet(store: Store, clock: Any) -> None:
    sweep = Sweep(
        store, clock, dataclasses.replace(QUIET, study=timedelta(hours=1)), lambda: SELECTION, by_covid
    )

    def judged(first: int, last: int) -> list[str]:
        for number in range(first, last):
            receive(store, str(number))
        clock.advance(QUIET.plain.total_seconds())
        assert sweep.run().concluded == last - first
        return statements(store, sweep)

    assert len(judged(0, 3)) == len(judged(3, 30))
    assert {study.series[0].state for study in store.studies.unsettled()} == {SeriesState.COMPLETE}


def test_a_series_of_a_held_study_waits_for_no_time_to_come(store: Store, clock: Any) -> None:
    receive(store, "1")
    (study,) = store.studies.list()
    store.studies.hold(study.id, "Ada", "look")
    sweep = Sweep(store, clock, QUIET, lambda: SELECTION, by_covid)
    clock.advance(-86400)
    sweep.run()
    assert store.judging.latest(clock.now(), QUIET.plain) is None
    clock.advance(QUIET.plain.total_seconds())
    assert sweep.run().concluded == 1
