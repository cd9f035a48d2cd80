"""From the attributes of a match, of C-FIND or QIDO-RS, to what is known of a study, series or instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from node.dicom.dataset_text import character_set_of, element_text
from node.domain.archives import ArchivedInstance, ArchivedSeries, ArchivedStudy
from node.domain.identity import is_valid_uid

STUDY_KEYS: Final = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyDescription",
    "ModalitiesInStudy",
    "PatientID",
    "AccessionNumber",
    "NumberOfStudyRelatedInstances",
)
SERIES_KEYS: Final = (
    "SeriesInstanceUID",
    "Modality",
    "BodyPartExamined",
    "SeriesDescription",
    "NumberOfSeriesRelatedInstances",
)
INSTANCE_KEYS: Final = ("SOPInstanceUID", "SOPClassUID")
MOST_DIGITS: Final = 12
"""Of an Integer String (PS3.5 section 6.2)."""

Values = Mapping[str, str]
"""Text by keyword, several values joined by a backslash."""


def values_of(match: Dataset, keywords: tuple[str, ...]) -> Values:
    """Return the values of a match of C-FIND, by its own SpecificCharacterSet."""
    character_set = character_set_of(match)
    return {keyword: element_text(match, _tag(keyword), character_set).strip(" \0") for keyword in keywords}


def json_values(match: Any, keywords: tuple[str, ...]) -> Values:
    """Return the values of a match of QIDO-RS (PS3.18 annex F); what is none counts as empty."""
    found = match if isinstance(match, dict) else {}
    return {keyword: _json_text(found.get(f"{int(_tag(keyword)):08X}")) for keyword in keywords}


def study_of(values: Values) -> ArchivedStudy | None:
    """Return a study, None when the match does not identify one."""
    uid = values["StudyInstanceUID"]
    if not is_valid_uid(uid):
        return None
    return ArchivedStudy(
        study_instance_uid=uid,
        study_date=values["StudyDate"],
        study_description=values["StudyDescription"],
        modalities=tuple(part.strip() for part in values["ModalitiesInStudy"].split("\\") if part.strip()),
        patient_id=values["PatientID"],
        accession_number=values["AccessionNumber"],
        instance_count=_number(values["NumberOfStudyRelatedInstances"]),
    )


def series_of(values: Values, study_instance_uid: str) -> ArchivedSeries | None:
    """Return a series, None when the match does not identify one."""
    uid = values["SeriesInstanceUID"]
    if not is_valid_uid(uid):
        return None
    return ArchivedSeries(
        study_instance_uid=study_instance_uid,
        series_instance_uid=uid,
        modality=values["Modality"],
        body_part_examined=values["BodyPartExamined"],
        series_description=values["SeriesDescription"],
        instance_count=_number(values["NumberOfSeriesRelatedInstances"]),
    )


def instance_of(values: Values) -> ArchivedInstance | None:
    """Return an instance, None when the match does not identify one."""
    uid, sop_class_uid = values["SOPInstanceUID"], values["SOPClassUID"]
    if not is_valid_uid(uid):
        return None
    return ArchivedInstance(
        sop_instance_uid=uid, sop_class_uid=sop_class_uid if is_valid_uid(sop_class_uid) else ""
    )


def _tag(keyword: str) -> BaseTag:
    return BaseTag(tag_for_keyword(keyword) or 0)


def _json_text(attribute: Any) -> str:
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    if not isinstance(values, list):
        return ""
    return "\\".join(str(value).strip() for value in values if isinstance(value, str | int | float))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None
