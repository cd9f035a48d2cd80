from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from node.domain.delivery import DeliveryState, Outlet
from node.domain.errors import ObjectMissing, StoreError, UnknownSubject
from node.domain.job import Assignment, ScreeningCause, ScreeningState
from node.domain.result import ResultKind
from node.store import schema
from node.store.integrity import check
from node.store.screenings import MAX_ATTEMPTS

HOUR = timedelta(hours=1)


def states(ward) -> list[ScreeningState]:
    return [screening.state for screening, _ in reversed(ward.store.screenings.history(ward.study.id))]


def test_a_claim_takes_the_oldest_once(ward, clock):
    for number in range(2):
        ward.add(number, study_instance_uid=f"1.2.3.{number}", series_instance_uid=f"1.2.4.{number}")
        ward.conclude()
        study = ward.store.studies.get(f"1.2.3.{number}")
        ward.store.studies.settle(
            study.id, [Assignment(model_name="covid")], last_arrival_at=study.last_arrival_at
        )
        clock.advance(1)
    first = ward.claim()
    assert (first.study_instance_uid, first.state, first.attempts) == ("1.2.3.0", ScreeningState.RUNNING, 1)
    assert first.cause is ScreeningCause.SETTLED
    assert ward.claim().study_instance_uid == "1.2.3.1"
    assert ward.store.screenings.claim("worker", lease=HOUR) is None


def test_no_two_workers_get_the_same(ward):
    for number in range(6):
        ward.add(number, study_instance_uid=f"1.2.3.{number}", series_instance_uid=f"1.2.4.{number}")
    ward.conclude()
    for study in ward.store.studies.unsettled():
        ward.store.studies.settle(
            study.id, [Assignment(model_name="covid")], last_arrival_at=study.last_arrival_at
        )
    barrier, taken = threading.Barrier(4), []

    def work() -> None:
        barrier.wait()
        while (screening := ward.store.screenings.claim("worker", lease=HOUR)) is not None:
            taken.append(screening.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [1, 2, 3, 4, 5, 6]


def test_nothing_of_a_held_or_growing_study_is_claimed(ward):
    ward.add(1)
    ward.settle()
    ward.store.studies.hold(ward.study.id, "Ada", "look")
    assert ward.store.screenings.claim("worker", lease=HOUR) is None
    ward.store.studies.release(ward.study.id, "Ada", "fine")
    assert ward.store.screenings.claim("worker", lease=HOUR) is None
    ward.settle()
    assert ward.claim()


def test_a_finish_writes_everything_and_reads_back(ward, make_finding):
    ward.add(1)
    screening = ward.screened(destinations=(("pacs", True), ("archive", False)))
    screenings = ward.store.screenings
    assert screenings.finding(screening.id) == make_finding()
    assert screenings.stage_seconds(screening.id) == {"infer": 1.5}
    made = screenings.results(screening.id)
    assert [(item.kind, item.index) for item in made] == [
        (ResultKind.HEATMAP, 1),
        (ResultKind.HEATMAP, 2),
        (ResultKind.REPORT, 0),
    ]
    version = screenings.current_version(ward.study.id, "covid")
    assert (version.version, version.recipe) == (1, "recipe-1")
    assert version.report_sop_instance_uid == made[-1].sop_instance_uid
    assert screenings.current_version(ward.study.id, "other") is None
    latest, finding = screenings.latest(ward.study.id)
    assert (latest.state, finding) == (ScreeningState.DONE, make_finding())
    deliveries = ward.store.outbox.for_study(ward.study.id)
    assert len(deliveries) == 6
    assert {item.state for item in deliveries if item.destination == "pacs"} == {DeliveryState.PENDING}
    assert {item.state for item in deliveries if item.destination == "archive"} == {DeliveryState.WITHHELD}
    assert check(ward.store) == []


def test_a_finding_without_series_reads_back(ward, make_finding):
    ward.add(1)
    ward.settle()
    screening = ward.claim()
    finding = make_finding(choices=(), slices=(), operating_point=None, series_instance_uid=None, warnings=())
    assert ward.store.screenings.finish(
        screening.id,
        finding,
        recipe="r",
        version=None,
        results=[],
        outlets=[Outlet(name="pacs", leaves=True)],
    )
    assert ward.store.screenings.finding(screening.id) == finding
    assert ward.store.screenings.results(screening.id) == []
    assert ward.store.outbox.for_study(ward.study.id) == []


def test_a_second_finish_makes_no_second_set(ward):
    ward.add(1)
    screening = ward.screened()
    assert not ward.finish(screening, "recipe-2", version=2)
    assert len(ward.store.outbox.for_study(ward.study.id)) == 3
    assert ward.store.screenings.current_version(ward.study.id, "covid").version == 1


@pytest.mark.parametrize("change", ["grow", "hold", "hold and release", "correct"])
def test_a_study_that_changed_meanwhile_voids_the_outcome(ward, change):
    ward.add(1)
    ward.settle()
    screening = ward.claim()
    study_id = ward.study.id
    if change == "grow":
        ward.add(2)
    elif change == "correct":
        ward.add(1, data=b"corrected", patient_name="Other")
        ward.store.asides.correction(ward.store.asides.to_compare()[0].id)
        ward.store.asides.confirm_correction(study_id, "Ada", "why")
    else:
        ward.store.studies.hold(study_id, "Ada", "look")
        if change == "hold and release":
            ward.store.studies.release(study_id, "Ada", "fine")
    assert not ward.finish(screening)
    assert states(ward) == [ScreeningState.CANCELLED]
    assert ward.store.outbox.for_study(study_id) == []
    with pytest.raises(UnknownSubject):
        ward.store.screenings.finding(screening.id)


def test_a_late_image_gives_a_second_version_and_retires_the_first(ward, clock):
    ward.add(1)
    ward.screened()
    sent = ward.store.outbox.for_study(ward.study.id)
    ward.store.operations.go_live("pacs", "Ada", "ready")
    for claimed in ward.store.outbox.claim("pacs", limit=1):
        ward.store.outbox.delivered(claimed.id, "0000H", "the answer")
    clock.advance(60)
    ward.add(2)
    ward.screened("recipe-2", version=2)
    assert states(ward) == [ScreeningState.SUPERSEDED, ScreeningState.DONE]
    now = {item.id: item.state for item in ward.store.outbox.for_study(ward.study.id)}
    assert [now[item.id] for item in sent] == [
        DeliveryState.DELIVERED,
        DeliveryState.CANCELLED,
        DeliveryState.CANCELLED,
    ]
    assert ward.store.screenings.current_version(ward.study.id, "covid").recipe == "recipe-2"


def test_the_same_recipe_again_sends_nothing_and_keeps_the_version(ward, clock):
    ward.add(1)
    ward.screened()
    ward.store.screenings.requeue(ward.study.id, Assignment(model_name="covid"), "Ada", "again")
    screening = ward.claim()
    assert (screening.cause, screening.reason) == (ScreeningCause.REPROCESS, "again")
    assert ward.finish(screening, version=None)
    assert states(ward) == [ScreeningState.DONE, ScreeningState.DONE]
    assert len(ward.store.outbox.for_study(ward.study.id)) == 3
    assert ward.store.screenings.current_version(ward.study.id, "covid").version == 1


def test_a_recipe_that_comes_back_sends_its_stored_objects_where_they_are_not(ward):
    ward.add(1)
    ward.store.operations.go_live("pacs", "Ada", "ready")
    ward.screened("A")
    (first, *_rest) = ward.store.outbox.claim("pacs", limit=1)
    ward.store.outbox.delivered(first.id, "0000H", "the answer")
    objects = ward.store.screenings.results(1)
    for version, recipe in [(2, "B"), (3, "A")]:
        ward.store.screenings.requeue(ward.study.id, Assignment(model_name="covid"), "Ada", "other settings")
        assert ward.finish(ward.claim(), recipe, version=version)
    assert ward.store.screenings.results(3) == objects
    assert ward.store.screenings.current_version(ward.study.id, "covid").version == 3
    waiting = ward.store.outbox.claim("pacs", limit=10)
    assert [item.sop_instance_uid for item in waiting] == [item.sop_instance_uid for item in objects[1:]]
    assert check(ward.store) == []


def test_an_object_whose_uid_exists_keeps_its_first_bytes(ward):
    ward.add(1)
    ward.screened("A")
    before = ward.store.screenings.results(1)
    ward.store.screenings.requeue(ward.study.id, Assignment(model_name="covid"), "Ada", "again")
    stored = ward.store.files.store(b"built a second time")
    again = [replace(item, object_key=stored.key, sha256=stored.sha256) for item in before]
    claimed = ward.claim()
    assert ward.store.screenings.finish(
        claimed.id,
        ward.store.screenings.finding(1),
        recipe="A",
        version=2,
        results=again,
        outlets=[Outlet(name="pacs", leaves=True)],
    )
    assert ward.store.screenings.results(claimed.id) == before
    assert check(ward.store) == [], "the bytes that nobody names are gone"


@pytest.mark.parametrize("wrong", ["version exists", "no file", "no version", "other study's uid"])
def test_what_cannot_be_put_in_force_writes_nothing(ward, make_finding, wrong):
    ward.add(1)
    ward.screened()
    taken = ward.results("recipe-1")
    results, version, error = ward.results("recipe-2"), 2, StoreError
    if wrong == "version exists":
        version = 1
    elif wrong == "no file":
        ward.store.files.delete(results[0].object_key)
        error = ObjectMissing
    elif wrong == "no version":
        version = None
    else:
        ward.add(9, study_instance_uid="1.2.3.9", series_instance_uid="1.2.4.9")
        results = taken
    if wrong == "other study's uid":
        ward.clock.advance(1)
        ward.add(10, study_instance_uid="1.2.3.9", series_instance_uid="1.2.4.9")
        ward.settle()
    else:
        ward.store.screenings.requeue(ward.study.id, Assignment(model_name="covid"), "Ada", "again")
    claimed = ward.claim()
    with pytest.raises(error):
        ward.store.screenings.finish(
            claimed.id,
            make_finding(),
            recipe="recipe-2",
            version=version,
            results=results,
            outlets=[Outlet(name="pacs", leaves=True)],
        )
    assert ward.store.screenings.latest(claimed.study_id) == (claimed, None)
    with ward.store.database.read() as connection:
        assert connection.execute(select(schema.result_versions.c.version)).scalars().all() == [1]
        assert len(connection.execute(select(schema.deliveries.c.id)).all()) == 3


def test_one_finding_cannot_choose_two_series(ward, make_finding):
    ward.add(1)
    ward.settle()
    screening = ward.claim()
    choice = make_finding().choices[0]
    with pytest.raises(StoreError, match="series_choices"):
        ward.store.screenings.finish(
            screening.id,
            make_finding(choices=(choice, choice)),
            recipe="r",
            version=None,
            results=[],
            outlets=[],
        )


def test_a_parked_screening_resumes_when_due(ward, clock):
    ward.add(1)
    ward.settle()
    for _ in range(MAX_ATTEMPTS + 2):
        screening = ward.claim()
        assert ward.store.screenings.park(screening.id, clock.now() + HOUR, "the engine does not answer")
        assert ward.store.screenings.detail(screening.id) == "the engine does not answer"
        assert ward.store.screenings.claim("worker", lease=HOUR) is None
        clock.advance(3600)
    assert ward.finish(ward.claim())


def test_a_lease_is_renewed_by_the_worker_that_has_the_screening_alone(ward, clock):
    ward.add(1)
    ward.settle()
    records = ward.store.screenings
    slow = records.claim("slow", lease=HOUR)
    clock.advance(3000)
    assert records.renew(slow, lease=HOUR)
    clock.advance(3000)
    assert records.claim("quick", lease=HOUR) is None, "the first hour has passed, the renewed one has not"
    clock.advance(600)
    quick = records.claim("quick", lease=HOUR)
    assert (quick.id, quick.attempts) == (slow.id, 2)
    assert not records.renew(slow, lease=HOUR)
    clock.advance(3600)
    assert records.claim("third", lease=HOUR).attempts == 3, "nor did the first one prolong it"
    assert records.fail(slow.id, "no memory")
    assert not records.renew(slow, lease=HOUR)


def test_a_failed_screening_is_superseded_by_the_next_that_ends(ward):
    ward.add(1)
    ward.settle()
    assert ward.store.screenings.fail(ward.claim().id, "no memory")
    assert ward.store.screenings.latest(ward.study.id)[0].state is ScreeningState.FAILED
    ward.store.screenings.requeue(ward.study.id, Assignment(model_name="covid"), "Ada", "more memory")
    assert ward.finish(ward.claim())
    assert states(ward) == [ScreeningState.SUPERSEDED, ScreeningState.DONE]


def test_what_was_cancelled_meanwhile_neither_parks_nor_fails(ward, clock):
    ward.add(1)
    ward.settle()
    screening = ward.claim()
    ward.store.screenings.requeue(ward.study.id, Assignment(model_name="covid"), "Ada", "again")
    assert not ward.store.screenings.park(screening.id, clock.now(), "x")
    assert not ward.store.screenings.fail(screening.id, "x")
    assert states(ward) == [ScreeningState.CANCELLED, ScreeningState.QUEUED]


def test_a_screening_that_takes_the_node_down_is_given_up(ward):
    ward.add(1)
    ward.settle()
    for _ in range(MAX_ATTEMPTS - 1):
        ward.claim()
        assert ward.store.screenings.recover() == 1
    ward.claim()
    assert ward.store.screenings.recover() == 0
    assert states(ward) == [ScreeningState.FAILED]
    assert str(MAX_ATTEMPTS) in ward.store.screenings.detail(1)


def test_a_lease_that_passed_is_taken_over_and_the_first_to_finish_counts(ward, clock):
    ward.add(1)
    ward.settle()
    slow = ward.claim()
    assert ward.store.screenings.claim("other", lease=HOUR) is None
    clock.advance(1800)
    other = ward.claim()
    assert (other.id, other.attempts) == (slow.id, 2)
    assert ward.finish(other)
    assert not ward.finish(slow)
    assert len(ward.store.outbox.for_study(ward.study.id)) == 3


def test_one_screening_of_a_study_and_model_is_on_its_way(ward, clock):
    ward.add(1)
    ward.settle()
    row = schema.screenings.insert().values(
        study_id=1,
        model_name="covid",
        state=ScreeningState.RUNNING,
        cause=ScreeningCause.SETTLED,
        queued_at=clock.now(),
        due_at=clock.now(),
    )
    with pytest.raises(StoreError, match="UNIQUE"), ward.store.database.write() as connection:
        connection.execute(row)


def test_a_study_that_grew_and_settled_for_another_model_voids_the_outcome(ward, clock):
    ward.add(1)
    ward.settle()
    screening = ward.claim()
    clock.advance(1)
    ward.add(2)
    ward.conclude()
    study = ward.study
    assert ward.store.studies.settle(
        study.id, [Assignment(model_name="another")], last_arrival_at=study.last_arrival_at
    )
    assert not ward.finish(screening)
    assert states(ward) == [ScreeningState.CANCELLED, ScreeningState.QUEUED]
