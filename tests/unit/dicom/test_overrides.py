"""Attributes put right by hand: what is allowed, and what goes with the wrongly recorded patient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from node.dicom.overrides import (
    CORRECTABLE,
    OF_THE_PATIENT,
    PATIENT,
    checked,
    overridden,
    overridden_header,
    overtaken,
)
from node.domain.errors import AttributeRefused
from tests.conftest import ct_header


@pytest.mark.parametrize(
    ("keyword", "value", "kept"),
    [
        ("PatientName", " Doe^Janet ", "Doe^Janet"),
        ("PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("PatientName", "", ""),
        ("PatientID", "P-9", "P-9"),
        ("IssuerOfPatientID", "", ""),
        ("PatientBirthDate", "20240229", "20240229"),
        ("PatientSex", "F", "F"),
        ("AccessionNumber", "A" * 16, "A" * 16),
    ],
)
def test_what_a_value_representation_allows(keyword: str, value: str, kept: str) -> None:
    assert checked(keyword, value) == kept


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", " "),
        ("PatientID", "P\\9"),
        ("PatientID", "P\n9"),
        ("PatientID", "P\udc80"),
        ("PatientID", "P" * 65),
        ("PatientName", "a=b=c=d"),
        ("PatientName", "a^b^c^d^e^f"),
        ("PatientName", "a" * 65),
        ("PatientBirthDate", "20230229"),
        ("PatientBirthDate", "29.02.2024"),
        ("PatientBirthDate", "２０２４０２２９"),
        ("PatientSex", "f"),
        ("AccessionNumber", "A" * 17),
        ("StudyInstanceUID", "1.2.3"),
        ("patientname", "Doe"),
        ("x\x1b[2J" * 100, "y"),
    ],
)
def test_what_is_refused_without_repeating_it(keyword: str, value: str) -> None:
    with pytest.raises(AttributeRefused) as refused:
        checked(keyword, value)
    assert "\x1b" not in str(refused.value)
    assert value == " " or f" {value} " not in str(refused.value)


@given(st.sampled_from(CORRECTABLE), st.text(max_size=80))
def test_what_is_kept_is_kept_again(keyword: str, value: str) -> None:
    try:
        kept = checked(keyword, value)
    except AttributeRefused:
        return
    assert checked(keyword, kept) == kept
    kept.encode()


def received() -> Dataset:
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 100"
    data_set.PatientName, data_set.PatientID = "Buc^Jérôme", "P-1"
    data_set.PatientBirthDate, data_set.PatientAge = "19610203", "065Y"
    data_set.OtherPatientNames = "Other^One"
    other = Dataset()
    other.PatientID, other.TypeOfPatientID = "P-0", "TEXT"
    data_set.OtherPatientIDsSequence = [other]
    data_set.AccessionNumber = "A1"
    data_set.ReferencedRequestSequence = [Dataset()]
    data_set.RequestAttributesSequence = [Dataset()]
    return data_set


def test_another_patient_takes_the_record_of_the_first_one_along() -> None:
    found = overridden(received(), {"PatientID": "P-9", "PatientName": "山田^太郎"})
    assert (found.PatientID, str(found.PatientName), found.AccessionNumber) == ("P-9", "山田^太郎", "A1")
    assert not [keyword for keyword in (*OF_THE_PATIENT, "ReferencedRequestSequence") if keyword in found]
    assert "RequestAttributesSequence" not in found
    assert found.PatientAge == "065Y"


def test_a_corrected_spelling_takes_nothing_along() -> None:
    found = overridden(received(), {"PatientName": "Buc^Jerome"})
    assert found.OtherPatientNames == "Other^One"
    assert "ReferencedRequestSequence" in found


def test_another_order_takes_its_request_along() -> None:
    found = overridden(received(), {"AccessionNumber": "A2"})
    assert "ReferencedRequestSequence" not in found
    assert "OtherPatientIDsSequence" in found


def test_another_birth_date_takes_the_age_along() -> None:
    found = overridden(received(), {"PatientBirthDate": ""})
    assert "PatientAge" not in found
    assert not found.PatientBirthDate


def test_nothing_put_right_changes_nothing() -> None:
    assert overridden(received(), {}) == received()


@pytest.mark.parametrize(("born", "age"), [("20100101", 14.0), ("", None), ("29990101", None)])
def test_the_age_follows_the_corrected_birth_date(born: str, age: float | None) -> None:
    header = ct_header(1, study_date="20240102", patient_age_years=54.0)
    assert overridden_header(header, {"PatientBirthDate": born}).patient_age_years == age
    assert overridden_header(header, {"PatientName": "Doe"}).patient_age_years == 54.0


@given(st.sets(st.sampled_from(CORRECTABLE)), st.sets(st.sampled_from(CORRECTABLE)))
def test_nothing_of_a_patient_is_kept_against_a_later_correction(kept: set[str], corrected: set[str]) -> None:
    void = overtaken(kept, corrected)
    assert void <= kept
    assert kept & corrected <= void
    if corrected & set(PATIENT):
        assert void == kept
