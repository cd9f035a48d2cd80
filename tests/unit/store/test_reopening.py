"""What opens a study again, and what a broken association leaves behind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from node.domain.announcement import AnnouncedInstance, Status, StepEvent
from node.domain.expectation import Source
from node.domain.job import Assignment, ScreeningCause, ScreeningState
from node.domain.study import AssociationEnd, Intake, SeriesEvent, StudyState, Verdict

COVID_2 = [Assignment(model_name="covid-2")]
LATER_SERIES = {
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection Document Storage
    "series_instance_uid": "1.2.826.0.1.10.77",
    "modality": "KO",
}


def test_a_late_object_that_is_no_ct_opens_no_settled_study(ward):
    ward.add(1)
    ward.screened()
    assert ward.add(900, **LATER_SERIES) is Intake.NEW
    assert ward.study.state is StudyState.SETTLED, "an archive that answers each result makes no new version"
    assert len(ward.store.studies.receiving_series()) == 1
    ward.add(2)
    assert ward.study.state is StudyState.RECEIVING


def test_an_object_that_is_no_ct_does_not_void_a_running_screening(ward):
    ward.add(1)
    ward.settle()
    screening = ward.claim()
    ward.add(900, **LATER_SERIES)
    assert ward.finish(screening)
    assert ward.store.screenings.latest(ward.study.id)[0].state is ScreeningState.DONE


def test_the_first_ct_opens_a_study_that_settled_without_any(ward):
    ward.add(900, **LATER_SERIES)
    ward.screened("", version=None)
    ward.add(1)
    assert ward.study.state is StudyState.RECEIVING


def test_a_study_does_not_settle_when_a_step_reopened_its_series_meanwhile(ward):
    """Else the series would get its verdict in a settled study, and nobody would look at it."""
    ward.add(1)
    judged = ward.study
    series, instance = judged.series[0], ward.store.studies.instances(judged.series[0].id)[0]
    ward.store.studies.conclude_series(series.id, SeriesEvent.CAP, Verdict.CAP, "late", instance_count=1)
    listed = [
        AnnouncedInstance(
            series_instance_uid=series.series_instance_uid, sop_instance_uid=instance.header.sop_instance_uid
        )
    ]
    ward.store.announcements.create(
        Source.PROCEDURE_STEP, "2.25.1", Status.IN_PROGRESS, listed, calling_ae_title="CT1"
    )
    ward.store.announcements.set_step("2.25.1", StepEvent.COMPLETE, None, calling_ae_title="CT1")
    assert not ward.store.studies.settle(judged.id, COVID_2, last_arrival_at=judged.last_arrival_at)
    ward.screened()


@pytest.mark.parametrize("end", [AssociationEnd.ABORTED, AssociationEnd.TIMEOUT, AssociationEnd.RESTART])
def test_a_parallel_association_does_not_heal_a_broken_one(ward, clock, end):
    intake = ward.store.intake
    broken = intake.association_opened("CT1", "10.0.0.1")
    beside = intake.association_opened("CT1", "10.0.0.1")
    ward.add(1, association_id=broken)
    ward.add(2, association_id=beside)
    clock.advance(1)
    intake.association_closed(broken, end)
    clock.advance(1)
    intake.association_closed(beside, AssociationEnd.RELEASED)
    series = ward.study.series[0].id
    facts = ward.store.judging.associations([series])[series]
    assert facts.last_end is end, "what the broken one had left to send never came"
    assert facts.last_closed_at == clock.now()

    clock.advance(1)
    again = intake.association_opened("CT1", "10.0.0.1")
    ward.add(3, association_id=again)
    intake.association_closed(again, AssociationEnd.RELEASED)
    assert ward.store.judging.associations([series])[series].last_end is AssociationEnd.RELEASED


def test_what_waits_for_a_model_that_is_not_active_any_more_is_screened_by_the_active_one(ward):
    ward.add(1)
    ward.settle()
    assert ward.store.screenings.hand_over(COVID_2, lambda _: COVID_2) == 1
    screening = ward.claim()
    assert screening.model_name == "covid-2", "its results would be filed under the name of another model"
    assert screening.cause is ScreeningCause.SETTLED
    assert ward.store.screenings.recover() == 1
    assert ward.store.screenings.hand_over(COVID_2, lambda _: COVID_2) == 0
    assert ward.claim().id == screening.id
    states = [item.state for item, _ in ward.store.screenings.history(ward.study.id)]
    assert states == [ScreeningState.RUNNING, ScreeningState.CANCELLED]


def test_an_order_for_the_active_model_stands_beside_one_for_another(ward):
    ward.add(1)
    ward.settle()
    ward.store.screenings.requeue(ward.study.id, Assignment(model_name="covid-2"), "Ada", "new model")
    assert ward.store.screenings.hand_over(COVID_2, lambda _: COVID_2) == 0
    assert ward.claim().reason == "new model"
    assert ward.store.screenings.claim("worker", lease=timedelta(minutes=1)) is None
