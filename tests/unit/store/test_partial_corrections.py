"""Corrections that reach a part of a study only, come back, or cannot be compared."""

from __future__ import annotations

from node.domain.study import CORRECTION_HOLD, AsideReason, StudyState


def correct(ward, *numbers: int, name: str = "Doe^Janet") -> None:
    """Bring corrected images, and let them be compared."""
    for number in numbers:
        ward.add(number, data=f"{name} {number}".encode(), patient_name=name)
    for aside in ward.store.asides.to_compare():
        ward.store.asides.correction(aside.id)


def names(ward) -> set[str]:
    return {item.header.patient_name for item in ward.store.studies.instances(ward.study.series[0].id)}


def test_a_study_stays_held_until_the_correction_has_reached_every_image(ward):
    for number in (1, 2, 3):
        ward.add(number)
    correct(ward, 2)
    ward.store.asides.confirm_correction(ward.study.id, "Ada", "name was wrong")

    assert names(ward) == {"Doe^Jane", "Doe^Janet"}
    assert ward.study.state is StudyState.HELD, "two names in one study"
    assert ward.study.hold_reason == f"{CORRECTION_HOLD}: PatientName, but 2 of 3 instances are not corrected"

    correct(ward, 1, 3)
    ward.store.asides.confirm_correction(ward.study.id, "Ada", "now all of them")
    assert names(ward) == {"Doe^Janet"}
    assert ward.study.state is StudyState.RECEIVING


def test_what_the_correction_did_not_change_may_differ_between_series(ward):
    ward.add(1)
    ward.add(2, series_instance_uid="1.2.826.0.1.10.2", study_description="CT chest, thin")
    ward.add(1, data=b"corrected", accession_number="A2")
    ward.add(2, data=b"corrected too", accession_number="A2", series_instance_uid="1.2.826.0.1.10.2")
    for aside in ward.store.asides.to_compare():
        ward.store.asides.correction(aside.id, ["AccessionNumber"])
    ward.store.asides.confirm_correction(ward.study.id, "Ada", "wrong order")
    assert ward.study.state is StudyState.RECEIVING
    assert ward.study.accession_number == "A2"


def test_a_correction_that_is_taken_back_is_a_correction_too(ward):
    ward.add(1, data=b"as scanned")
    correct(ward, 1)
    ward.store.asides.confirm_correction(ward.study.id, "Ada", "name was wrong")
    ward.add(1, data=b"as scanned")
    (waiting,) = ward.store.asides.to_compare()
    assert waiting.header.patient_name == "Doe^Jane"
    ward.store.asides.correction(waiting.id)
    assert ward.study.state is StudyState.HELD
    ward.store.asides.confirm_correction(ward.study.id, "Ada", "it was right at first")
    assert names(ward) == {"Doe^Jane"}
    assert [item.reason for item in ward.store.asides.list()] == [AsideReason.REPLACED]


def test_another_name_under_a_known_uid_holds_even_if_the_pixels_cannot_be_compared(ward):
    ward.add(1)
    ward.add(2)
    ward.add(1, data=b"broken", patient_name="Roe^Richard")
    ward.add(2, data=b"other pixels", patient_birth_date="19991231")
    first, second = ward.store.asides.to_compare()
    ward.store.asides.unreadable(first.id, "no decoder")
    assert ward.study.state is StudyState.HELD
    assert "PatientName" in ward.study.hold_reason
    assert "Roe" not in ward.study.hold_reason
    ward.store.asides.other_pixels(second.id)
    assert "PatientBirthDate" in ward.study.hold_reason


def test_nothing_leaves_while_an_object_of_the_study_waits_for_its_comparison(ward):
    ward.store.operations.go_live("pacs", "Ada", "test")
    ward.add(1)
    ward.screened()
    ward.add(1, data=b"corrected", patient_name="Doe^Janet")
    assert ward.store.outbox.claim("pacs", limit=10) == []
    ward.store.asides.same(ward.store.asides.to_compare()[0].id)
    assert len(ward.store.outbox.claim("pacs", limit=10)) == 3
