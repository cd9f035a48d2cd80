from __future__ import annotations

from datetime import timedelta

import pytest

from node.domain.errors import IllegalTransition, StoreError, UnknownSubject
from node.domain.job import Assignment, ScreeningState
from node.domain.study import AssociationEnd, SeriesEvent, SeriesState, StudyState, Verdict


def conclude(ward, event=SeriesEvent.EVIDENCE, verdict=Verdict.QUIET, count=1) -> bool:
    return ward.store.studies.conclude_series(
        ward.study.series[0].id, event, verdict, "quiet for 120 s", instance_count=count
    )


def test_a_verdict_is_written_with_its_reason(ward):
    ward.add(1)
    assert conclude(ward)
    (series,) = ward.study.series
    assert (series.state, series.verdict, series.verdict_reason) == (
        SeriesState.COMPLETE,
        Verdict.QUIET,
        "quiet for 120 s",
    )
    assert ward.store.studies.receiving_series() == []


def test_a_verdict_on_other_instances_is_not_written(ward):
    ward.add(1)
    ward.add(2)
    assert not conclude(ward, count=1)
    assert ward.study.series[0].state is SeriesState.RECEIVING


def test_a_series_is_concluded_once(ward):
    ward.add(1)
    assert conclude(ward, SeriesEvent.CAP, Verdict.CAP)
    assert not conclude(ward)
    assert ward.study.series[0].verdict is Verdict.CAP


def test_there_is_no_verdict_without_a_reason(ward):
    ward.add(1)
    with pytest.raises(StoreError, match="verdict_with_reason"):
        ward.store.studies.conclude_series(
            ward.study.series[0].id, SeriesEvent.EVIDENCE, Verdict.QUIET, "", instance_count=1
        )


def test_settling_queues_one_screening(ward):
    ward.add(1)
    conclude(ward)
    (study,) = ward.store.studies.unsettled()
    assert ward.store.studies.settle(
        study.id, [Assignment(model_name="covid")], last_arrival_at=study.last_arrival_at
    )
    assert not ward.store.studies.settle(
        study.id, [Assignment(model_name="covid")], last_arrival_at=study.last_arrival_at
    )
    assert ward.store.studies.unsettled() == []
    assert ward.store.screenings.counts() == {ScreeningState.QUEUED: 1}


def test_a_study_that_grew_or_is_held_does_not_settle(ward, clock):
    ward.add(1)
    study = ward.study
    clock.advance(1)
    ward.add(2)
    assert not ward.store.studies.settle(
        study.id, [Assignment(model_name="covid")], last_arrival_at=study.last_arrival_at
    )
    ward.store.studies.hold(study.id, "Ada", "look")
    assert not ward.store.studies.settle(
        study.id, [Assignment(model_name="covid")], last_arrival_at=clock.now()
    )
    assert ward.store.screenings.counts() == {}


def test_settling_anew_voids_what_is_on_its_way(ward, clock):
    ward.add(1)
    ward.settle()
    running = ward.claim()
    clock.advance(1)
    ward.add(2)
    ward.settle()
    assert ward.store.screenings.counts() == {ScreeningState.CANCELLED: 1, ScreeningState.QUEUED: 1}
    assert not ward.finish(running)


def test_after_a_restart_nothing_is_judged_too_early(ward, clock):
    opened = ward.store.intake.association_opened("CT1", "10.0.0.7")
    ward.add(1, association_id=opened)
    clock.advance(3600)
    ward.store.studies.defer_after_restart(timedelta(seconds=120))
    (series,) = ward.store.studies.receiving_series()
    assert series.not_before == clock.now() + timedelta(seconds=120)
    facts = ward.store.judging.associations([series.id])[series.id]
    assert (facts.open_count, facts.last_end) == (0, AssociationEnd.RESTART)
    ward.store.studies.defer_after_restart(timedelta(seconds=30))
    assert ward.store.studies.receiving_series()[0].not_before == series.not_before


def test_hold_and_release_are_audited_and_reasons_add_up(ward):
    ward.add(1)
    study_id = ward.study.id
    ward.store.studies.hold(study_id, "Ada", "wrong patient?")
    ward.store.studies.hold(study_id, "Bob", "asked the ward")
    assert "wrong patient?" in ward.study.hold_reason
    assert "asked the ward" in ward.study.hold_reason
    ward.store.studies.release(study_id, "Ada", "is right")
    assert (ward.study.state, ward.study.hold_reason) == (StudyState.RECEIVING, "")
    with pytest.raises(IllegalTransition):
        ward.store.studies.release(study_id, "Ada", "again")
    acts = ward.store.operations.audit_trail()
    assert [(act.by, act.action) for act in acts] == [("Ada", "release"), ("Bob", "hold"), ("Ada", "hold")]


@pytest.mark.parametrize("act", ["hold", "release", "complete"])
@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("Ada", ""), (" ", "why")])
def test_an_act_needs_a_name_and_a_reason(ward, act, by, reason):
    ward.add(1)
    if act == "release":
        ward.store.studies.hold(ward.study.id, "Ada", "look")
    before = ward.study
    with pytest.raises(StoreError):
        getattr(ward.store.studies, act)(ward.study.id, by, reason)
    assert ward.study == before


def test_completing_by_hand_concludes_every_open_series(ward):
    ward.add(1)
    ward.add(2, series_instance_uid="1.2.826.0.1.10.2")
    conclude(ward, SeriesEvent.CAP, Verdict.CAP)
    ward.store.studies.complete(ward.study.id, "Ada", "the scan was cut short")
    study = ward.study
    assert {series.verdict for series in study.series} == {Verdict.BY_HAND}
    assert study.series[0].verdict_reason == "Ada: the scan was cut short"
    assert study.state is StudyState.RECEIVING


def test_completing_a_settled_study_lets_it_settle_again(ward):
    ward.add(1)
    conclude(ward, SeriesEvent.CAP, Verdict.CAP)
    ward.settle()
    ward.store.studies.complete(ward.study.id, "Ada", "that is all")
    assert (ward.study.state, ward.study.hold_reason) == (StudyState.RECEIVING, "")
    ward.settle()


def test_completing_a_held_study_leaves_it_held(ward):
    ward.add(1)
    ward.store.studies.hold(ward.study.id, "Ada", "look")
    ward.store.studies.complete(ward.study.id, "Ada", "that is all")
    assert ward.study.state is StudyState.HELD


def test_what_is_unknown_is_said_so(ward):
    studies = ward.store.studies
    for act in (
        lambda: studies.get("1.2.3"),
        lambda: studies.by_id(7),
        lambda: studies.hold(7, "Ada", "why"),
        lambda: studies.release(7, "Ada", "why"),
        lambda: studies.complete(7, "Ada", "why"),
        lambda: studies.settle(7, [Assignment(model_name="covid")], last_arrival_at=ward.clock.now()),
        lambda: studies.conclude_series(7, SeriesEvent.CAP, Verdict.CAP, "x", instance_count=1),
        lambda: ward.store.screenings.requeue(7, Assignment(model_name="covid"), "Ada", "why"),
        lambda: ward.store.outbox.release(7, "pacs", "Ada", "why"),
    ):
        with pytest.raises(UnknownSubject):
            act()


def test_studies_are_listed_newest_arrival_first(ward, clock):
    for number in range(3):
        clock.advance(1)
        ward.add(number, study_instance_uid=f"1.2.3.{number}", series_instance_uid=f"1.2.4.{number}")
    uids = [study.study_instance_uid for study in ward.store.studies.list(2, 1)]
    assert uids == ["1.2.3.1", "1.2.3.0"]
    assert ward.store.studies.get("1.2.3.2") == ward.store.studies.by_id(3)
