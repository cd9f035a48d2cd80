"""Data sets that list instances by the thousand, read by the node's own walk: they come from peers."""

from __future__ import annotations

from io import BytesIO
from typing import Final

from node.dicom.elements import Attributes, Encoding, Walk, Wanted
from node.dicom.stream import FileBytes

TRANSACTION_UID: Final = 0x00081195
REFERENCED_SOP_CLASS_UID: Final = 0x00081150
REFERENCED_SOP_INSTANCE_UID: Final = 0x00081155
REFERENCED_SOP_SEQUENCE: Final = 0x00081199
FAILED_SOP_SEQUENCE: Final = 0x00081198
FAILURE_REASON: Final = 0x00081197
INSTANCE_AVAILABILITY: Final = 0x00080056
SERIES_INSTANCE_UID: Final = 0x0020000E
REFERENCED_SERIES_SEQUENCE: Final = 0x00081115
REFERENCED_IMAGE_SEQUENCE: Final = 0x00081140
REFERENCED_NON_IMAGE_SEQUENCE: Final = 0x00400220
PERFORMED_SERIES_SEQUENCE: Final = 0x00400340
PERFORMED_PROCEDURE_STEP_STATUS: Final = 0x00400252

WANTED: Final = Wanted(
    values=frozenset(
        {
            TRANSACTION_UID,
            REFERENCED_SOP_CLASS_UID,
            REFERENCED_SOP_INSTANCE_UID,
            FAILURE_REASON,
            INSTANCE_AVAILABILITY,
            SERIES_INSTANCE_UID,
            PERFORMED_PROCEDURE_STEP_STATUS,
            PERFORMED_SERIES_SEQUENCE,  # without items it has a meaning, too: there are none any more
        }
    ),
    sequences=frozenset(
        {
            REFERENCED_SOP_SEQUENCE,
            FAILED_SOP_SEQUENCE,
            REFERENCED_SERIES_SEQUENCE,
            REFERENCED_IMAGE_SEQUENCE,
            REFERENCED_NON_IMAGE_SEQUENCE,
            PERFORMED_SERIES_SEQUENCE,
        }
    ),
)
"""Of PS3.4 tables J.3.2-2, J.3.3-2, F.7.2-1 and R.3.2-1."""


def attributes_of(content: bytes, *, implicit: bool) -> Attributes:
    """Read what is wanted of an attribute list, little endian: nothing else is negotiated.

    Parameters
    ----------
    content : bytes
    implicit : bool
        Whether value representations are implicit.

    Raises
    ------
    NotDicom, TruncatedObject
    """
    encoding = Encoding(implicit=implicit, little_endian=True)
    return Walk(FileBytes(BytesIO(content)), encoding, WANTED).run()
