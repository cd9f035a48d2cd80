"""What is fuzzed of streams: bytes that come in pieces, from an association or in the body of a request."""

from __future__ import annotations

import errno
import socket
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from node.dicom.part10 import part10_prefix
from node.dicom.read import read_header
from node.dimse.commitment import STORAGE_COMMITMENT
from node.dimse.incoming import IncomingMessages
from node.dimse.reactor import EVENT_INVALID_PDU
from node.dimse.reading import PDU_HEAD, PDU_TYPES, PduReader, ReadingLimits, UnknownPdu
from node.dimse.services import AffectedInstance
from node.dimse.sockets import BoundedSocket, SocketLimits
from node.receive.storage import require_same_instance
from node.web.errors import BadRequest, TooLarge
from node.web.multipart_reader import (
    Event,
    MultipartLimits,
    MultipartReader,
    PartBegins,
    PartContent,
    PartEnds,
)
from tests.faults.pdus import COMMITMENT_CONTEXT, ECHO_CONTEXT, STORE_CONTEXT

MAX_OBJECT_BYTES = 1 << 16
MOST_SENT = 1 << 15
"""Less than a pair of sockets holds."""
MAX_PDU = 1 << 13
PART_LIMITS = MultipartLimits(parts=20, preamble_bytes=200, header_bytes=300)
P_DATA_TF = 0x04
STORED = struct.pack("<HHIH", 0x0000, 0x0900, 2, 0x0000)
"""Status 0000H in a command set."""


class HeldClock:
    """A clock that stands still: nothing here is late."""

    def monotonic(self) -> float:
        return 0.0


def pieces(data: bytes) -> Iterator[bytes]:
    """Yield bytes as a network might give them: in one piece, or in many of a size that they decide."""
    size = (MOST_SENT, 1000, 37, 1 + len(data) // 3)[zlib.crc32(data) % 4]
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


def pdus(data: bytes) -> bool:
    """Read PDUs out of a connection; return whether there was one.

    However they come, they are those that a look at all of the bytes finds.
    """
    stream = data * (1 + zlib.crc32(data) % 7)  # more than the reader's small buffer, now and then
    limits = ReadingLimits(max_bytes=MAX_PDU, seconds=1.0)
    reader = PduReader(lambda: limits)
    found: list[bytes] = []
    end = "missing"
    here, there = socket.socketpair()
    with here, there:
        try:
            for piece in pieces(stream):
                there.sendall(piece)
                found += _whole(reader, here)
        except UnknownPdu:
            end = "unknown"
        except OSError as error:
            end = "large" if error.errno == errno.EMSGSIZE else str(error)
    expected, expected_end = _looked_up(stream)
    assert found == expected[: len(found)], "other bytes than those that came"
    assert len(found) == len(expected), "a PDU is missing"
    assert end == expected_end
    return bool(found)


def _whole(reader: PduReader, connection: socket.socket) -> Iterator[bytes]:
    while (pdu := reader.next(connection)) is not None:
        yield bytes(pdu)


def _looked_up(stream: bytes) -> tuple[list[bytes], str]:
    found: list[bytes] = []
    at = 0
    while at + PDU_HEAD.size <= len(stream):
        kind, length = PDU_HEAD.unpack_from(stream, at)
        if kind not in PDU_TYPES:
            return found, "unknown"
        if length > MAX_PDU:
            return found, "large"
        end = at + PDU_HEAD.size + length
        if end > len(stream):
            break
        found.append(stream[at:end])
        at = end
    return found, "missing"


class CheckedSink:
    """Takes an object as the station does, in memory, and remembers whether it was accepted."""

    def __init__(self, affected: AffectedInstance, accepted: list[str]) -> None:
        self._affected = affected
        self._accepted = accepted
        prefix = part10_prefix(
            sop_class_uid=affected.sop_class_uid,
            sop_instance_uid=affected.sop_instance_uid,
            transfer_syntax_uid=affected.transfer_syntax_uid,
        )
        self._begin = len(prefix)
        self._data = bytearray(prefix)

    def write(self, data: bytes | memoryview) -> None:
        self._data += data

    def finish(self) -> None:
        syntax = self._affected.transfer_syntax_uid
        found = read_header(bytes(self._data), transfer_syntax_uid=syntax, begin=self._begin)
        require_same_instance(self._affected, found)
        self._accepted.append(found.sop_instance_uid)

    def discard(self) -> None:
        """Nothing is held."""


def _contexts() -> dict[int, PresentationContext]:
    contexts = {
        STORE_CONTEXT: build_context(CTImageStorage, ExplicitVRLittleEndian),
        ECHO_CONTEXT: build_context("1.2.840.10008.1.1", ExplicitVRLittleEndian),
        COMMITMENT_CONTEXT: build_context(STORAGE_COMMITMENT, "1.2.840.10008.1.2"),
    }
    for number, context in contexts.items():
        context.context_id = number
        context.result = 0x00
        context._as_scp = True
    return contexts


CONTEXTS = _contexts()


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """An association that was accepted, as far as its messages are concerned; no thread of it runs."""

    association: Association
    connection: BoundedSocket
    messages: IncomingMessages
    stored: list[str]
    """SOP Instance UIDs that a sink took."""


def accepted_association(here: socket.socket) -> Accepted:
    """Return an association on a connection."""
    association = Association(ApplicationEntity("GROUNDGLASS"), MODE_ACCEPTOR)
    association._accepted_cx = dict(CONTEXTS)
    association.requestor.maximum_length = MAX_PDU
    stored: list[str] = []
    messages = IncomingMessages(association, lambda affected: CheckedSink(affected, stored), MAX_OBJECT_BYTES)
    association.dimse = messages
    limits = SocketLimits(max_pdu=MAX_PDU, request_seconds=1.0, pdu_seconds=1.0)
    connection = BoundedSocket(association, here, limits, HeldClock())  # type: ignore[arg-type]  # of a clock it is asked for this alone
    association.dul.socket = connection
    association.dul.event_queue.get(block=False)  # that there is a connection
    return Accepted(association=association, connection=connection, messages=messages, stored=stored)


def messages(data: bytes) -> bool:
    """Take a stream of PDUs as on an accepted association; return whether a message was served.

    What is answered with success must be what the request names: its object, whole.
    """
    here, there = socket.socketpair()
    served = False
    with here, there, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accepted = accepted_association(here)
        there.setblocking(False)
        for piece in pieces(data):
            there.sendall(piece)
            goes_on = _take(accepted, here)
            served = _serve(accepted.messages) or served
            served = _answered(accepted, there) or served
            if not goes_on:
                break
        accepted.messages.discard()
    assert not accepted.stored, "an object was stored and not acknowledged"
    return served


def _take(accepted: Accepted, here: socket.socket) -> bool:
    """Take the PDUs that are there as the reactor does; return whether more may follow."""
    events = accepted.association.dul.event_queue
    while True:
        try:
            pdu = accepted.connection.reader.next(here)
        except (UnknownPdu, OSError):
            return False
        if pdu is None:
            return True
        if pdu[0] != P_DATA_TF:
            _decode(accepted.association, bytes(pdu))
            return False
        accepted.messages.receive_values(pdu[PDU_HEAD.size :])
        if not events.empty():
            assert events.get(block=False) == EVENT_INVALID_PDU
            return False  # aborted


def _decode(association: Association, pdu: bytes) -> None:
    try:
        association.dul._decode_pdu(bytearray(pdu))
    except Exception:  # noqa: BLE001 - the reactor aborts the association whatever it is
        return


def _serve(messages: IncomingMessages) -> bool:
    """Take every message out as the serving thread does; return whether there was one."""
    served = False
    while not messages.msg_queue.empty():
        served = True
        messages.get_msg()
    messages._serving = False
    return served


def _answered(accepted: Accepted, there: socket.socket) -> bool:
    """Check the answers that went out; return whether there were any."""
    try:
        answers = there.recv(1 << 18)
    except BlockingIOError:
        return False
    at = 0
    while at < len(answers):
        kind, length = PDU_HEAD.unpack_from(answers, at)
        at += PDU_HEAD.size
        assert kind == P_DATA_TF
        answer = answers[at : at + length]
        assert len(answer) == length
        at += length
        if STORED in answer:
            assert accepted.stored, "what was not stored was acknowledged"
            assert accepted.stored.pop(0).encode("ascii") in answer, "another object was acknowledged"
    return bool(answers)


def multipart(data: bytes) -> bool:
    """Read a multipart body whose first line is its boundary; return whether it was whole.

    However it comes, its parts are the same, and none holds the delimiter.
    """
    line, _, body = data.partition(b"\n")
    boundary = line.decode("latin-1")
    whole = _parts(boundary, [body])
    assert _parts(boundary, list(pieces(body))) == whole
    found, error = whole
    delimiter = b"\r\n--" + line
    assert all(delimiter not in b"\r\n" + content for _, content in found)
    if error is None:
        assert len(found) <= PART_LIMITS.parts
        assert body.count(delimiter) >= len(found)
    return error is None and bool(found)


def _parts(boundary: str, chunks: list[bytes]) -> tuple[list[tuple[dict[str, str], bytes]], type | None]:
    """Return headers and content of each whole part, and why there are no more."""
    found: list[tuple[dict[str, str], bytes]] = []
    try:
        reader = MultipartReader(boundary, PART_LIMITS)
        begun: tuple[dict[str, str], bytearray] | None = None
        for chunk in chunks:
            for event in reader.feed(chunk):
                begun = _followed(begun, event, found)
        reader.close()
    except (BadRequest, TooLarge) as error:
        return found, type(error)
    return found, None


def _followed(
    begun: tuple[dict[str, str], bytearray] | None,
    event: Event,
    found: list[tuple[dict[str, str], bytes]],
) -> tuple[dict[str, str], bytearray] | None:
    if isinstance(event, PartBegins):
        assert begun is None
        return dict(event.headers), bytearray()
    assert begun is not None
    if isinstance(event, PartContent):
        assert event.data
        begun[1].extend(event.data)
        return begun
    assert isinstance(event, PartEnds)
    found.append((begun[0], bytes(begun[1])))
    return None
