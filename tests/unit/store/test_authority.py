"""What a source with authority may correct by itself, and what waits for an operator."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from sqlalchemy import event

from node.domain.identity import PatientKey
from node.domain.study import AsideReason, StudyState

RIS = frozenset({"RIS"})
RIGHT = PatientKey(patient_id="P-9", issuer="HOSPITAL")


def send(ward, *numbers: int, sender: str = "RIS", compared: bool = True, **changes) -> None:
    changes = {"patient": RIGHT, **changes}
    for number in numbers:
        data = f"{number} {sorted(changes.items())}".encode()
        arrival = ward.arrival(ward.make_header(number, **changes), data=data)
        ward.store.intake.add(dataclasses.replace(arrival, calling_ae_title=sender))
    if compared:
        for aside in ward.store.asides.to_compare():
            ward.store.asides.correction(aside.id)


def confirmable(ward) -> list[int]:
    return ward.store.asides.confirmable(RIS, settled_since=ward.clock.now())


def confirm(ward) -> bool:
    study_id, near = ward.study.id, confirmable(ward)
    confirmed = ward.store.asides.confirm_by_source(study_id, RIS, settled_since=ward.clock.now())
    assert not confirmed or near == [study_id]
    return confirmed


@pytest.fixture
def study(ward):
    for number in (1, 2, 3):
        ward.add(number)
    ward.screened()
    return ward


def test_a_whole_study_under_another_patient_is_confirmed_by_itself(study):
    send(study, 1, 2, 3)
    assert study.study.state is StudyState.HELD
    assert confirmable(study) == [study.study.id]
    assert confirm(study)
    assert study.study.patient == RIGHT
    assert study.study.state is StudyState.RECEIVING
    assert study.store.screenings.current_version(study.study.id, "covid") is None
    assert [item.by for item in study.store.withdrawals.for_study(study.study.id)] == ["RIS"]
    assert not confirm(study), "there is nothing more to confirm"


def test_another_issuer_is_another_patient(study):
    send(study, 1, 2, 3, patient=PatientKey(patient_id="P-1", issuer="ELSEWHERE"))
    assert study.study.state is StudyState.HELD
    assert confirm(study)
    assert study.study.patient.issuer == "ELSEWHERE"


def test_a_part_of_a_study_stays_held_and_untouched(study):
    send(study, 1, 2)
    assert not confirm(study)
    assert study.study.state is StudyState.HELD
    assert study.study.patient.patient_id == "P-1"
    send(study, 3)
    assert confirm(study)


def test_a_new_image_of_the_corrected_patient_comes_in_with_it(study):
    send(study, 1, 2, 3, 4)
    assert confirm(study)
    assert study.study.series[0].instance_count == 4
    assert study.store.asides.list()[0].reason is AsideReason.REPLACED


@pytest.mark.parametrize(
    "other",
    [
        {"patient": PatientKey(patient_id="STRANGER")},
        {"sender": "CT1"},
        {"series_instance_uid": "1.2.826.0.1.99", "study_instance_uid": "1.2.826.0.1.98"},
    ],
)
def test_a_conflict_beside_the_correction_stays_with_the_operator(study, other):
    send(study, 1, 2, 3)
    number = 1 if "series_instance_uid" in other else 4
    send(study, number, compared=False, **other)
    assert not confirm(study)
    assert study.study.patient.patient_id == "P-1"


def test_two_corrections_that_disagree_stay_with_the_operator(study):
    send(study, 1, 2, 3)
    send(study, 1, patient=PatientKey(patient_id="P-7"))
    assert not confirm(study)
    send(study, 2, 3, patient=PatientKey(patient_id="P-7"))
    assert confirm(study), "now the later one is whole"
    assert study.study.patient.patient_id == "P-7"


def test_what_waits_for_its_comparison_is_waited_for(study):
    send(study, 1, 2, 3)
    send(study, 3, patient=PatientKey(patient_id="P-7"), compared=False)
    assert not confirm(study)


def test_what_is_growing_is_waited_for(study):
    send(study, 1, 2, 3)
    before = study.clock.now() - timedelta(seconds=1)
    assert not study.store.asides.confirm_by_source(study.study.id, RIS, settled_since=before)


def test_a_hold_by_hand_and_other_pixels_stay(study):
    send(study, 1, 2, 3)
    study.store.studies.hold(study.study.id, "Ada", "a correction arrived: by letter")
    assert not confirm(study)


def test_other_pixels_under_another_patient_stay_with_the_operator(study):
    send(study, 1, 2)
    send(study, 3, compared=False)
    study.store.asides.other_pixels(study.store.asides.to_compare()[0].id)
    assert not confirm(study)


def test_what_an_operator_put_right_is_not_corrected_without_one(study):
    study.store.overrides.correct(study.study.id, {"PatientID": "P-5"}, by="Ada", reason="asked the ward")
    send(study, 1, 2, 3)
    assert not confirm(study)


def test_what_an_operator_declined_does_not_come_in_force_by_a_part_of_it(study):
    send(study, 1, 2, 3)
    study.store.studies.release(study.study.id, "Ada", "the first one is right")
    study.clock.advance(60)
    send(study, 1, study_description="the same patient again")
    assert study.study.state is StudyState.HELD
    assert not confirm(study)


def test_reasons_for_which_there_is_no_room_still_hold(study):
    for number in range(60):
        study.store.studies.hold(study.study.id, "Ada", f"reason number {number:04d}")
    assert len(study.study.hold_reason) < 1100
    assert study.study.hold_reason.endswith("and more reasons")


def test_a_confirmation_by_hand_leaves_a_conflict_held(study):
    send(study, 4, compared=False, patient=PatientKey(patient_id="STRANGER"))
    send(study, 1, 2, 3, patient=PatientKey(patient_id="P-1"), patient_name="Doe^Janet")
    study.store.asides.confirm_correction(study.study.id, "Ada", "asked the ward")
    assert study.study.patient_name == "Doe^Janet"
    assert study.study.state is StudyState.HELD
    assert study.study.hold_reason == "StudyInstanceUID under two patients"
    study.store.studies.release(study.study.id, "Ada", "the stranger was sent away")
    assert study.study.state is StudyState.RECEIVING


@pytest.mark.parametrize("wrong", ["another source", "not compared", "just now"])
def test_what_may_not_be_confirmed_is_not_looked_at_closely(study, wrong):
    send(study, 1, 2)
    since = study.clock.now()
    study.clock.advance(1)
    send(study, 3, sender="CT1" if wrong == "another source" else "RIS", compared=wrong != "not compared")
    settled_since = since if wrong == "just now" else study.clock.now()
    assert study.store.asides.confirmable(RIS, settled_since=settled_since) == []


def test_what_came_again_is_read_with_what_is_in_force_by_two_statements(study):
    send(study, 1, 2, 3, compared=False)
    seen = []
    engine = study.store.database.engine
    event.listen(engine, "before_cursor_execute", lambda *called: seen.append(called[2]))
    waiting = study.store.asides.to_compare()
    assert [item.existing.header.instance_number for item in waiting] == [1, 2, 3]
    assert len(seen) == 2
