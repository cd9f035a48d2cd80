"""Requests for associations, each taken apart once.

Who gets objects by C-GET proposes a presentation context and a role for every SOP class there is, in the same
words each time. To make objects of them and to check each UID takes the library 9 ms, half of the time until
the association is accepted. Like `node.dimse.reactor`, by which it is used, this module knows the library's
inside.
"""

from __future__ import annotations

from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pynetdicom import evt
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ASSOCIATE_RQ

if TYPE_CHECKING:
    from pynetdicom.pdu import _PDUType
    from pynetdicom.pdu_primitives import A_ASSOCIATE

ASSOCIATE_RQ: Final = b"\x01"  # PS3.8 table 9-11
EVENT_REQUESTED: Final = "Evt6"  # PS3.8 table 9-10
REMEMBERED = 16
MOST_REMEMBERED_BYTES = 1 << 16
"""Of one request; 128 contexts with their roles take some 20 KiB."""


class AssociationRequest(A_ASSOCIATE_RQ):
    """An A-ASSOCIATE-RQ PDU that gives the same parts to each association that it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self._primitive: A_ASSOCIATE | None = None

    def to_primitive(self) -> A_ASSOCIATE:
        """Return the primitive; the library sets addresses in it, and changes none of its parts."""
        if self._primitive is None:
            self._primitive = super().to_primitive()
        return copy(self._primitive)


class RequestedUpperLayer(DULServiceProvider):
    """The library's upper layer, which takes a request apart only where it has not done so before."""

    def _decode_pdu(self, bytestream: bytearray) -> tuple[_PDUType, str]:
        if bytestream[:1] != ASSOCIATE_RQ or len(bytestream) > MOST_REMEMBERED_BYTES:
            return super()._decode_pdu(bytestream)
        pdu = bytes(bytestream)
        evt.trigger(self.assoc, evt.EVT_DATA_RECV, {"data": pdu})
        request = association_request(pdu)
        evt.trigger(self.assoc, evt.EVT_PDU_RECV, {"pdu": request})
        return request, EVENT_REQUESTED


@lru_cache(REMEMBERED)
def association_request(pdu: bytes) -> AssociationRequest:
    """Return a decoded A-ASSOCIATE-RQ PDU.

    Raises
    ------
    Exception
        The library's decoder raises whatever comes of malformed bytes.
    """
    request = AssociationRequest()
    request.decode(pdu)
    return request
