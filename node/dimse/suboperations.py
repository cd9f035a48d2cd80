"""C-STORE sub-operations: stored objects go out as they lie where a peer takes that (PS3.4 C.4.2, C.4.3)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pynetdicom.dimse_primitives import C_STORE

from node.dicom.part10 import data_set_offset, part10_prefix
from node.dicom.transfer_syntaxes import TARGETS
from node.dimse.framing import data_fragments, fragment_size, message
from node.dimse.sockets import PromptSocket
from node.dimse.status import Meaning, meaning_of
from node.dimse.store_commands import store_command
from node.domain.errors import (
    DestinationRefused,
    DestinationUnavailable,
    DicomError,
    StoreError,
    TruncatedObject,
)

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

    from node.dicom.transcode import Transcoder
    from node.dimse.queries import Retrievable

Block: TypeAlias = tuple[bytes, bool]
"""Bytes of a data set, and whether they are its last."""
MESSAGE_IDS = 65535
PAUSE_SECONDS = 0.0005
"""Between two looks whether the library's loop has paused."""
WRITTEN_AT_ONCE = 1 << 20
"""Bytes of PDUs that are made before they are written."""
TRANSCODED_AT_ONCE = 1 << 24
"""Of a transcoded object: all of most ones, so that a damaged frame is found before anything is sent."""
POLLED_SECONDS = 0.0002
"""Pause of the library's reading loop while answers to sub-operations are waited for; else a millisecond."""


class Suboperations:
    """Sends stored objects on an association, whichever side opened it.

    Parameters
    ----------
    association : Association
        Established; nobody else waits for its messages.
    transcoder : Transcoder
        Gives an object in another transfer syntax where the peer does not take the stored one.
    originator : tuple of (str, int), optional
        AE title and message ID of the C-MOVE that asks for the objects.
    """

    def __init__(
        self,
        association: Association,
        transcoder: Transcoder,
        *,
        originator: tuple[str, int] | None = None,
    ) -> None:
        self._association = association
        self._transcoder = transcoder
        self._originator = originator
        self._sent = 0
        self._ahead: tuple[Retrievable, Iterator[Block]] | None = None
        self.broken = False
        """Whether an answer did not come: nothing more can be sent."""
        self._contexts: dict[str, list[PresentationContext]] = {}
        for context in association.accepted_contexts:
            if context.as_scu:
                self._contexts.setdefault(str(context.abstract_syntax), []).append(context)

    def send(self, item: Retrievable, path: Path, *, meanwhile: Callable[[], None] | None = None) -> Meaning:
        """Send one object and return what the peer's answer means.

        Parameters
        ----------
        item : Retrievable
        path : Path
        meanwhile : callable, optional
            Called while the peer takes the object, before its answer is waited for.

        Raises
        ------
        DestinationRefused
            No presentation context was negotiated for it.
        DestinationUnavailable
            The peer did not answer.
        DicomError
            The stored file cannot be read.
        """
        context, blocks = self._content(item, path)
        context_id = int(context.context_id or 0)
        self._sent += 1
        message_id = (self._sent - 1) % MESSAGE_IDS + 1
        command = store_command(
            sop_class_uid=item.sop_class_uid,
            sop_instance_uid=item.sop_instance_uid,
            message_id=message_id,
            originator=self._originator,
        )
        if blocks is None:
            ahead, self._ahead = self._ahead, None
            begun = ahead[1] if ahead is not None and ahead[0] is item else self._file(item, path)
            self._write_data_set(context_id, command, begun)
        else:
            size = self._at_once(TRANSCODED_AT_ONCE)
            self._write_data_set(context_id, command, _regrouped(blocks, size))
        if meanwhile is not None:
            meanwhile()
        return self._answer(message_id)

    def read_ahead(self, item: Retrievable, path: Path) -> None:
        """Read the beginning of the object that is sent next, where it goes as it lies.

        Raises
        ------
        OSError, DicomError
            The stored file cannot be read; it will not be when its turn comes, either.
        """
        blocks = self._file(item, path)
        self._ahead = item, chain([next(blocks)], blocks)

    def _file(self, item: Retrievable, path: Path) -> Iterator[Block]:
        prefix = part10_prefix(
            sop_class_uid=item.sop_class_uid,
            sop_instance_uid=item.sop_instance_uid,
            transfer_syntax_uid=item.transfer_syntax_uid,
        )
        return _blocks(path, self._at_once(WRITTEN_AT_ONCE), prefix)

    def _at_once(self, most: int) -> int:
        """Return a number of bytes that is one of whole fragments."""
        size = fragment_size(self._max_pdu)
        return max(most // size, 1) * size

    @property
    def _max_pdu(self) -> int:
        return int(self._association.dimse.maximum_pdu_size or 0)

    def _content(self, item: Retrievable, path: Path) -> tuple[PresentationContext, Iterator[bytes] | None]:
        """Return in which context an object goes: as it lies (None), or its data set transcoded."""
        found = {str(item.transfer_syntax[0]): item for item in self._contexts.get(item.sop_class_uid, [])}
        same = found.get(item.transfer_syntax_uid)
        if same is not None:
            return same, None
        refusal: DicomError | None = None
        for wanted in TARGETS:
            if wanted in found and self._transcoder.possible(item.transfer_syntax_uid, wanted):
                try:
                    return found[wanted], self._transcoder.data_set(path, wanted)
                except DicomError as error:  # a codec may refuse what another one takes
                    refusal = error
        if refusal is not None:
            raise refusal
        raise DestinationRefused(
            f"the peer takes no {item.sop_class_uid} in {item.transfer_syntax_uid} on this association"
        )

    def _write_data_set(self, context_id: int, command: bytes, blocks: Iterator[Block]) -> None:
        """Write a message whose data set comes in blocks of whole fragments, the last one marked."""
        size = fragment_size(self._max_pdu)
        waiting = [message(context_id, command, b"", max_pdu=self._max_pdu)]
        begun = False
        try:
            for block, last in blocks:
                self._write([*waiting, *data_fragments(context_id, memoryview(block), size, last=last)])
                waiting, begun = [], True
        except (OSError, DicomError, StoreError):
            if begun:  # nothing but the rest of this object may follow on the association
                self._end()
            raise

    def _write(self, pieces: Sequence[bytes | memoryview]) -> None:
        connection = self._association.dul.socket
        if isinstance(connection, PromptSocket):
            connection.send_pieces(pieces)

    def _answer(self, message_id: int) -> Meaning:
        _, answer = self._association.dimse.get_msg(block=True)
        if not isinstance(answer, C_STORE) or answer.MessageIDBeingRespondedTo != message_id:
            self._end()
            raise DestinationUnavailable("the peer gave no answer to a C-STORE sub-operation")
        return meaning_of(int(answer.Status if answer.Status is not None else 0xC000))

    def _end(self) -> None:
        self.broken = True
        self._association.abort(block=False)


@contextmanager
def answered_promptly(association: Association) -> Iterator[None]:
    """Let the library look for answers often, as long as answers to sub-operations are waited for."""
    before = association.dul._run_loop_delay
    association.dul._run_loop_delay = POLLED_SECONDS
    try:
        yield
    finally:
        association.dul._run_loop_delay = before


@contextmanager
def unread(association: Association) -> Iterator[None]:
    """Keep the library from taking the messages of an association that this node has opened."""
    association._reactor_checkpoint.clear()
    while not association._is_paused and association.is_alive():
        association.join(PAUSE_SECONDS)
    try:
        yield
    finally:
        association._reactor_checkpoint.set()


def _blocks(path: Path, size: int, own_prefix: bytes) -> Iterator[Block]:
    """Yield the data set of a file in blocks, and whether each is the last.

    Most files begin with what this node writes itself; only in others the data set must be looked for.
    """
    with path.open("rb", buffering=0) as stream:
        left = os.fstat(stream.fileno()).st_size
        head = stream.read(len(own_prefix))
        if head != own_prefix:
            stream.seek(0)
            stream.seek(data_set_offset(stream))
        left -= stream.tell()
        while left > 0:
            block = stream.read(min(left, size))
            if not block:
                raise TruncatedObject("a stored file became shorter while it was sent")
            left -= len(block)
            yield block, left == 0


def _regrouped(blocks: Iterable[bytes], size: int) -> Iterator[Block]:
    """Yield blocks of any lengths as blocks of ``size`` bytes, and whether each is the last."""
    gathered = bytearray()
    for block in blocks:
        gathered += block
        while len(gathered) > size:
            yield bytes(gathered[:size]), False
            del gathered[:size]
    yield bytes(gathered), True
