"""C-STORE sub-operations of a C-GET: objects go out as they lie, on the association that asked for them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import dcmread
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from node.dicom.part10 import data_set_offset
from node.dimse.contexts import CONVERTIBLE
from node.dimse.framing import DATA_SET, command_set, data_fragment, fragment_size, message
from node.dimse.operation import even
from node.dimse.status import Meaning, meaning_of
from node.domain.errors import DestinationRefused, DestinationUnavailable, NotDicom

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

    from node.dimse.incoming import IncomingMessages
    from node.dimse.queries import Retrievable

C_STORE_RQ = 0x0001  # CommandField, PS3.7 E.1-1
MEDIUM = 0x0000  # Priority, PS3.7 E.1-1
MESSAGE_IDS = 65535
WRITTEN_AT_ONCE = 1 << 20
"""Bytes of PDUs that are made before they are written."""
POLLED_SECONDS = 0.0002
"""Pause of the library's reading loop while answers to sub-operations are waited for; else a millisecond."""


class SameAssociation:
    """Sends objects to the peer that opened the association.

    Parameters
    ----------
    association : Association
        Acceptor; its contexts of storage were negotiated with the peer as SCP.
    messages : IncomingMessages
        Its messages.
    """

    def __init__(self, association: Association, messages: IncomingMessages) -> None:
        self._association = association
        self._messages = messages
        self._sent = 0
        self._contexts: dict[str, list[PresentationContext]] = {}
        for context in association.accepted_contexts:
            if context.as_scu:
                self._contexts.setdefault(str(context.abstract_syntax), []).append(context)
        association.dul._run_loop_delay = POLLED_SECONDS

    def send(self, item: Retrievable, path: Path) -> Meaning:
        """Send one object and return what the peer's answer means.

        Raises
        ------
        DestinationRefused
            No presentation context was negotiated for it.
        DestinationUnavailable
            The peer did not answer.
        DicomError
            The stored file cannot be read.
        """
        context = self._context(item)
        context_id = int(context.context_id or 0)
        max_pdu = self._association.requestor.maximum_length or 0
        self._sent += 1
        message_id = (self._sent - 1) % MESSAGE_IDS + 1
        command = command_set(
            {
                0x0002: even(item.sop_class_uid.encode("ascii"), b"\0"),
                0x0100: struct.pack("<H", C_STORE_RQ),
                0x0110: struct.pack("<H", message_id),
                0x0700: struct.pack("<H", MEDIUM),
                0x0800: struct.pack("<H", DATA_SET),
                0x1000: even(item.sop_instance_uid.encode("ascii"), b"\0"),
            }
        )
        if context.transfer_syntax[0] == item.transfer_syntax_uid:
            self._write_file(context_id, command, path, max_pdu)
        else:
            data_set = _encoded(path, implicit=context.transfer_syntax[0] == CONVERTIBLE[1])
            self._messages.write(message(context_id, command, data_set, max_pdu=max_pdu))
        return self._answer(message_id)

    def _context(self, item: Retrievable) -> PresentationContext:
        found = {str(item.transfer_syntax[0]): item for item in self._contexts.get(item.sop_class_uid, [])}
        same = found.get(item.transfer_syntax_uid)
        if same is not None:
            return same
        if item.transfer_syntax_uid in CONVERTIBLE:
            for sibling in CONVERTIBLE:
                if sibling in found:
                    return found[sibling]
        raise DestinationRefused(
            f"the peer takes no {item.sop_class_uid} in {item.transfer_syntax_uid} on this association"
        )

    def _write_file(self, context_id: int, command: bytes, path: Path, max_pdu: int) -> None:
        size = fragment_size(max_pdu)
        waiting = [message(context_id, command, b"", max_pdu=max_pdu)]
        held = 0
        for content, last in _fragments(path, size):
            waiting.append(data_fragment(context_id, content, last=last))
            held += len(content)
            if held >= WRITTEN_AT_ONCE:
                self._messages.write(b"".join(waiting))
                waiting, held = [], 0
        self._messages.write(b"".join(waiting))

    def _answer(self, message_id: int) -> Meaning:
        _, answer = self._messages.get_msg(block=True)
        if not isinstance(answer, C_STORE) or answer.MessageIDBeingRespondedTo != message_id:
            self._association.abort(block=False)
            raise DestinationUnavailable("the peer gave no answer to a C-STORE sub-operation")
        return meaning_of(int(answer.Status if answer.Status is not None else 0xC000))


def _fragments(path: Path, size: int) -> Iterator[tuple[bytes, bool]]:
    """Yield the data set of a file in pieces, and whether each is the last."""
    with path.open("rb") as stream:
        begin = data_set_offset(stream)
        stream.seek(begin)
        content = stream.read(size)
        while content:
            following = stream.read(size)
            yield content, not following
            content = following


def _encoded(path: Path, *, implicit: bool) -> bytes:
    data_set = encode(dcmread(path), implicit, True)
    if data_set is None:
        raise NotDicom("a stored data set cannot be encoded anew; the peer must take it as it lies")
    return data_set
