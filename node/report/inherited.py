"""What a result object takes over from its source images.

Text is decoded by the source's own SpecificCharacterSet and written as Unicode. Identity (names, numbers) is
never altered; other values that do not fit their value representation are left out, so that one malformed
header cannot make a report invalid or prevent it.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Final

from pydicom import config
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from node.dicom.dataset_text import SPECIFIC_CHARACTER_SET, character_set_of, element_text
from node.dicom.text import CharacterSet
from node.domain.errors import ReportImpossible
from node.domain.identity import digest, is_valid_uid

EMPTY_ALLOWED: Final = (  # Type 2 of the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1)
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
INHERITED: Final = (
    *EMPTY_ALLOWED,
    "StudyInstanceUID",
    # Patient (PS3.3 C.7.1.1)
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientBirthTime",
    "EthnicGroup",
    "PatientComments",
    "QualityControlSubject",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    # General Study (PS3.3 C.7.2.1)
    "IssuerOfAccessionNumberSequence",
    "StudyDescription",
    "PhysiciansOfRecord",
    "ProcedureCodeSequence",
    "RequestingService",
    # Patient Study (PS3.3 C.7.2.2)
    "AdmittingDiagnosesDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "Occupation",
    "AdditionalPatientHistory",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    # Clinical Trial Subject and Study (PS3.3 C.7.1.3, C.7.2.3)
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "LongitudinalTemporalOffsetFromEvent",
    "LongitudinalTemporalEventType",
)
SCANNER: Final = (  # PS3.3 C.12.1, Contributing Equipment Sequence
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "DeviceUID",
)
LOSSY: Final = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
REQUEST_ITEM: Final = (  # Type 2 within Referenced Request Sequence (PS3.3 table C.17-2)
    "AccessionNumber",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
)
REQUIRED_IN_ITEM: Final = {  # Type 1: an item without these is left out
    "OtherPatientIDsSequence": ("PatientID", "TypeOfPatientID"),
    "ReferencedStudySequence": ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"),
}
REQUIRED_IN_CODE: Final = ("CodingSchemeDesignator", "CodeMeaning")  # PS3.3 table 8.8-1
CODE_VALUES: Final = ("CodeValue", "LongCodeValue", "URNCodeValue")
SEXES: Final = ("M", "F", "O")  # PS3.3 C.7.1.1
IDENTITY: Final = frozenset(
    tag_for_keyword(keyword)
    for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "StudyID", "AccessionNumber")
)
"""Copied as they are, whatever their length: by these a PACS finds the patient and the study."""
DEEPEST_ITEM: Final = 6

TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR", "AE"})
LONGEST: Final = {"LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024, "AE": 16}
"""Characters of one value, of PN those of one component group (PS3.5 table 6.2-1)."""
SEVERAL_LINES: Final = frozenset({"LT", "ST", "UT"})
"""Value representations of one value with any lines (PS3.5 table 6.2-1): a backslash separates nothing."""
LAYOUT: Final = "\t\n\f\r"
ONE: Final = "1"
"""Value multiplicity (PS3.6 section 6)."""
NUMBER_VRS: Final = frozenset({"US", "UL", "SS", "SL", "FL", "FD"})
_STRICT: Final = {  # PS3.5 table 6.2-1
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9 _]{1,16}"),
    "DA": re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"),
    "DS": re.compile(r"(?=.{1,16}\Z) *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *"),
    "DT": re.compile(r"\d{4}(\d\d){0,5}(\.\d{1,6})?([+-]\d{4})?"),
    "IS": re.compile(r"(?=.{1,12}\Z) *[+-]?\d+ *"),
    "TM": re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d|60)?)?(?<=\d)(\.\d{1,6})?"),
}
_OFFSET: Final = re.compile(r"([+-])(\d\d)([0-5]\d)")  # PS3.3 C.12.1, TimezoneOffsetFromUTC
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    NotImplementedError,
    OSError,
    RecursionError,
    struct.error,
)


def inherit(source: Dataset) -> Dataset:
    """Return the patient and study attributes of a source instance, as a result object carries them.

    Raises
    ------
    ReportImpossible
        The source has no valid StudyInstanceUID.
    """
    target = Dataset()
    copy(source, target, INHERITED)
    for keyword in EMPTY_ALLOWED:
        if keyword not in target:
            setattr(target, keyword, None)
    if target.PatientSex not in SEXES:
        target.PatientSex = None
    if "StudyInstanceUID" not in target:
        raise ReportImpossible("the source instance has no valid StudyInstanceUID; send the study again")
    return target


def attributes_digest(source: Dataset) -> str:
    """Return the digest of what results take over of the patient, the study, the orders and the scanner."""
    parts = [inherit(source), *requests(source), *items(source, "RequestAttributesSequence")]
    equipment = Dataset()
    copy(source, equipment, (*SCANNER, *LOSSY))
    parts.append(equipment)
    zone = text(source, "TimezoneOffsetFromUTC")
    return digest("attributes", zone, *([*_canonical(part)] for part in parts))


def copy(source: Dataset, target: Dataset, keywords: tuple[str, ...]) -> None:
    """Copy the attributes that are there and have a value that may be written."""
    character_set = character_set_of(source)
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        if tag is not None and tag in source:
            _copy_element(source, BaseTag(tag), target, character_set, DEEPEST_ITEM)


def text(source: Dataset, keyword: str) -> str:
    """Return an attribute as Unicode; several values are joined by a backslash, an absent one is empty."""
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in source:
        return ""
    return element_text(source, BaseTag(tag), character_set_of(source))


def offset(source: Dataset) -> timezone | None:
    """Return the TimezoneOffsetFromUTC (0008,0201), or None where it is absent or malformed."""
    match = _OFFSET.fullmatch(text(source, "TimezoneOffsetFromUTC"))
    if match is None:
        return None
    distance = timedelta(hours=int(match[2]), minutes=int(match[3]))
    if distance > timedelta(hours=14):
        return None
    return timezone(-distance if match[1] == "-" else distance)


def local_time(source: Dataset, moment: datetime) -> datetime:
    """Return ``moment`` in the zone in which the source states its dates and times."""
    zone = offset(source)
    return moment if zone is None else moment.astimezone(zone)


def requests(source: Dataset) -> list[Dataset]:
    """Return items of the Referenced Request Sequence (PS3.3 table C.17-2): the orders being fulfilled.

    They are the source's own, or made of its Request Attributes Sequence (PS3.3 C.7.3.1).
    """
    study = text(source, "StudyInstanceUID")
    wrapped = Dataset()
    copy(source, wrapped, ("ReferencedRequestSequence",))
    if "ReferencedRequestSequence" not in wrapped:
        copy(source, wrapped, ("RequestAttributesSequence",))
    items = []
    for element in wrapped:
        for request in element.value:
            item = Dataset()
            copy(request, item, (*REQUEST_ITEM, "IssuerOfAccessionNumberSequence", "StudyInstanceUID"))
            copy(request, item, ("RequestedProcedureCodeSequence", "ReferencedStudySequence"))
            for keyword in REQUEST_ITEM:
                if keyword not in item:
                    setattr(item, keyword, None)
            for keyword in ("RequestedProcedureCodeSequence", "ReferencedStudySequence"):
                if keyword not in item:
                    setattr(item, keyword, [])
            item.setdefault("StudyInstanceUID", study)
            if not item.AccessionNumber:
                item.AccessionNumber = text(source, "AccessionNumber")
            items.append(item)
    return items


def items(source: Dataset, keyword: str) -> list[Dataset]:
    """Return clean copies of the items of one sequence."""
    wrapped = Dataset()
    copy(source, wrapped, (keyword,))
    return list(wrapped.get(keyword, []))


def sequence(source: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence as the source has them; none where it is absent or malformed."""
    tag = tag_for_keyword(keyword)
    found = _value(source, BaseTag(tag)) if tag is not None and tag in source else None
    return list(found) if isinstance(found, Sequence) else []


def is_image(source: Dataset) -> bool:
    """Whether the instance has an Image Pixel module (PS3.3 C.7.6.3)."""
    return "Rows" in source and "Columns" in source


def all_ascii(data_set: Dataset) -> bool:
    """Whether every text of a data set lies within the default character repertoire (PS3.5 section 6.1)."""
    return all(value.isascii() for value in _strings(data_set))


def _canonical(data_set: Dataset) -> Iterator[str]:
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                yield f"{element.tag:08X} item"
                yield from _canonical(item)
            yield f"{element.tag:08X} end"
        else:
            several = element.value if isinstance(element.value, MultiValue) else (element.value,)
            yield f"{element.tag:08X} " + "\\".join(map(str, several))


def _strings(data_set: Dataset) -> Iterator[str]:
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                yield from _strings(item)
        elif element.VR in TEXT_VRS:
            value = element.value
            yield from map(str, value if isinstance(value, MultiValue) else (value,))


def _copy_element(
    source: Dataset, tag: BaseTag, target: Dataset, character_set: CharacterSet, depth: int
) -> None:
    vr = dictionary_VR(tag)
    if vr == "SQ":
        copies = list(_copied_items(source, tag, character_set, depth))
        if copies:
            target.add(DataElement(tag, vr, copies))
    elif vr in NUMBER_VRS:
        value = _value(source, tag)
        if value is not None and not (isinstance(value, MultiValue) and dictionary_VM(tag) == ONE):
            target.add(DataElement(tag, vr, value))
    else:
        string = element_text(source, tag, character_set)
        if string and (tag in IDENTITY or (_fits(vr, string) and not _has_too_many(tag, vr, string))):
            target.add(DataElement(tag, vr, string, validation_mode=config.IGNORE))


def _copied_items(
    source: Dataset, tag: BaseTag, character_set: CharacterSet, depth: int
) -> Iterator[Dataset]:
    found = _value(source, tag) if depth else None
    for item in found if isinstance(found, Sequence) else ():
        clean = Dataset()
        inner = character_set_of(item, character_set)
        for inner_tag in sorted(item.keys()):
            if keyword_for_tag(inner_tag) and inner_tag != SPECIFIC_CHARACTER_SET:
                _copy_element(item, inner_tag, clean, inner, depth - 1)
        if len(clean) and _is_whole(keyword_for_tag(tag), clean):
            yield clean


def _is_whole(sequence: str, item: Dataset) -> bool:
    """Whether a copied item has what its sequence requires."""
    if sequence.endswith("CodeSequence"):
        return all(item.get(keyword) for keyword in REQUIRED_IN_CODE) and any(
            item.get(keyword) for keyword in CODE_VALUES
        )
    return all(item.get(keyword) for keyword in REQUIRED_IN_ITEM.get(sequence, ()))


def _value(source: Dataset, tag: BaseTag) -> object:
    """Return a value as pydicom converts it, or None where it cannot be converted."""
    try:
        return source[tag].value
    except _UNREADABLE:
        return None


def _has_too_many(tag: BaseTag, vr: str, string: str) -> bool:
    """Whether an attribute of one value has several: a backslash in a text separates them."""
    return "\\" in string and vr not in SEVERAL_LINES and dictionary_VM(tag) == ONE


def _fits(vr: str, string: str) -> bool:
    if vr in TEXT_VRS:
        return _fits_text(vr, string)
    parts = string.split("\\")
    if vr == "UI":
        return all(is_valid_uid(part) for part in parts)
    pattern = _STRICT.get(vr)
    return pattern is not None and all(pattern.fullmatch(part) for part in parts)


def _fits_text(vr: str, string: str) -> bool:
    if vr in SEVERAL_LINES:
        parts = ["".join(character for character in string if character not in LAYOUT)]
    else:
        parts = re.split(r"[\\=]" if vr == "PN" else r"\\", string)
    return all(len(part) <= LONGEST.get(vr, len(part)) and not any(map(_is_control, part)) for part in parts)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"
