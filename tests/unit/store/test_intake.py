from __future__ import annotations

import os

import pytest
from sqlalchemy import func, select

from node.domain.errors import ObjectMissing
from node.domain.identity import PatientKey
from node.domain.study import AsideReason, AssociationEnd, Intake, SeriesState, StudyState, Verdict
from node.store import schema
from node.store.gaps import ENOUGH, HALVE_AT, bucket_of, upper_bound
from node.store.intake import REFUSED_KEPT

OTHER_PATIENT = PatientKey(patient_id="P-2", issuer="HOSPITAL")


def test_an_instance_makes_patient_study_and_series(ward, clock):
    assert ward.add(1) is Intake.NEW
    study = ward.study
    assert study.state is StudyState.RECEIVING
    assert study.patient == PatientKey(patient_id="P-1", issuer="HOSPITAL")
    assert (study.patient_name, study.first_arrival_at) == ("Doe^Jane", clock.now())
    (series,) = study.series
    assert (series.state, series.verdict, series.instance_count) == (SeriesState.RECEIVING, None, 1)
    (instance,) = ward.store.studies.instances(series.id)
    assert instance.header == ward.make_header(1)
    assert ward.store.files.path(instance.object_key).read_bytes() == b"1.2.826.0.1.1.1"


def test_the_same_bytes_again_change_nothing(ward, clock):
    ward.add(1)
    before = ward.study
    clock.advance(60)
    assert ward.add(1) is Intake.REPEATED
    assert ward.study == before


def test_other_bytes_are_kept_to_be_compared(ward):
    ward.add(1)
    before = ward.study
    assert ward.add(1, data=b"other") is Intake.TO_COMPARE
    assert ward.add(1, data=b"other") is Intake.TO_COMPARE
    assert ward.study == before
    (aside,) = ward.store.asides.to_compare()
    assert aside.existing is not None
    assert aside.existing.header.sop_instance_uid == aside.header.sop_instance_uid
    assert ward.store.files.path(aside.object_key).read_bytes() == b"other"
    assert ward.store.studies.pending_comparisons(before.id) == 1


@pytest.mark.parametrize(
    ("number", "changes", "reason"),
    [
        (2, {"patient": OTHER_PATIENT}, "two patients"),
        (2, {"patient": PatientKey(patient_id="P-1", issuer="ELSEWHERE")}, "two patients"),
        (2, {"study_instance_uid": "1.2.826.0.1.11"}, "two studies"),
        (1, {"study_instance_uid": "1.2.826.0.1.11"}, "two series or studies"),
        (1, {"series_instance_uid": "1.2.826.0.1.10.2"}, "two series or studies"),
    ],
)
def test_a_uid_that_belongs_elsewhere_is_kept_aside_and_the_study_held(ward, number, changes, reason):
    ward.add(1)
    assert ward.add(number, data=b"other", **changes) is Intake.CONFLICT
    study = ward.study
    assert study.state is StudyState.HELD
    assert reason in study.hold_reason
    assert study.series[0].instance_count == 1
    (aside,) = ward.store.asides.list(study.id)
    assert aside.reason is AsideReason.PATIENT_CONFLICT
    assert len(ward.store.studies.list()) == 1


def test_a_known_instance_of_another_patient_is_held_at_once_and_compared(ward):
    ward.add(1)
    assert ward.add(1, data=b"other", patient=OTHER_PATIENT) is Intake.CONFLICT
    assert ward.study.state is StudyState.HELD
    assert [aside.reason for aside in ward.store.asides.list()] == [AsideReason.TO_COMPARE]


def test_a_series_uid_under_two_known_studies_holds_both(ward):
    ward.add(1)
    ward.add(2, study_instance_uid="1.2.826.0.1.11", series_instance_uid="1.2.826.0.1.11.1")
    assert ward.add(3, study_instance_uid="1.2.826.0.1.11") is Intake.CONFLICT
    assert {study.state for study in ward.store.studies.list()} == {StudyState.HELD}


@pytest.mark.parametrize("name", ["DOE^JANE", "Doe^Jane^^^", " Doe^Jane ", ""])
def test_the_same_name_in_another_form_is_the_same_patient(ward, name):
    ward.add(1)
    assert ward.add(2, patient_name=name) is Intake.NEW
    assert ward.study.state is StudyState.RECEIVING


@pytest.mark.parametrize(
    ("changes", "keyword"),
    [
        ({"patient_name": "Doe^John"}, "PatientName"),
        ({"patient_birth_date": "19710101"}, "PatientBirthDate"),
        ({"patient_sex": "M"}, "PatientSex"),
    ],
)
def test_contradicting_attributes_hold_the_study_and_name_no_value(ward, changes, keyword):
    ward.add(1)
    assert ward.add(2, **changes) is Intake.NEW
    study = ward.study
    assert study.state is StudyState.HELD
    assert keyword in study.hold_reason
    assert next(iter(changes.values())) not in study.hold_reason
    assert study.series[0].instance_count == 2


def test_a_value_that_was_absent_is_filled_in(ward):
    ward.add(1, patient_sex="", accession_number="")
    ward.add(2)
    assert (ward.study.patient_sex, ward.study.accession_number) == ("F", "A1")
    assert ward.study.state is StudyState.RECEIVING


def test_text_that_no_database_takes_is_cleaned_and_matches_itself(ward):
    strange = {"patient": PatientKey(patient_id="P\x00\udcff"), "patient_name": "A\x00\udcff"}
    assert ward.add(1, **strange) is Intake.NEW
    assert ward.add(2, **strange) is Intake.NEW
    assert ward.study.state is StudyState.RECEIVING
    assert ward.study.patient.patient_id == "P\ufffd\ufffd"


def test_a_late_image_opens_series_and_study_again(ward, clock):
    ward.add(1)
    ward.settle()
    assert ward.study.state is StudyState.SETTLED
    clock.advance(3600)
    assert ward.add(2) is Intake.NEW
    study = ward.study
    assert study.state is StudyState.RECEIVING
    assert study.last_arrival_at == clock.now()
    assert (study.series[0].state, study.series[0].verdict) == (SeriesState.RECEIVING, None)


def test_a_repeated_image_leaves_a_settled_study_settled(ward):
    ward.add(1)
    ward.settle()
    ward.add(1)
    assert ward.study.state is StudyState.SETTLED


def test_a_held_study_stays_held_when_it_grows(ward):
    ward.add(1)
    ward.store.studies.hold(ward.study.id, "Ada", "look")
    assert ward.add(2) is Intake.NEW
    assert ward.study.state is StudyState.HELD


def test_own_results_that_come_back_open_no_study_and_take_no_room(ward):
    ward.add(1)
    ward.screened()
    before, files = ward.study, set(ward.store.files.names())
    report = ward.store.outbox.for_study(before.id)[-1]
    for number in range(3):
        came_back = ward.add(
            1, data=b"changed by the PACS %d" % number, sop_instance_uid=report.sop_instance_uid
        )
        assert came_back is Intake.OWN
    assert ward.study == before
    assert len(set(ward.store.files.names()) - files) == 1
    with ward.store.database.read() as connection:
        assert connection.execute(select(schema.own_objects.c.arrivals)).scalars().all() == [3]


def test_own_results_of_a_lost_index_are_known_by_their_device(ward):
    own = frozenset({"2.25.7"})
    assert ward.add(1, device_uids=("1.2.3", "2.25.7"), own=own) is Intake.OWN
    assert ward.store.studies.list() == []
    assert ward.add(2, device_uids=("1.2.3",), own=own) is Intake.NEW


def test_an_object_without_bytes_is_not_indexed(ward):
    arrival = ward.arrival(ward.make_header(1))
    ward.store.files.delete(arrival.object_key)
    with pytest.raises(ObjectMissing):
        ward.store.intake.add(arrival)
    assert ward.store.studies.list() == []


def test_who_is_let_in_waits_for_no_disk(ward, monkeypatch):
    """The row becomes durable with the first object that comes by the association."""
    synced = []
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(descriptor) or sync(descriptor))
    opened = ward.store.intake.association_opened("CT1", "10.0.0.7")
    assert synced == []
    ward.add(1, association_id=opened)
    assert len(synced) == 1


def test_associations_are_known_by_the_series_that_they_carried(ward, clock):
    first = ward.store.intake.association_opened("CT1", "10.0.0.7")
    second = ward.store.intake.association_opened("CT1", "10.0.0.7")
    ward.store.intake.association_opened("CT1", "10.0.0.7")
    ward.add(1, association_id=first)
    ward.add(2, association_id=second)
    ward.add(2, association_id=second)
    series_id = ward.study.series[0].id
    facts = ward.store.judging.associations([series_id])[series_id]
    assert (facts.open_count, facts.last_end, facts.last_closed_at) == (2, None, None)
    clock.advance(1)
    ward.store.intake.association_closed(first, AssociationEnd.RELEASED)
    clock.advance(1)
    ward.store.intake.association_closed(second, AssociationEnd.ABORTED)
    ward.store.intake.association_closed(second, AssociationEnd.RELEASED)
    facts = ward.store.judging.associations([series_id])[series_id]
    assert (facts.open_count, facts.last_end) == (0, AssociationEnd.ABORTED)
    assert facts.last_closed_at == clock.now()


def test_the_rhythm_of_a_sender_is_learned_within_associations(ward, clock):
    for association in range(2):
        opened = ward.store.intake.association_opened("CT1", "10.0.0.7")
        clock.advance(5000)
        for number in range(30):
            clock.advance(0.2)
            ward.add(association * 30 + number, association_id=opened)
            learned = ward.store.judging.sender_gaps(["CT1"])["CT1"]
            assert (learned is None) == (association * 29 + number < ENOUGH)
    usual = learned
    assert usual is not None
    assert bucket_of(usual) == bucket_of(upper_bound(bucket_of(usual)))
    assert 0.2 <= usual.total_seconds() < 0.25
    assert ward.store.judging.sender_gaps(["CT2"])["CT2"] is None


def test_the_learned_rhythm_is_bounded(ward, clock):
    opened = ward.store.intake.association_opened("CT1", "10.0.0.7")
    ward.add(1, association_id=opened)
    with ward.store.database.write() as connection:
        connection.execute(
            schema.sender_gaps.insert().values(calling_ae_title="CT1", bucket=0, count=HALVE_AT - 1)
        )
    ward.add(1, association_id=opened)
    with ward.store.database.read() as connection:
        counts = connection.execute(select(schema.sender_gaps.c.count)).scalars().all()
    assert counts == [HALVE_AT // 2]


def test_refused_callers_are_shown_once_and_the_newest_are_kept(ward, clock):
    intake = ward.store.intake
    intake.caller_refused("SCANNER", "10.0.0.9", "unknown AE title")
    clock.advance(1)
    intake.caller_refused("SCANNER", "10.0.0.9", "not allowed from this address")
    (caller,) = intake.refused_callers()
    assert (caller.attempts, caller.reason) == (2, "not allowed from this address")
    assert caller.last_at == clock.now()
    with ward.store.database.write() as connection:
        connection.execute(
            schema.refused_callers.insert(),
            [
                {
                    "calling_ae_title": f"X{number}",
                    "address": "10.0.0.9",
                    "reason": "x",
                    "attempts": 1,
                    "last_at": clock.now(),
                }
                for number in range(REFUSED_KEPT)
            ],
        )
    clock.advance(1)
    intake.caller_refused("NEWEST", "10.0.0.9", "unknown AE title")
    found = intake.refused_callers()
    assert len(found) == REFUSED_KEPT
    assert found[0].calling_ae_title == "NEWEST"
    assert "SCANNER" not in {caller.calling_ae_title for caller in found}


def test_five_times_the_same_study_is_one_row_each(ward):
    for _ in range(5):
        for number in range(4):
            ward.add(number)
    with ward.store.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(schema.instances)).scalar() == 4
    assert ward.study.series[0].instance_count == 4
    assert ward.study.series[0].verdict is not Verdict.CAP
