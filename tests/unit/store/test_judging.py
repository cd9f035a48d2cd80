"""What series are judged by, read for many at a time, beside what one by one would find."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from node.assemble.completeness import Conclusion, Evidence, Situation, judge
from node.domain.announcement import Status
from node.domain.archives import ArchiveCount
from node.domain.commitment import RequestState
from node.domain.expectation import Expectation, Source
from node.domain.study import AssociationEnd, AssociationFacts, Series
from node.pull.rules import expectation_of
from node.store.inserting import insert_row
from node.store.schema import association_series, associations, instances, series, studies
from node.store.schema_announced import (
    announced_instances,
    announcements,
    asked_instances,
    commitment_requests,
)
from node.store.schema_pulls import archive_counts
from tests.station.sweep_ground import QUIET

RELEASED = AssociationEnd.RELEASED


@dataclass(frozen=True, kw_only=True)
class Carried:
    """One association: when it was opened and closed, in seconds, and which series it carried."""

    opened: int
    lasted: int
    end: AssociationEnd | None
    series: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class World:
    """Three series of two images each, and what happened about them; images are numbered from 0 to 7."""

    carried: Sequence[Carried]
    steps: Sequence[tuple[Status, Mapping[int, int]]]
    """Each lists images, and in which series they are said to lie."""
    asked: Sequence[frozenset[int]]
    counts: Mapping[tuple[int, str], tuple[int, int, int]]
    """How many images an archive has of a series, how often it said so, and when, in seconds."""
    not_before: Mapping[int, int]
    later: int
    """How many seconds after the images came it is looked at."""


MEMBERS = st.sampled_from([0, 1, 2])
IMAGES = st.integers(0, 7)
WHOLE = ({0: 0, 1: 0}, {2: 1, 3: 1}, {0: 0, 1: 0, 2: 1, 3: 1})
worlds = st.builds(
    World,
    carried=st.lists(
        st.builds(
            Carried,
            opened=st.integers(0, 4),
            lasted=st.integers(0, 4),
            end=st.sampled_from([None, *AssociationEnd, RELEASED, RELEASED]),
            series=st.frozensets(MEMBERS, min_size=1),
        ),
        max_size=5,
    ),
    steps=st.lists(
        st.tuples(
            st.sampled_from(Status), st.sampled_from(WHOLE) | st.dictionaries(IMAGES, MEMBERS, max_size=4)
        ),
        max_size=3,
    ),
    asked=st.lists(st.frozensets(IMAGES, min_size=1, max_size=3), max_size=2),
    counts=st.dictionaries(
        st.tuples(MEMBERS, st.sampled_from(["near", "far"])),
        st.tuples(st.sampled_from([1, 2, 2, 3]), st.integers(1, 2), st.sampled_from([-1, 1])),
        max_size=3,
    ),
    not_before=st.dictionaries(MEMBERS, st.integers(0, 200), max_size=1),
    later=st.sampled_from([0, 3, 29, 30, 31, 120, 500, 1800, 2000]),
)


def facts_of(world: World, number: int, start: datetime) -> AssociationFacts:
    """Return what one look at all associations of one series says."""
    found = [
        (start + timedelta(seconds=item.opened + item.lasted), order, item)
        for order, item in enumerate(world.carried)
        if number in item.series
    ]
    closed = sorted((item for item in found if item[2].end is not None), key=lambda item: item[:2])
    resumed = [start + timedelta(seconds=item.opened) for *_, item in closed if item.end is RELEASED]
    broken = [
        item for item in closed if item[2].end is not RELEASED and (not resumed or max(resumed) < item[0])
    ]
    decisive = [*closed[-1:], *broken[-1:]]
    return AssociationFacts(
        open_count=len(found) - len(closed),
        last_end=decisive[-1][2].end if decisive else None,
        last_closed_at=closed[-1][0] if closed else None,
    )


def said_of(world: World, number: int) -> list[Expectation]:
    """Return what everybody but archives says of one series."""
    here, inside = set(range(6)), {2 * number, 2 * number + 1}
    found = []
    for source in (Source.PROCEDURE_STEP, Source.AVAILABILITY):
        naming = [
            (status, [image for image, of in listed.items() if of == number])
            for status, listed in world.steps
            if (status is Status.AVAILABLE) == (source is Source.AVAILABILITY)
        ]
        states = {status for status, images in naming if images}
        if not states:
            continue
        images = {image for _, images in naming for image in images}
        broken_off = Status.DISCONTINUED in states and Status.COMPLETED not in states
        whole = source is Source.PROCEDURE_STEP and Status.IN_PROGRESS not in states
        found.append(
            Expectation(
                source=Source.DISCONTINUED if broken_off else source,
                listed=len(images),
                missing=len(images - here),
                final=whole and images & here == inside,
            )
        )
    naming_it = [images for images in world.asked if images & inside]
    if naming_it:
        asked = frozenset[int]().union(*naming_it)
        found.append(
            Expectation(source=Source.COMMITMENT, listed=len(asked), missing=len(asked - here), final=False)
        )
    return found


def make(ward, world: World, name: int) -> list[Series]:
    """Write a world into a store, beside others."""
    start = ward.clock.now()
    with ward.store.database.write() as connection:
        keys = write_series(connection, name, start)
        announce(connection, world, name, start)
        for item in world.carried:
            opened_at = start + timedelta(seconds=item.opened)
            closed_at = opened_at + timedelta(seconds=item.lasted) if item.end is not None else None
            values = {"opened_at": opened_at, "closed_at": closed_at, "end": item.end}
            key = insert_row(connection, associations, calling_ae_title="CT1", address="", **values)
            for number in item.series:
                row = {"series_id": keys[number], "association_id": key, "last_arrival_at": start}
                connection.execute(insert(association_series).values(row))
        for (number, archive), (count, polls, seconds) in world.counts.items():
            values = {"archive": archive, "count": count, "polls": polls}
            asked_at, uid = start + timedelta(seconds=seconds), f"1.2.4.{name}.{number}"
            statement = insert(archive_counts).values(**values, asked_at=asked_at, series_instance_uid=uid)
            connection.execute(statement)
        for number, seconds in world.not_before.items():
            of, at = series.c.id == keys[number], start + timedelta(seconds=seconds)
            connection.execute(update(series).where(of).values(not_before=at))
    return ward.store.studies.receiving_series(keys)


def write_series(connection, name: int, start: datetime) -> list[int]:
    """Write three series of two images like the first one of the store; return their rows."""
    like = {
        table: dict(connection.execute(select(table).order_by(table.c.id)).mappings().first())
        for table in (studies, series, instances)
    }
    for fields in like.values():
        del fields["id"]
    times = {"first_arrival_at": start, "last_arrival_at": start}
    study = {**like[studies], **times, "study_instance_uid": f"1.2.3.{name}"}
    study_id = insert_row(connection, studies, **study)
    keys = []
    for number in range(3):
        values = {"study_id": study_id, "series_instance_uid": f"1.2.4.{name}.{number}", "instance_count": 2}
        keys.append(insert_row(connection, series, **{**like[series], **times, **values}))
        for image in (2 * number, 2 * number + 1):
            values = {"series_id": keys[-1], "sop_instance_uid": f"1.2.5.{name}.{image}"}
            values["object_key"] = f"{name}.{image}"
            insert_row(connection, instances, **{**like[instances], **values})
    return keys


def announce(connection, world: World, name: int, start: datetime) -> None:
    changed = {"calling_ae_title": "CT1", "changed_at": start}
    for number, (status, listed) in enumerate(world.steps):
        source = Source.AVAILABILITY if status is Status.AVAILABLE else Source.PROCEDURE_STEP
        values = {"source": source, "status": status, "sop_instance_uid": f"1.2.6.{name}.{number}"}
        key = insert_row(connection, announcements, created_at=start, **values, **changed)
        for image, of in listed.items():
            uids = {
                "sop_instance_uid": f"1.2.5.{name}.{image}",
                "series_instance_uid": f"1.2.4.{name}.{of}",
            }
            connection.execute(insert(announced_instances).values(announcement_id=key, **uids))
    for number, images in enumerate(world.asked):
        values = {"transaction_uid": f"1.2.7.{name}.{number}", "state": RequestState.OPEN}
        times = {"received_at": start, "due_at": start}
        key = insert_row(connection, commitment_requests, **values, **times, **changed)
        for image in images:
            uid = f"1.2.5.{name}.{image}"
            row = {"request_id": key, "sop_instance_uid": uid, "sop_class_uid": "1.2"}
            connection.execute(insert(asked_instances).values(row))


def largest(world: World, number: int, start: datetime) -> ArchiveCount | None:
    """Return the largest count that an archive gave for a series."""
    found = [
        (count, polls, seconds) for (of, _), (count, polls, seconds) in world.counts.items() if of == number
    ]
    if not found:
        return None
    count, polls, seconds = max(found, key=lambda item: item[:2])
    asked_at = start + timedelta(seconds=seconds)
    return ArchiveCount(archive="", count=count, polls=polls, asked_at=asked_at)


def test_facts_of_many_series_are_those_of_each_and_what_may_get_a_verdict_is_found(ward, clock):
    names = itertools.count()
    ward.add(1)

    @settings(max_examples=150, deadline=None)
    @given(worlds)
    def agree(world: World) -> None:
        start = clock.now()
        made = make(ward, world, next(names))
        ids = [item.id for item in made]
        facts = ward.store.judging.associations(ids)
        assert [facts[key] for key in ids] == [facts_of(world, number, start) for number in range(3)]
        said = ward.store.announcements.expectations(made)
        assert [said[key] for key in ids] == [said_of(world, number) for number in range(3)]
        clock.advance(world.later)
        now = clock.now()
        shortest = now - min(QUIET.geometry, QUIET.plain, QUIET.cap)
        ripe = ward.store.judging.ripe(now=now, silent_since=shortest, after=min(ids) - 1, limit=9)
        for number, item in enumerate(made):
            counted = expectation_of(largest(world, number, start), item)
            situation = Situation(
                series=item,
                associations=facts[item.id],
                sender_gap=None,
                now=now,
                expectations=(*said[item.id], *counted),
            )
            found = {ready.series.id: ready.told for ready in ripe}
            for evidence in (Evidence(holds=True, reason=""), Evidence(holds=False, reason="")):
                if isinstance(judge(situation, QUIET, lambda known=evidence: known), Conclusion):
                    assert item.id in found
                    unasked = judge(
                        replace(situation, expectations=()), QUIET, lambda: Evidence(holds=True, reason="")
                    )
                    assert found[item.id] or isinstance(unasked, Conclusion)

    agree()


def test_the_largest_count_of_each_series_is_the_one_that_was_said_most_often(ward):
    with ward.store.database.write() as connection:
        for uid, archive, count, polls in [
            ("1", "a", 3, 1),
            ("1", "b", 3, 2),
            ("1", "c", 9, 9),
            ("2", "a", 1, 1),
        ]:
            values = {"archive": archive, "count": count, "polls": polls, "asked_at": ward.clock.now()}
            connection.execute(insert(archive_counts).values(**values, series_instance_uid=uid))
    found = ward.store.archives.largest_counts(["1", "2", "3"], {"a", "b"})
    assert {uid: (item.archive, item.count) for uid, item in found.items()} == {"1": ("b", 3), "2": ("a", 1)}


def test_a_study_does_not_settle_while_an_object_of_it_waits_for_a_comparison(ward):
    ward.add(1)
    ward.add(1, data=b"other")
    ward.conclude()
    study = ward.study
    assert ward.store.studies.unsettled() == []
    assert not ward.store.studies.settle(study.id, [], last_arrival_at=study.last_arrival_at)
    ward.store.asides.same(ward.store.asides.to_compare()[0].id)
    assert ward.store.studies.unsettled() == [study]
    assert ward.store.studies.settle(study.id, [], last_arrival_at=study.last_arrival_at)


def test_what_models_do_not_read_keeps_a_study_open_only_where_it_is_all_there_is(ward):
    ward.add(1, modality="PR", series_instance_uid="1.2.4.1")
    assert ward.store.studies.unsettled() == []
    ward.conclude()
    assert len(ward.store.studies.unsettled()) == 1
    ward.add(2, modality="CT", series_instance_uid="1.2.4.2")
    assert ward.store.studies.unsettled() == []
    ward.conclude()
    ward.add(3, modality="PR", series_instance_uid="1.2.4.1")
    assert len(ward.store.studies.unsettled()) == 1


def test_the_latest_time_is_of_what_is_open_alone(ward, clock):
    store, quiet = ward.store, timedelta(seconds=120)
    now = clock.now()
    clock.advance(10)
    association = store.intake.association_opened("CT1", "10.0.0.7")
    ward.add(1, association_id=association)
    assert store.judging.latest(now, quiet) == clock.now()
    clock.advance(10)
    store.intake.association_closed(association, RELEASED)
    assert store.judging.latest(now, quiet) == clock.now()
    assert store.judging.latest(clock.now(), quiet) is None
    ward.settle()
    assert store.judging.latest(now, quiet) is None
