"""The tables of the DICOM conformance statement about Query/Retrieve."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.uid import UID

from node.dimse.contexts import (
    FIND_SOP_CLASSES,
    GET_SOP_CLASSES,
    MOVE_SOP_CLASSES,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
)
from node.dimse.finding import FindStatus
from node.dimse.retrieving import RetrieveStatus
from node.domain.query import ATTRIBUTES, UNIQUE_KEYS, Level, QueryAttribute
from node.pull.matches import INSTANCE_KEYS, SERIES_KEYS, STUDY_KEYS

FIND_ANSWERS = {
    FindStatus.SUCCESS: "Matching is complete.",
    FindStatus.SOP_CLASS_NOT_SUPPORTED: "Affected SOP Class UID is not that of the presentation context.",
    FindStatus.OUT_OF_RESOURCES: "The identifier is too large, or the disk of the index is full.",
    FindStatus.IDENTIFIER_MISMATCH: "The identifier is malformed or breaks the hierarchy; see ErrorComment.",
    FindStatus.UNABLE_TO_PROCESS: "The index cannot be read now.",
    FindStatus.CANCELLED: "Matching ended because of a C-CANCEL.",
    FindStatus.PENDING: "A match; every key was supported.",
    FindStatus.PENDING_UNSUPPORTED: "A match; a key was not supported for existence or matching.",
}
RETRIEVE_ANSWERS = {
    RetrieveStatus.SUCCESS: "Every instance was taken, or none was named.",
    RetrieveStatus.SOP_CLASS_NOT_SUPPORTED: "Affected SOP Class UID is not that of the presentation context.",
    RetrieveStatus.CANNOT_COUNT: "The identifier is too large, or names more than 65535 instances.",
    RetrieveStatus.CANNOT_SEND: "No instance was taken.",
    RetrieveStatus.DESTINATION_UNKNOWN: "The move destination does not stand under `[[move_destinations]]`.",
    RetrieveStatus.IDENTIFIER_MISMATCH: "The identifier is malformed, or a unique key lacks its value.",
    RetrieveStatus.UNABLE_TO_PROCESS: "The index cannot be read now.",
    RetrieveStatus.WARNING: "Some instances were not taken, or with a warning.",
    RetrieveStatus.CANCELLED: "Ended because of a C-CANCEL, between two instances.",
    RetrieveStatus.PENDING: "One more instance was dealt with.",
}
MATCHING = {
    "DA": "single value, range, list",
    "IS": "single value, list",
    "PN": "single value, wild card, list",
    "SQ": "sequence",
    "TM": "single value, range, list",
    "UI": "single value, list of UIDs",
    "US": "single value",
}
"""By value representation; universal matching always."""
TEXT_MATCHING = "single value, wild card, list"
"""Of all others."""


USED = {
    STUDY_ROOT_FIND: "destinations, IMAGE level; `[[archives]]`, STUDY, SERIES and IMAGE levels",
    STUDY_ROOT_MOVE: '`[[archives]]` with `retrieve = "move"`, to this node',
    STUDY_ROOT_GET: '`[[archives]]` with `retrieve = "get"`',
}
"""By which others are asked, too, and who."""
ASKED = {
    Level.STUDY: STUDY_KEYS,
    Level.SERIES: ("StudyInstanceUID", *SERIES_KEYS),
    Level.IMAGE: ("StudyInstanceUID", "SeriesInstanceUID", *INSTANCE_KEYS),
}
SOUGHT = {
    (Level.STUDY, "StudyInstanceUID"): "single value, one query for each",
    (Level.STUDY, "StudyDate"): "single value or range",
    (Level.STUDY, "ModalitiesInStudy"): "single value",
    (Level.STUDY, "PatientID"): "single value or wild card",
    (Level.STUDY, "AccessionNumber"): "single value",
    (Level.SERIES, "StudyInstanceUID"): "single value",
    (Level.IMAGE, "StudyInstanceUID"): "single value",
    (Level.IMAGE, "SeriesInstanceUID"): "single value",
}
"""How keys of archives are matched."""


def query_services() -> Iterator[tuple[str, str, str, str]]:
    """Yield service, SOP class UID, SCU and SCP of the classes that are served."""
    for uid in sorted(FIND_SOP_CLASSES | MOVE_SOP_CLASSES | GET_SOP_CLASSES):
        yield UID(uid).name, f"`{uid}`", USED.get(uid, "no"), "yes"


def query_tables() -> Iterator[tuple[str, tuple[str, ...], list[tuple[object, ...]]]]:
    """Yield title, columns and rows of each table."""
    yield (
        "C-FIND statuses that the node answers with",
        ("status", "meaning"),
        [(f"{status:04X}H", FIND_ANSWERS[status]) for status in FindStatus],
    )
    yield (
        "C-GET and C-MOVE statuses that the node answers with",
        ("status", "meaning"),
        [(f"{status:04X}H", RETRIEVE_ANSWERS[status]) for status in RetrieveStatus],
    )
    for level, keys in ASKED.items():
        yield (
            f"Keys asked of archives at the {level} level",
            ("attribute", "matched with"),
            [(keyword, SOUGHT.get((level, keyword), "nothing: returned only")) for keyword in keys],
        )
    for level in Level:
        yield (
            f"Keys of the {level} level",
            ("attribute", "tag", "VR", "matching"),
            [_row(attribute) for attribute in ATTRIBUTES if attribute.level is level],
        )


def _row(attribute: QueryAttribute) -> tuple[object, ...]:
    unique = ", unique key" if attribute.keyword in UNIQUE_KEYS.values() else ""
    matching = MATCHING.get(attribute.vr, TEXT_MATCHING) if attribute.matched else "returned only"
    if attribute.items:
        matching += ": " + ", ".join(item.keyword for item in attribute.items)
    tag = f"({attribute.tag >> 16:04X},{attribute.tag & 0xFFFF:04X})"
    return attribute.keyword, tag, attribute.vr, matching + unique
