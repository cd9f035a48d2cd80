"""Command sets of C-STORE, read and written as the few bytes that they are (PS3.7 section 9.3.1).

A C-STORE is most of what this node does. The library decodes each command set into data elements, and encodes
a response through four layers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pynetdicom.dimse_primitives import C_STORE

from node.dimse.framing import DATA_SET, NO_DATA_SET, command_set, even
from node.dimse.status import COMMENT_MAX_LENGTH, Answer

ELEMENT_HEAD = struct.Struct("<HHI")  # implicit VR little endian, PS3.7 section 6.3.1
UNSIGNED_SHORT = struct.Struct("<H")
C_STORE_RQ = 0x0001  # CommandField, PS3.7 E.1-1
C_STORE_RSP = 0x8001
AFFECTED_SOP_CLASS_UID = 0x0002
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
PRIORITY = 0x0700
MEDIUM = 0x0000  # PS3.7 E.1-1
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000
MOVE_ORIGINATOR_AE_TITLE = 0x1030
MOVE_ORIGINATOR_MESSAGE_ID = 0x1031


@dataclass(frozen=True, kw_only=True)
class StoreRequest:
    """A C-STORE-RQ (PS3.7 table 9.3-1)."""

    message_id: int
    sop_class_uid: str
    """Empty when the request names none."""
    sop_instance_uid: str
    """Empty when the request names none."""
    has_data_set: bool


def store_request(command: bytes) -> StoreRequest | None:
    """Return what a command set asks to be stored, None when it is another command.

    Parameters
    ----------
    command : bytes
        A whole command set.

    Raises
    ------
    ValueError
        It is a C-STORE-RQ that lacks what is mandatory, or no command set at all.
    """
    elements = _elements(command)
    if _short(elements, COMMAND_FIELD) != C_STORE_RQ:
        return None
    return StoreRequest(
        message_id=_short(elements, MESSAGE_ID),
        sop_class_uid=_uid(elements, AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=_uid(elements, AFFECTED_SOP_INSTANCE_UID),
        has_data_set=_short(elements, COMMAND_DATA_SET_TYPE) != NO_DATA_SET,
    )


def store_answer(command: bytes) -> C_STORE | None:
    """Return the C-STORE-RSP that a command set is, None when it is another command (PS3.7 table 9.3-2).

    Raises
    ------
    ValueError
        It is one that lacks what is mandatory, or no command set at all.
    """
    elements = _elements(command)
    if _short(elements, COMMAND_FIELD) != C_STORE_RSP:
        return None
    if _short(elements, COMMAND_DATA_SET_TYPE) != NO_DATA_SET:
        raise ValueError("a C-STORE response with a data set")
    answer = C_STORE()
    answer.MessageIDBeingRespondedTo = _short(elements, MESSAGE_ID_BEING_RESPONDED_TO)
    answer.Status = _short(elements, STATUS)
    if ERROR_COMMENT in elements:
        comment = elements[ERROR_COMMENT].decode("ascii", "replace").strip()
        answer.ErrorComment = comment[:COMMENT_MAX_LENGTH]  # type: ignore[assignment]  # the library's, untyped
    return answer


def store_command(
    *, sop_class_uid: str, sop_instance_uid: str, message_id: int, originator: tuple[str, int] | None
) -> bytes:
    """Return the command set of a C-STORE-RQ (PS3.7 table 9.3-1).

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : str
        Of the object.
    message_id : int
    originator : tuple of (str, int) or None
        AE title and message ID of the C-MOVE that asks for the object.
    """
    elements = {
        AFFECTED_SOP_CLASS_UID: _uid_value(sop_class_uid),
        COMMAND_FIELD: UNSIGNED_SHORT.pack(C_STORE_RQ),
        MESSAGE_ID: UNSIGNED_SHORT.pack(message_id),
        PRIORITY: UNSIGNED_SHORT.pack(MEDIUM),
        COMMAND_DATA_SET_TYPE: UNSIGNED_SHORT.pack(DATA_SET),
        AFFECTED_SOP_INSTANCE_UID: _uid_value(sop_instance_uid),
    }
    if originator is not None:
        title, move_id = originator
        elements[MOVE_ORIGINATOR_AE_TITLE] = even(title.encode("ascii"), b" ")
        elements[MOVE_ORIGINATOR_MESSAGE_ID] = UNSIGNED_SHORT.pack(move_id)
    return command_set(elements)


def store_response(request: StoreRequest, answer: Answer) -> bytes:
    """Return the command set of a C-STORE-RSP (PS3.7 table 9.3-2)."""
    elements = {
        AFFECTED_SOP_CLASS_UID: _uid_value(request.sop_class_uid),
        COMMAND_FIELD: UNSIGNED_SHORT.pack(C_STORE_RSP),
        MESSAGE_ID_BEING_RESPONDED_TO: UNSIGNED_SHORT.pack(request.message_id),
        COMMAND_DATA_SET_TYPE: UNSIGNED_SHORT.pack(NO_DATA_SET),
        STATUS: UNSIGNED_SHORT.pack(answer.status),
        AFFECTED_SOP_INSTANCE_UID: _uid_value(request.sop_instance_uid),
    }
    if answer.comment:
        elements[ERROR_COMMENT] = even(answer.comment.encode("ascii", "replace"), b" ")
    return command_set(elements)


def _elements(command: bytes) -> dict[int, bytes]:
    """Return the values of a command set by element number."""
    found: dict[int, bytes] = {}
    position, end = 0, len(command)
    while position < end:
        if end - position < ELEMENT_HEAD.size:
            raise ValueError("a command set ends within the head of an element")
        group, element, length = ELEMENT_HEAD.unpack_from(command, position)
        position += ELEMENT_HEAD.size
        if group != 0x0000 or length > end - position:
            raise ValueError("what is no command set")
        found[element] = command[position : position + length]
        position += length
    return found


def _short(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != UNSIGNED_SHORT.size:
        raise ValueError(f"a command set without (0000,{element:04X})")
    return int(UNSIGNED_SHORT.unpack(value)[0])


def _uid(elements: dict[int, bytes], element: int) -> str:
    return elements.get(element, b"").rstrip(b"\0 ").decode("ascii")


def _uid_value(uid: str) -> bytes:
    return even(uid.encode("ascii"), b"\0")
