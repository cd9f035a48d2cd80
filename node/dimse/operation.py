"""One operation of Query/Retrieve while it is served: its identifier and its responses (PS3.7 9.1)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.dimse.framing import DATA_SET, NO_DATA_SET, command_set, message
from node.dimse.incoming import ArrivingDataSet
from node.dimse.status import COMMENT_MAX_LENGTH, Status

if TYPE_CHECKING:
    from io import BytesIO

    from pynetdicom.association import Association
    from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One request, and how it is responded to."""

    context_id: int
    message_id: int
    sop_class_uid: str
    max_pdu: int
    """Bytes of a PDU's content that the peer accepts; 0 for no limit."""
    response_field: int
    """CommandField of its responses."""

    @classmethod
    def of(
        cls, association: Association, context_id: int, request: C_FIND | C_GET | C_MOVE, response_field: int
    ) -> Operation:
        """Return the operation of a request."""
        return cls(
            context_id=context_id,
            message_id=int(request.MessageID or 0),
            sop_class_uid=str(association._accepted_cx[context_id].abstract_syntax),
            max_pdu=association.requestor.maximum_length or 0,
            response_field=response_field,
        )

    def response(
        self,
        status: int,
        *,
        identifier: bytes = b"",
        comment: str = "",
        counts: Mapping[int, int] | None = None,
    ) -> bytes:
        """Return one response as PDUs.

        Parameters
        ----------
        status : int
        identifier : bytes
            Empty for none.
        comment : str
            ErrorComment, without patient data.
        counts : mapping of int to int, optional
            Numbers of sub-operations by element number.
        """
        elements = {
            0x0002: even(self.sop_class_uid.encode("ascii"), b"\0"),
            0x0100: struct.pack("<H", self.response_field),
            0x0120: struct.pack("<H", self.message_id),
            0x0800: struct.pack("<H", DATA_SET if identifier else NO_DATA_SET),
            0x0900: struct.pack("<H", status),
            **{element: struct.pack("<H", count) for element, count in (counts or {}).items()},
        }
        if comment:
            elements[0x0902] = even(comment[:COMMENT_MAX_LENGTH].encode("ascii", "replace"), b" ")
        return message(self.context_id, command_set(elements), identifier, max_pdu=self.max_pdu)


def identifier_of(kept: BytesIO | None) -> bytes | None:
    """Return the identifier of a request, None when it was too large to be kept."""
    if kept is None:
        return b""
    if isinstance(kept, ArrivingDataSet) and kept.received and kept.finish().status is not Status.SUCCESS:
        return None
    return kept.getvalue()


def even(value: bytes, padding: bytes) -> bytes:
    """Return a value of even length (PS3.5 section 7.1.1)."""
    return value + padding if len(value) % 2 else value
