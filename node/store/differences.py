"""In which attributes two headers differ, by DICOM keyword; never by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from node.dicom.text import normalised_name
from node.domain.study import InstanceHeader

PATIENT_ATTRIBUTES: Final[Mapping[str, str]] = {  # PS3.3 C.7.1.1
    "PatientName": "patient_name",
    "PatientID": "patient",
    "PatientBirthDate": "patient_birth_date",
    "PatientSex": "patient_sex",
}
STUDY_ATTRIBUTES: Final[Mapping[str, str]] = {  # PS3.3 C.7.2.1, with those of the patient
    **PATIENT_ATTRIBUTES,
    "AccessionNumber": "accession_number",
    "StudyDate": "study_date",
    "StudyTime": "study_time",
    "StudyID": "study_id",
    "StudyDescription": "study_description",
}
ATTRIBUTES: Final[Mapping[str, str]] = {  # PS3.3 C.7.3.1, with those of patient and study
    **STUDY_ATTRIBUTES,
    "SeriesNumber": "series_number",
    "SeriesDescription": "series_description",
    "Modality": "modality",
    "BodyPartExamined": "body_part_examined",
}
"""Field of `InstanceHeader` by keyword."""


def differing_keywords(
    before: InstanceHeader, after: InstanceHeader, attributes: Mapping[str, str] = ATTRIBUTES
) -> tuple[str, ...]:
    """Return the keywords of the attributes in which two headers differ."""
    return tuple(keyword for keyword in attributes if _value(before, keyword) != _value(after, keyword))


def contradicting_keywords(before: InstanceHeader, after: InstanceHeader) -> tuple[str, ...]:
    """Return the keywords of the patient attributes that are present in both headers and differ.

    An absent value (they are of type 2, PS3.3 C.7.1.1) contradicts nothing.
    """
    return tuple(
        keyword
        for keyword in differing_keywords(before, after, PATIENT_ATTRIBUTES)
        if _value(before, keyword) and _value(after, keyword)
    )


def uncorrected(instance: InstanceHeader, corrected: InstanceHeader, keywords: Sequence[str]) -> bool:
    """Whether an instance bears another value than the corrected one in any of the attributes."""
    return any(
        _value(instance, keyword) and _value(instance, keyword) != _value(corrected, keyword)
        for keyword in keywords
    )


def _value(header: InstanceHeader, keyword: str) -> object:
    value = getattr(header, ATTRIBUTES[keyword])
    return normalised_name(value) if keyword == "PatientName" else value
