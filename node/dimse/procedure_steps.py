"""What procedure steps (PS3.4 F.7) and notifications of availability (annex R) say of instances."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pynetdicom.dsutils import decode

from node.dimse.messages import MALFORMED
from node.domain.announcement import AnnouncedInstance, StepEvent
from node.domain.errors import AnnouncementMalformed
from node.domain.identity import is_valid_uid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydicom.dataset import Dataset

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
REFERENCES = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")
"""Where an item of the Performed Series Sequence lists its instances (PS3.4 table F.7.2-1)."""


class AnnouncementStatus(IntEnum):
    """Statuses of N-CREATE and N-SET (PS3.7 annex C, PS3.4 F.7.2)."""

    SUCCESS = 0x0000
    INVALID_ATTRIBUTE_VALUE = 0x0106
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_INSTANCE = 0x0111
    NO_SUCH_INSTANCE = 0x0112
    NO_SUCH_SOP_CLASS = 0x0118
    MISSING_ATTRIBUTE = 0x0120
    NOT_AUTHORIZED = 0x0124
    RESOURCE_LIMITATION = 0x0213


def decoded(data_set: bytes, *, implicit: bool) -> Dataset:
    """Return an attribute list.

    Raises
    ------
    AnnouncementMalformed
        It cannot be read.
    """
    try:
        return decode(BytesIO(data_set), implicit, True)  # little endian: nothing else is negotiated
    except MALFORMED as error:
        raise AnnouncementMalformed(f"the data set cannot be read ({type(error).__name__})") from error


def step_event(data_set: Dataset) -> StepEvent | None:
    """Return what a change makes of a step; None where no status is given.

    Raises
    ------
    AnnouncementMalformed
        The status is none of those defined.
    """
    value = _text(data_set, STATUS)
    if not value:
        return None
    if value not in EVENTS:
        raise AnnouncementMalformed(f"{STATUS} is none of the defined ones")
    return EVENTS[value]


def listed_by_step(data_set: Dataset) -> tuple[AnnouncedInstance, ...] | None:
    """Return the instances of the Performed Series Sequence; None where there is none.

    Raises
    ------
    AnnouncementMalformed
        A UID is absent or malformed, or more is listed than anybody makes.
    """
    if "PerformedSeriesSequence" not in data_set:
        return None
    return _read(data_set, "PerformedSeriesSequence", REFERENCES)


def listed_by_notice(data_set: Dataset) -> tuple[AnnouncedInstance, ...]:
    """Return the instances that a notification says to be available, soon or at once.

    Raises
    ------
    AnnouncementMalformed
    """
    return _read(data_set, "ReferencedSeriesSequence", ("ReferencedSOPSequence",))


def _read(data_set: Dataset, of_series: str, of_instances: tuple[str, ...]) -> tuple[AnnouncedInstance, ...]:
    try:
        found: list[AnnouncedInstance] = []
        for item in _instances(data_set, of_series, of_instances):
            if len(found) == MAX_INSTANCES:
                raise AnnouncementMalformed(f"more than {MAX_INSTANCES} instances are listed")
            found.append(item)
    except MALFORMED as error:  # the library reads a value when it is looked at
        raise AnnouncementMalformed(f"the data set cannot be read ({type(error).__name__})") from error
    return tuple(dict.fromkeys(found))


def _instances(
    data_set: Dataset, of_series: str, of_instances: tuple[str, ...]
) -> Iterator[AnnouncedInstance]:
    for series in data_set.get(of_series) or ():
        series_uid = _uid(series, "SeriesInstanceUID")
        for keyword in of_instances:
            for item in series.get(keyword) or ():
                if _text(item, "InstanceAvailability") != "UNAVAILABLE":  # PS3.3 C.4.23.1.1
                    yield AnnouncedInstance(
                        series_instance_uid=series_uid,
                        sop_instance_uid=_uid(item, "ReferencedSOPInstanceUID"),
                    )


def _text(data_set: Dataset, keyword: str) -> str:
    try:
        value = data_set.get(keyword)
    except MALFORMED as error:
        raise AnnouncementMalformed(f"{keyword} cannot be read ({type(error).__name__})") from error
    return value.strip() if isinstance(value, str) else ""


def _uid(data_set: Dataset, keyword: str) -> str:
    value = data_set.get(keyword)
    if not isinstance(value, str) or not is_valid_uid(value):
        raise AnnouncementMalformed(f"{keyword} is absent or malformed (PS3.5 section 9.1)")
    return str(value)
