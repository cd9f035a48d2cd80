"""One operation while it is served: what it asks for and its responses (PS3.7 chapters 9 and 10)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.dimse.framing import DATA_SET, NO_DATA_SET, command_set, even, message
from node.dimse.incoming import KeptDataSet
from node.dimse.status import COMMENT_MAX_LENGTH

if TYPE_CHECKING:
    from io import BytesIO

    from pynetdicom.association import Association
    from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE, N_CREATE, N_SET


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
        cls,
        association: Association,
        context_id: int,
        request: C_FIND | C_GET | C_MOVE | N_CREATE | N_SET,
        response_field: int,
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
        sop_instance_uid: str = "",
        error_id: int | None = None,
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
        sop_instance_uid : str
            AffectedSOPInstanceUID; empty for none.
        error_id : int, optional
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
        if error_id is not None:
            elements[0x0903] = struct.pack("<H", error_id)
        if sop_instance_uid:
            elements[0x1000] = even(sop_instance_uid.encode("ascii"), b"\0")
        return message(self.context_id, command_set(elements), identifier, max_pdu=self.max_pdu)


def identifier_of(kept: BytesIO | None) -> bytes | None:
    """Return the data set of a request, None when it was too large to be kept."""
    if kept is None:
        return b""
    if isinstance(kept, KeptDataSet) and not kept.is_whole:
        return None
    return kept.getvalue()
