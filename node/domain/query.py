"""The query model: levels, and the attributes that can be asked for at each (PS3.4 section C.6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """QueryRetrieveLevel (0008,0052), from the top of the hierarchy down."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"

    @property
    def above(self) -> tuple[Level, ...]:
        """Return the levels above this one, from the top."""
        levels = tuple(Level)
        return levels[: levels.index(self)]


@dataclass(frozen=True, kw_only=True)
class QueryAttribute:
    """An attribute that can be asked for."""

    keyword: str
    tag: int
    vr: str
    """Value representation (PS3.6)."""
    level: Level
    """The highest level at which it can be asked for; it is known at every level below too."""
    matched: bool = True
    """Whether a value of it is matched, and not only returned."""
    gathered: bool = False
    """Whether it is gathered from the levels below: then it is known at its own level alone."""
    items: tuple[QueryAttribute, ...] = ()
    """What can be asked for within the items of a sequence."""
    from_object: bool = False
    """Whether it is read from a stored object rather than from the index."""


def _attribute(keyword: str, tag: int, vr: str, level: Level) -> QueryAttribute:
    return QueryAttribute(keyword=keyword, tag=tag, vr=vr, level=level)


def _counted(keyword: str, tag: int, level: Level) -> QueryAttribute:
    return QueryAttribute(keyword=keyword, tag=tag, vr="IS", level=level, matched=False, gathered=True)


def _gathered(keyword: str, tag: int, vr: str, level: Level) -> QueryAttribute:
    return QueryAttribute(keyword=keyword, tag=tag, vr=vr, level=level, gathered=True)


def _read(
    keyword: str, tag: int, vr: str, level: Level, items: tuple[QueryAttribute, ...] = ()
) -> QueryAttribute:
    return QueryAttribute(keyword=keyword, tag=tag, vr=vr, level=level, items=items, from_object=True)


_CODE = (
    _read("CodeValue", 0x00080100, "SH", Level.IMAGE),
    _read("CodingSchemeDesignator", 0x00080102, "SH", Level.IMAGE),
    _read("CodeMeaning", 0x00080104, "LO", Level.IMAGE),
)
_REQUEST = (
    _read("AccessionNumber", 0x00080050, "SH", Level.SERIES),
    _read("StudyInstanceUID", 0x0020000D, "UI", Level.SERIES),
    _read("ScheduledProcedureStepID", 0x00400009, "SH", Level.SERIES),
    _read("RequestedProcedureID", 0x00401001, "SH", Level.SERIES),
)

ATTRIBUTES = (
    _attribute("PatientName", 0x00100010, "PN", Level.PATIENT),
    _attribute("PatientID", 0x00100020, "LO", Level.PATIENT),
    _attribute("IssuerOfPatientID", 0x00100021, "LO", Level.PATIENT),
    _attribute("PatientBirthDate", 0x00100030, "DA", Level.PATIENT),
    _attribute("PatientSex", 0x00100040, "CS", Level.PATIENT),
    _counted("NumberOfPatientRelatedStudies", 0x00201200, Level.PATIENT),
    _counted("NumberOfPatientRelatedSeries", 0x00201202, Level.PATIENT),
    _counted("NumberOfPatientRelatedInstances", 0x00201204, Level.PATIENT),
    _attribute("StudyDate", 0x00080020, "DA", Level.STUDY),
    _attribute("StudyTime", 0x00080030, "TM", Level.STUDY),
    _attribute("AccessionNumber", 0x00080050, "SH", Level.STUDY),
    _gathered("ModalitiesInStudy", 0x00080061, "CS", Level.STUDY),
    _gathered("SOPClassesInStudy", 0x00080062, "UI", Level.STUDY),
    _attribute("ReferringPhysicianName", 0x00080090, "PN", Level.STUDY),
    _attribute("StudyDescription", 0x00081030, "LO", Level.STUDY),
    _attribute("StudyInstanceUID", 0x0020000D, "UI", Level.STUDY),
    _attribute("StudyID", 0x00200010, "SH", Level.STUDY),
    _counted("NumberOfStudyRelatedSeries", 0x00201206, Level.STUDY),
    _counted("NumberOfStudyRelatedInstances", 0x00201208, Level.STUDY),
    _attribute("Modality", 0x00080060, "CS", Level.SERIES),
    _attribute("Manufacturer", 0x00080070, "LO", Level.SERIES),
    _attribute("StationName", 0x00081010, "SH", Level.SERIES),
    _attribute("SeriesDescription", 0x0008103E, "LO", Level.SERIES),
    _attribute("BodyPartExamined", 0x00180015, "CS", Level.SERIES),
    _attribute("SeriesInstanceUID", 0x0020000E, "UI", Level.SERIES),
    _attribute("SeriesNumber", 0x00200011, "IS", Level.SERIES),
    _counted("NumberOfSeriesRelatedInstances", 0x00201209, Level.SERIES),
    _read("SeriesDate", 0x00080021, "DA", Level.SERIES),
    _read("SeriesTime", 0x00080031, "TM", Level.SERIES),
    _read("InstitutionName", 0x00080080, "LO", Level.SERIES),
    _read("PerformingPhysicianName", 0x00081050, "PN", Level.SERIES),
    _read("OperatorsName", 0x00081070, "PN", Level.SERIES),
    _read("ManufacturerModelName", 0x00081090, "LO", Level.SERIES),
    _read("ProtocolName", 0x00181030, "LO", Level.SERIES),
    _read("PatientPosition", 0x00185100, "CS", Level.SERIES),
    _read("FrameOfReferenceUID", 0x00200052, "UI", Level.SERIES),
    _read("Laterality", 0x00200060, "CS", Level.SERIES),
    _read("PerformedProcedureStepStartDate", 0x00400244, "DA", Level.SERIES),
    _read("PerformedProcedureStepStartTime", 0x00400245, "TM", Level.SERIES),
    _read("PerformedProcedureStepID", 0x00400253, "SH", Level.SERIES),
    _read("PerformedProcedureStepDescription", 0x00400254, "LO", Level.SERIES),
    _read("RequestAttributesSequence", 0x00400275, "SQ", Level.SERIES, _REQUEST),
    _attribute("ImageType", 0x00080008, "CS", Level.IMAGE),
    _attribute("SOPClassUID", 0x00080016, "UI", Level.IMAGE),
    _attribute("SOPInstanceUID", 0x00080018, "UI", Level.IMAGE),
    _attribute("AvailableTransferSyntaxUID", 0x00083002, "UI", Level.IMAGE),
    _attribute("AcquisitionNumber", 0x00200012, "IS", Level.IMAGE),
    _attribute("InstanceNumber", 0x00200013, "IS", Level.IMAGE),
    _attribute("NumberOfFrames", 0x00280008, "IS", Level.IMAGE),
    _attribute("Rows", 0x00280010, "US", Level.IMAGE),
    _attribute("Columns", 0x00280011, "US", Level.IMAGE),
    _attribute("BitsAllocated", 0x00280100, "US", Level.IMAGE),
    _read("InstanceCreationDate", 0x00080012, "DA", Level.IMAGE),
    _read("InstanceCreationTime", 0x00080013, "TM", Level.IMAGE),
    _read("AcquisitionDate", 0x00080022, "DA", Level.IMAGE),
    _read("ContentDate", 0x00080023, "DA", Level.IMAGE),
    _read("AcquisitionTime", 0x00080032, "TM", Level.IMAGE),
    _read("ContentTime", 0x00080033, "TM", Level.IMAGE),
    _read("ConvolutionKernel", 0x00181210, "SH", Level.IMAGE),
    _read("PhotometricInterpretation", 0x00280004, "CS", Level.IMAGE),
    _read("ConceptNameCodeSequence", 0x0040A043, "SQ", Level.IMAGE, _CODE),
    _read("CompletionFlag", 0x0040A491, "CS", Level.IMAGE),
    _read("VerificationFlag", 0x0040A493, "CS", Level.IMAGE),
    _read("ContentLabel", 0x00700080, "CS", Level.IMAGE),
    _read("ContentDescription", 0x00700081, "LO", Level.IMAGE),
)
"""Every attribute that can be asked for. Those of a level are known at the levels below it, too."""

UNIQUE_KEYS = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}
"""What names one entity of each level (PS3.4 section C.6.1.1)."""


_ANSWERED = {
    level: tuple(
        item
        for item in ATTRIBUTES
        if item.level is level or (item.level in level.above and not item.gathered)
    )
    for level in Level
}


def answered_at(level: Level) -> tuple[QueryAttribute, ...]:
    """Return the attributes that can be asked for at ``level``."""
    return _ANSWERED[level]
