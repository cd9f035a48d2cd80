"""What procedure steps (PS3.4 F.7) and notifications of availability (annex R) say of instances."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from node.dimse import listing
from node.dimse.listing import attributes_of
from node.domain.announcement import AnnouncedInstance, StepEvent
from node.domain.errors import AnnouncementMalformed, DicomError
from node.domain.identity import is_valid_uid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.dicom.elements import Attributes

PERFORMED_PROCEDURE_STEP = "1.2.840.10008.3.1.2.3.3"
"""Modality Performed Procedure Step SOP Class (PS3.4 F.7)."""
INSTANCE_AVAILABILITY = "1.2.840.10008.5.1.4.33"
"""Instance Availability Notification SOP Class (PS3.4 annex R)."""
MAX_INSTANCES = 65536
"""Instances that one message may list; a CT study has some thousands."""
STATUS = "PerformedProcedureStepStatus"
IN_PROGRESS = "IN PROGRESS"
EVENTS: Final[Mapping[str, StepEvent]] = MappingProxyType(
    {
        IN_PROGRESS: StepEvent.SET,
        "COMPLETED": StepEvent.COMPLETE,
        "DISCONTINUED": StepEvent.DISCONTINUE,
    }
)
"""Values of Performed Procedure Step Status (0040,0252), PS3.3 C.4.14."""
REFERENCES = (listing.REFERENCED_IMAGE_SEQUENCE, listing.REFERENCED_NON_IMAGE_SEQUENCE)
"""Where an item of the Performed Series Sequence lists its instances (PS3.4 table F.7.2-1)."""


class AnnouncementStatus(IntEnum):
    """Statuses of N-CREATE and N-SET (PS3.7 annex C, PS3.4 F.7.2)."""

    SUCCESS = 0x0000
    INVALID_ATTRIBUTE_VALUE = 0x0106
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_INSTANCE = 0x0111
    NO_SUCH_INSTANCE = 0x0112
    INVALID_INSTANCE = 0x0117
    NO_SUCH_SOP_CLASS = 0x0118
    MISSING_ATTRIBUTE = 0x0120
    NOT_AUTHORIZED = 0x0124
    RESOURCE_LIMITATION = 0x0213


def decoded(data_set: bytes, *, implicit: bool) -> Attributes:
    """Return what is read of an attribute list.

    Raises
    ------
    AnnouncementMalformed
        It cannot be read.
    """
    try:
        return attributes_of(data_set, implicit=implicit)
    except DicomError as error:
        raise AnnouncementMalformed(f"the data set cannot be read ({type(error).__name__})") from error


def step_event(attributes: Attributes) -> StepEvent | None:
    """Return what a change makes of a step; None where no status is given.

    Raises
    ------
    AnnouncementMalformed
        The status is none of those defined.
    """
    value = attributes.text(listing.PERFORMED_PROCEDURE_STEP_STATUS)
    if not value:
        return None
    if value not in EVENTS:
        raise AnnouncementMalformed(f"{STATUS} is none of the defined ones")
    return EVENTS[value]


def listed_by_step(attributes: Attributes) -> tuple[AnnouncedInstance, ...] | None:
    """Return the instances of the Performed Series Sequence; None where there is none.

    Raises
    ------
    AnnouncementMalformed
        A UID is absent or malformed, or more is listed than anybody makes.
    """
    if listing.PERFORMED_SERIES_SEQUENCE not in attributes:
        return None
    return _read(attributes, listing.PERFORMED_SERIES_SEQUENCE, REFERENCES)


def listed_by_notice(attributes: Attributes) -> tuple[AnnouncedInstance, ...]:
    """Return the instances that a notification says to be available, soon or at once.

    Raises
    ------
    AnnouncementMalformed
    """
    return _read(attributes, listing.REFERENCED_SERIES_SEQUENCE, (listing.REFERENCED_SOP_SEQUENCE,))


def _read(
    attributes: Attributes, of_series: int, of_instances: tuple[int, ...]
) -> tuple[AnnouncedInstance, ...]:
    found: list[AnnouncedInstance] = []
    for item in _instances(attributes, of_series, of_instances):
        if len(found) == MAX_INSTANCES:
            raise AnnouncementMalformed(f"more than {MAX_INSTANCES} instances are listed")
        found.append(item)
    return tuple(dict.fromkeys(found))


def _instances(
    attributes: Attributes, of_series: int, of_instances: tuple[int, ...]
) -> Iterator[AnnouncedInstance]:
    for series in attributes.items(of_series):
        series_uid = _uid(series, listing.SERIES_INSTANCE_UID, "SeriesInstanceUID")
        for sequence in of_instances:
            for item in series.items(sequence):
                if item.text(listing.INSTANCE_AVAILABILITY) != "UNAVAILABLE":  # PS3.3 C.4.23.1.1
                    yield AnnouncedInstance(
                        series_instance_uid=series_uid,
                        sop_instance_uid=_uid(
                            item, listing.REFERENCED_SOP_INSTANCE_UID, "ReferencedSOPInstanceUID"
                        ),
                    )


def _uid(attributes: Attributes, tag: int, keyword: str) -> str:
    value = attributes.text(tag)
    if not is_valid_uid(value):
        raise AnnouncementMalformed(f"{keyword} is absent or malformed (PS3.5 section 9.1)")
    return value
