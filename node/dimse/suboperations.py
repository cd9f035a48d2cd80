"""C-STORE sub-operations: stored objects go out as they lie where a peer takes that (PS3.4 C.4.2, C.4.3)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from io import FileIO, RawIOBase
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from pynetdicom.dimse_primitives import C_STORE

from node.dicom.part10 import data_set_offset, data_set_offset_within, part10_prefix
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
    from pathlib import Path

    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

    from node.dimse.queries import Retrievable
    from node.dimse.services import RetrieveProvider

logger = logging.getLogger(__name__)

Block: TypeAlias = tuple[bytes | memoryview, bool]
"""Bytes of a data set, and whether they are its last."""
MESSAGE_IDS = 65535
USUAL_META_BYTES = 4096
"""Of preamble and File Meta Information."""
WRITTEN_AT_ONCE = 1 << 20
"""Bytes of PDUs that are made before they are written."""
TRANSCODED_AT_ONCE = 1 << 22
"""Of a transcoded object in memory: all of one with a single frame, mostly."""
TRANSCODED_AHEAD = 1 << 28
"""Of a longer one on the disk: so much of it is whole before anything is sent. A damaged frame within is a
sub-operation that failed; one that comes later ends the association, for nothing but the rest of its object
may follow there. More would let a peer wait for longer than some do."""
KEPT_FREE = 1 << 30
"""Bytes of the disk that are left to what is received, however many peers are sent to at once."""


class Suboperations:
    """Sends stored objects on an association, whichever side opened it.

    Parameters
    ----------
    association : Association
        Established; nobody else waits for its messages.
    provider : RetrieveProvider
        Where the objects lie, and who gives them in another transfer syntax where the peer does not take the
        stored one.
    originator : tuple of (str, int), optional
        AE title and message ID of the C-MOVE that asks for the objects.
    """

    def __init__(
        self,
        association: Association,
        provider: RetrieveProvider,
        *,
        originator: tuple[str, int] | None = None,
    ) -> None:
        self._association = association
        self._provider = provider
        self._originator = originator
        self._max_pdu = int(association.dimse.maximum_pdu_size or 0)
        self._sent = 0
        self._ahead: tuple[Retrievable, Iterator[Block]] | None = None
        self.broken = False
        """Whether the association was given up: nothing more can be sent on it."""
        self.cut_short = False
        """Whether that was because an object of this node ended before its end."""
        self._contexts: dict[str, dict[str, PresentationContext]] = {}
        for context in association.accepted_contexts:
            if context.as_scu:
                of_class = self._contexts.setdefault(str(context.abstract_syntax), {})
                of_class[str(context.transfer_syntax[0])] = context

    def send(self, item: Retrievable, following: Retrievable | None = None) -> Meaning:
        """Send one object and return what the peer's answer means.

        Parameters
        ----------
        item : Retrievable
        following : Retrievable, optional
            What is sent next: its beginning is read while the peer takes this one.

        Raises
        ------
        DestinationRefused
            No presentation context was negotiated for it.
        DestinationUnavailable
            The peer did not answer.
        DicomError, StoreError, OSError
            The stored file cannot be read.
        """
        context, blocks = self._content(item)
        self._sent += 1
        message_id = (self._sent - 1) % MESSAGE_IDS + 1
        command = store_command(
            sop_class_uid=item.sop_class_uid,
            sop_instance_uid=item.sop_instance_uid,
            message_id=message_id,
            originator=self._originator,
        )
        self._write_data_set(int(context.context_id or 0), command, blocks)
        if following is not None:
            self._read_ahead(following)
        return self._answer(message_id)

    def _read_ahead(self, item: Retrievable) -> None:
        """Read the beginning of the object that is sent next, where it goes as it lies."""
        if item.transfer_syntax_uid not in self._contexts.get(item.sop_class_uid, {}):
            return
        # What cannot be read now is told of in its turn.
        with suppress(OSError, DicomError, StoreError, StopIteration):
            blocks = self._file(item)
            self._ahead = item, chain([next(blocks)], blocks)

    def _file(self, item: Retrievable) -> Iterator[Block]:
        """Return the data set of an object as it lies."""
        prefix = part10_prefix(
            sop_class_uid=item.sop_class_uid,
            sop_instance_uid=item.sop_instance_uid,
            transfer_syntax_uid=item.transfer_syntax_uid,
        )
        return _blocks(self._provider.locate(item), self._at_once(WRITTEN_AT_ONCE), prefix)

    def _at_once(self, most: int) -> int:
        """Return a number of bytes that is one of whole fragments."""
        size = fragment_size(self._max_pdu)
        return max(most // size, 1) * size

    def _content(self, item: Retrievable) -> tuple[PresentationContext, Iterator[Block]]:
        """Return in which context an object goes, and its data set: as it lies, or transcoded."""
        found = self._contexts.get(item.sop_class_uid, {})
        same = found.get(item.transfer_syntax_uid)
        ahead, self._ahead = self._ahead, None
        if same is not None:
            return same, ahead[1] if ahead is not None and ahead[0] is item else self._file(item)
        refusal: DicomError | None = None
        transcoder = self._provider.transcoder
        for wanted in TARGETS:
            if wanted in found and transcoder.possible(item.transfer_syntax_uid, wanted):
                try:
                    blocks = transcoder.data_set(self._provider.locate(item), wanted)
                except DicomError as error:  # a codec may refuse what another one takes
                    refusal = error
                else:
                    regrouped = _regrouped(blocks, self._at_once(TRANSCODED_AT_ONCE))
                    return found[wanted], _ahead(regrouped, self._provider.scratch)
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
                self.cut_short = True
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


def _blocks(path: Path, size: int, own_prefix: bytes) -> Iterator[Block]:
    """Yield the data set of a file in blocks, and whether each is the last.

    Most files begin with what this node writes itself, and are read at once if they are no larger than a
    block; only in others the data set must be looked for.
    """
    with FileIO(path) as stream:
        left = os.fstat(stream.fileno()).st_size
        block = memoryview(stream.read(min(left, len(own_prefix) + size)))
        begin, is_whole = len(own_prefix), len(block) == left
        is_own = block[:begin] == own_prefix
        if not is_own:
            begin = data_set_offset_within(bytes(block[:USUAL_META_BYTES])) or _sought_offset(stream)
        if is_own or is_whole:
            block = block[begin:]
        else:
            stream.seek(begin)
            block = memoryview(stream.read(min(left - begin, size)))
        left -= begin
        if left <= 0:  # nothing would be sent, and an answer to it waited for
            raise TruncatedObject("a stored file has no data set; restore it from a backup")
        while left > 0:
            if not block:
                raise TruncatedObject("a stored file became shorter while it was sent")
            left -= len(block)
            yield block, left == 0
            if left:
                block = memoryview(stream.read(min(left, size)))


def _sought_offset(stream: BinaryIO) -> int:
    stream.seek(0)
    return data_set_offset(stream)


def _regrouped(blocks: Iterable[bytes], size: int) -> Iterator[Block]:
    """Yield blocks of any lengths as blocks of ``size`` bytes, and whether each is the last."""
    gathered = bytearray()
    for block in blocks:
        gathered += block
        while len(gathered) > size:
            yield bytes(gathered[:size]), False
            del gathered[:size]
    yield bytes(gathered), True


def _ahead(
    blocks: Iterator[Block], scratch: Callable[[], AbstractContextManager[RawIOBase]]
) -> Iterator[Block]:
    """Yield blocks of one length and a last one; those of `TRANSCODED_AHEAD` are there before the first."""
    first, last = next(blocks)
    if last:
        yield first, True
        return
    with ExitStack() as opened:
        file, kept, after = _lent(scratch, opened), 0, next(blocks)
        while not after[1] and (kept + 1) * len(first) <= TRANSCODED_AHEAD and _taken(file, after[0]):
            kept, after = kept + 1, next(blocks)
        yield first, False
        if file is not None:
            file.seek(0)
            for _ in range(kept):
                yield file.read(len(first)) or b"", False
    yield after
    yield from blocks


def _lent(scratch: Callable[[], AbstractContextManager[RawIOBase]], opened: ExitStack) -> RawIOBase | None:
    """Return a file that is there until ``opened`` ends; None where the disk refuses."""
    try:
        return opened.enter_context(scratch())
    except StoreError as error:
        logger.warning("an object is sent before it is known to be sound: %s", error)
        return None


def _taken(file: RawIOBase | None, block: bytes | memoryview) -> bool:
    """Write a block; return whether there was room for it, beside what is kept free."""
    if file is None:
        return False
    try:
        disk = os.fstatvfs(file.fileno())
        return disk.f_bavail * disk.f_frsize >= KEPT_FREE and file.write(block) == len(block)
    except OSError as error:
        logger.warning("an object is sent before it is known to be sound: %s", error.strerror)
        return False
