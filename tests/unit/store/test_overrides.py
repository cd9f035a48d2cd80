"""Attributes that an operator puts right beside the received ones."""

from __future__ import annotations

import pytest

from node.domain.errors import AttributeRefused, StoreError, UnknownSubject
from node.domain.identity import PatientKey
from node.domain.result import Withdrawal
from node.domain.study import Intake, StudyState

ADA = {"by": "Ada", "reason": "wrong patient at the console"}
RIGHT = {"PatientID": "P-9", "PatientName": "Doe^Janet"}


@pytest.fixture
def screened(ward):
    ward.store.operations.go_live("pacs", "Ada", "test")
    ward.add(1)
    ward.screened()
    return ward


def acts(ward) -> list[str]:
    return [item.subject for item in ward.store.operations.audit_trail(20) if item.action == "correct"]


def test_results_are_withdrawn_and_issued_again(screened):
    study = screened.study
    screened.store.outbox.claim("pacs", limit=1)
    screened.store.overrides.correct(study.id, RIGHT, **ADA)
    assert screened.store.overrides.of(study.id) == RIGHT
    assert screened.study.state is StudyState.RECEIVING, "it settles, and is screened again"
    assert screened.study.hold_reason == ""
    assert screened.store.screenings.current_version(study.id, "covid") is None
    (item,) = screened.store.withdrawals.to_note()
    assert (item.title, item.destinations) == (Withdrawal.PATIENT_SAFETY, ["pacs"])
    screened.screened("recipe-2", version=2)
    assert screened.store.screenings.current_version(study.id, "covid").version == 2


def test_the_received_ones_are_kept_and_decide_on_what_arrives(screened):
    screened.store.overrides.correct(screened.study.id, RIGHT, **ADA)
    assert screened.study.patient.patient_id == "P-1"
    assert screened.study.patient_name == "Doe^Jane"
    assert screened.add(2) is Intake.NEW, "the scanner goes on under what it was told"
    assert screened.study.state is StudyState.RECEIVING
    assert screened.add(3, patient=PatientKey(patient_id="P-9")) is Intake.CONFLICT


def test_a_screening_on_its_way_is_void(ward):
    ward.add(1)
    ward.settle()
    running = ward.claim()
    ward.store.overrides.correct(ward.study.id, RIGHT, **ADA)
    assert not ward.finish(running)
    ward.settle()
    assert ward.finish(ward.claim())


def test_a_held_study_stays_held(screened):
    screened.store.studies.hold(screened.study.id, "Bob", "look")
    screened.store.overrides.correct(screened.study.id, RIGHT, **ADA)
    assert screened.study.state is StudyState.HELD
    assert screened.study.hold_reason == "held by Bob: look"


def test_taken_back_one_by_one(screened):
    study = screened.study
    screened.store.overrides.correct(study.id, RIGHT, **ADA)
    screened.screened("recipe-2", version=2)
    screened.store.overrides.correct(study.id, {}, unset=["PatientName"], by="Bob", reason="it was right")
    assert screened.store.overrides.of(study.id) == {"PatientID": "P-9"}
    assert screened.store.screenings.current_version(study.id, "covid") is None
    (left,) = screened.store.overrides.list(study.id)
    assert (left.keyword, left.by, left.reason) == ("PatientID", "Ada", ADA["reason"])
    assert acts(screened) == [
        f"study {study.id}: PatientName unset",
        f"study {study.id}: PatientID set, PatientName set",
    ]


def test_no_value_stands_in_the_audit_trail(screened):
    screened.store.overrides.correct(screened.study.id, RIGHT, **ADA)
    assert not any("Janet" in item or "P-9" in item for item in acts(screened))


@pytest.mark.parametrize(
    ("values", "unset", "message"),
    [
        ({"Modality": "MR"}, (), "Modality"),
        ({"PatientBirthDate": "19990231"}, (), "PatientBirthDate"),
        ({}, ("PatientName",), "not corrected before"),
        ({"PatientName": "A"}, ("PatientName",), "at once"),
        ({}, (), "nothing is changed"),
        ({"PatientID": "P-8"}, (), "nothing is changed"),
    ],
)
def test_an_order_that_is_not_allowed_or_idle_changes_nothing(screened, values, unset, message):
    study = screened.study
    if values.get("PatientID"):
        screened.store.overrides.correct(study.id, values, **ADA)
    before = screened.study, screened.store.withdrawals.for_study(study.id), acts(screened)
    with pytest.raises(AttributeRefused, match=message):
        screened.store.overrides.correct(study.id, values, unset=unset, **ADA)
    assert (screened.study, screened.store.withdrawals.for_study(study.id), acts(screened)) == before


def test_there_must_be_a_study_and_a_reason(screened):
    with pytest.raises(UnknownSubject):
        screened.store.overrides.correct(99, RIGHT, **ADA)
    with pytest.raises(StoreError, match="--reason"):
        screened.store.overrides.correct(screened.study.id, RIGHT, by="Ada", reason=" ")
    assert screened.store.overrides.of(screened.study.id) == {}


@pytest.mark.parametrize(
    ("correction", "left"),
    [
        ({"patient_sex": "O"}, set()),
        ({"accession_number": "A7"}, {"PatientID", "PatientName"}),
        ({"study_description": "other"}, {"PatientID", "PatientName", "AccessionNumber"}),
    ],
)
def test_a_later_correction_of_the_objects_decides_anew(screened, correction, left):
    """Else a name that was put right for one patient could stand beside the number of another."""
    study = screened.study
    screened.store.overrides.correct(study.id, {**RIGHT, "AccessionNumber": "A5"}, **ADA)
    screened.add(1, data=b"corrected", **correction)
    screened.store.asides.correction(screened.store.asides.to_compare()[0].id)
    screened.store.asides.confirm_correction(study.id, "Bob", "from the archive")
    assert set(screened.store.overrides.of(study.id)) == left
