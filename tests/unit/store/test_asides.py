from __future__ import annotations

import pytest

from node.domain.delivery import DeliveryState
from node.domain.errors import IllegalTransition, StoreError, UnknownSubject
from node.domain.identity import PatientKey
from node.domain.study import AsideReason, Intake, SeriesState, StudyState
from node.store.integrity import check

CORRECTED = {"patient_name": "Doe^Janet", "patient": PatientKey(patient_id="P-9", issuer="HOSPITAL")}


def reasons(ward) -> list[AsideReason]:
    return [aside.reason for aside in ward.store.asides.list()]


def test_the_same_image_leaves_no_row_and_no_file(ward):
    ward.add(1)
    ward.add(1, data=b"other transfer syntax")
    (aside,) = ward.store.asides.to_compare()
    ward.store.asides.same(aside.id)
    assert ward.store.asides.list() == []
    assert check(ward.store) == []
    assert len(list(ward.store.files.names())) == 1
    with pytest.raises(UnknownSubject):
        ward.store.asides.same(aside.id)


def test_a_correction_holds_the_study_and_names_keywords_only(ward):
    ward.add(1)
    ward.add(1, data=b"corrected", patient_name="Doe^Janet", accession_number="A2")
    (aside,) = ward.store.asides.to_compare()
    ward.store.asides.correction(aside.id)
    study = ward.study
    assert study.state is StudyState.HELD
    assert "PatientName, AccessionNumber" in study.hold_reason
    assert "Janet" not in study.hold_reason
    assert ward.store.asides.to_compare() == []
    assert reasons(ward) == [AsideReason.CORRECTION]


def test_the_comparison_may_name_what_differs(ward):
    ward.add(1)
    ward.add(1, data=b"corrected")
    ward.store.asides.correction(ward.store.asides.to_compare()[0].id, ["PatientComments"])
    assert "PatientComments" in ward.study.hold_reason


def test_other_pixels_and_unreadable_ones_are_kept_and_change_nothing(ward):
    ward.add(1)
    before = ward.study
    ward.add(1, data=b"other pixels")
    ward.add(1, data=b"broken")
    first, second = ward.store.asides.to_compare()
    ward.store.asides.other_pixels(first.id)
    ward.store.asides.unreadable(second.id, "no decoder")
    assert ward.study == before
    assert reasons(ward) == [AsideReason.OTHER_PIXELS, AsideReason.UNREADABLE]
    assert ward.store.asides.list()[1].detail == "no decoder"
    assert check(ward.store) == []


def test_a_confirmed_correction_comes_in_force_and_withdraws_the_results(ward):
    ward.add(1)
    ward.add(2)
    ward.screened(destinations=(("pacs", True), ("other", False)))
    assert ward.add(1, data=b"corrected 1", **CORRECTED) is Intake.CONFLICT
    ward.add(2, data=b"corrected 2", **CORRECTED)
    assert ward.add(3, **CORRECTED) is Intake.CONFLICT
    for aside in ward.store.asides.to_compare():
        ward.store.asides.correction(aside.id)
    study = ward.study
    assert study.state is StudyState.HELD

    ward.store.asides.confirm_correction(study.id, "Ada", "name was wrong")

    corrected = ward.study
    assert corrected.state is StudyState.RECEIVING
    assert corrected.hold_reason == ""
    assert (corrected.patient_name, corrected.patient.patient_id) == ("Doe^Janet", "P-9")
    instances = ward.store.studies.instances(corrected.series[0].id)
    assert [ward.store.files.path(item.object_key).read_bytes()[:9] for item in instances[:2]] == [
        b"corrected"
    ] * 2
    assert {item.header.patient_name for item in instances} == {"Doe^Janet"}
    assert len(instances) == 3, "what was in conflict with the old patient fits the new one"
    assert corrected.series[0].state is SeriesState.RECEIVING
    assert reasons(ward) == [AsideReason.REPLACED, AsideReason.REPLACED]
    assert check(ward.store) == []
    assert ward.store.screenings.current_version(study.id, "covid") is None
    assert ward.store.screenings.next_version(study.id, "covid") == 2
    states = {delivery.state for delivery in ward.store.outbox.for_study(study.id)}
    assert states == {DeliveryState.CANCELLED}
    assert ward.store.operations.audit_trail()[0].action == "confirm-correction"
    ward.screened("recipe-2", version=2)
    assert ward.store.screenings.current_version(study.id, "covid").version == 2


def test_of_two_corrections_the_later_one_counts(ward):
    ward.add(1)
    for name in ("First", "Second"):
        ward.add(1, data=name.encode(), patient_name=name)
    for aside in ward.store.asides.to_compare():
        ward.store.asides.correction(aside.id)
    ward.store.asides.confirm_correction(ward.study.id, "Ada", "twice")
    assert ward.study.patient_name == "Second"
    (instance,) = ward.store.studies.instances(ward.study.series[0].id)
    assert ward.store.files.path(instance.object_key).read_bytes() == b"Second"
    assert check(ward.store) == []


def test_there_must_be_a_correction_of_a_held_study_and_a_reason(ward):
    ward.add(1)
    with pytest.raises(IllegalTransition):
        ward.store.asides.confirm_correction(ward.study.id, "Ada", "why")
    ward.store.studies.hold(ward.study.id, "Ada", "look")
    with pytest.raises(UnknownSubject):
        ward.store.asides.confirm_correction(ward.study.id, "Ada", "why")
    ward.add(1, data=b"corrected", patient_name="Doe^Janet")
    ward.store.asides.correction(ward.store.asides.to_compare()[0].id)
    with pytest.raises(StoreError):
        ward.store.asides.confirm_correction(ward.study.id, "Ada", " ")
    assert ward.study.state is StudyState.HELD
    assert ward.study.patient_name == "Doe^Jane"


def test_an_object_that_still_contradicts_stays_aside(ward):
    ward.add(1)
    ward.add(2, data=b"stranger", patient=PatientKey(patient_id="P-77"))
    ward.add(1, data=b"corrected", **CORRECTED)
    ward.store.asides.correction(ward.store.asides.to_compare()[0].id)
    ward.store.asides.confirm_correction(ward.study.id, "Ada", "name was wrong")
    assert reasons(ward) == [AsideReason.PATIENT_CONFLICT, AsideReason.REPLACED]
    assert ward.study.series[0].instance_count == 1
