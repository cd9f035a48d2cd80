"""Patient and study attributes that an operator has put right: which ones, their values, and where they go.

The received objects are never changed. What the results are issued under is: the attributes below take the
place of the received ones, and what belongs to the wrongly recorded patient or order goes with it.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Collection, Mapping
from datetime import date
from typing import Final

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from node.dicom.ages import years_between
from node.domain.errors import AttributeRefused
from node.domain.study import InstanceHeader

PATIENT: Final = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
"""They say together who it is (PS3.3 C.7.1.1)."""
STUDY: Final = ("AccessionNumber", "StudyID", "StudyDescription", "ReferringPhysicianName")
"""PS3.3 C.7.2.1; dates and times stay those of the acquisition."""
CORRECTABLE: Final = (*PATIENT, *STUDY)

IDENTIFIERS: Final = frozenset({"PatientID", "IssuerOfPatientID"})
OF_THE_PATIENT: Final = (
    "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientBirthTime",
    "EthnicGroup",
    "Occupation",
    "PatientComments",
    "AdditionalPatientHistory",
    "AdmittingDiagnosesDescription",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)
"""Go with another PatientID or issuer: they came from the record of whoever was meant at first."""
OF_THE_ORDER: Final = (
    "IssuerOfAccessionNumberSequence",
    "ReferencedRequestSequence",
    "RequestAttributesSequence",
)
"""Go with another AccessionNumber, and with another PatientID or issuer."""

LONGEST: Final = {"LO": 64, "PN": 64, "SH": 16}  # PS3.5 table 6.2-1; of PN in each component group
NAME_GROUPS: Final = 3  # PS3.5 section 6.2.1.1: alphabetic, ideographic, phonetic
NAME_COMPONENTS: Final = 5
SEXES: Final = ("", "M", "F", "O")  # PS3.3 C.7.1.1
_DATE: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")  # PS3.5 table 6.2-1, VR DA


def checked(keyword: str, value: str) -> str:
    """Return a value in the form in which it is kept.

    Parameters
    ----------
    keyword : str
        DICOM keyword.
    value : str
        As an operator gives it; empty takes the attribute's value away.

    Raises
    ------
    AttributeRefused
        This attribute is not put right here, or its value representation (PS3.5 section 6.2) does not allow
        the value. The message does not repeat the value.
    """
    if keyword not in CORRECTABLE:
        raise AttributeRefused(
            f"{keyword[:64]!a} is none of the attributes that can be corrected: {', '.join(CORRECTABLE)}"
        )
    text = value.strip()
    problem = _problem(keyword, dictionary_VR(keyword), text)
    if problem:
        raise AttributeRefused(f"{keyword}: {problem}; correct the value")
    return text


def overridden(data_set: Dataset, values: Mapping[str, str]) -> Dataset:
    """Put the attributes of a source instance right, in place, and return it.

    Parameters
    ----------
    data_set : pydicom.dataset.Dataset
        Headers of a received object, read for this purpose.
    values : mapping
        Value by keyword, from `checked`.
    """
    for keyword in _void(values):
        if keyword in data_set:
            delattr(data_set, keyword)
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        if tag is not None:
            made = DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE)
            data_set[tag] = made
    return data_set


def overridden_header(header: InstanceHeader, values: Mapping[str, str]) -> InstanceHeader:
    """Return a header with what decides whether the patient is one for the model: the age.

    Where the date of birth is put right, PatientAge (0010,1010) is not believed: it was derived from the
    wrong one.
    """
    born = values.get("PatientBirthDate")
    if born is None:
        return header
    age = years_between(born, header.study_date)
    return dataclasses.replace(header, patient_birth_date=born, patient_age_years=age)


def overtaken(kept: Collection[str], corrected: Collection[str]) -> frozenset[str]:
    """Return which of the kept keywords a later correction of the received objects makes void.

    Parameters
    ----------
    kept : collection of str
        Keywords that an operator had put right.
    corrected : collection of str
        Keywords in which the correction changes the received objects.
    """
    if any(keyword in PATIENT for keyword in corrected):
        return frozenset(kept)  # an order, too, is one of a patient
    return frozenset(keyword for keyword in kept if keyword in corrected)


def _void(values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keywords of what no longer holds beside other values."""
    void: list[str] = []
    if IDENTIFIERS & values.keys():
        void.extend((*OF_THE_PATIENT, *OF_THE_ORDER))
    if "AccessionNumber" in values:
        void.extend(OF_THE_ORDER)
    if "PatientBirthDate" in values:
        void.extend(("PatientAge", "PatientBirthTime"))
    return tuple(dict.fromkeys(void))


def _problem(keyword: str, vr: str, text: str) -> str:
    """Return what is wrong with a value, or nothing."""
    if not text:
        return "may not be empty, for an archive files by it" if keyword == "PatientID" else ""
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text) or "\\" in text:
        return "control characters and backslashes are not allowed"
    if keyword == "PatientSex":
        return "" if text in SEXES else "must be M, F or O"
    if vr == "DA":
        return "" if _is_date(text) else "must be a date, YYYYMMDD"
    return _too_much(vr, text)


def _too_much(vr: str, text: str) -> str:
    groups = text.split("=") if vr == "PN" else [text]
    if len(groups) > NAME_GROUPS or any(group.count("^") >= NAME_COMPONENTS for group in groups):
        return "has more than 3 component groups, or more than 5 components in one"
    if any(len(group) > LONGEST[vr] for group in groups):
        return f"is longer than {LONGEST[vr]} characters"
    return ""


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None or not text.isascii():
        return False
    try:
        date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return False
    return True
