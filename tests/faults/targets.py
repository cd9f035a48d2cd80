"""What is fuzzed: functions of bytes that end without an exception, whatever the bytes are.

Each of them calls the node as the node calls itself, and looks at what came out of it.
"""

from __future__ import annotations

import logging
import struct
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.presentation import PresentationContext, build_context

from node.dicom.codec_processes import CodecProcesses
from node.dicom.compare import compare
from node.dicom.decode import decode_stored
from node.dicom.pixel_file import PixelFile
from node.dicom.read import read_dataset, read_header
from node.dimse.commitment import STORAGE_COMMITMENT
from node.dimse.incoming import ArrivingDataSet, IncomingMessages
from node.dimse.services import AffectedInstance
from node.dimse.status import Status
from node.domain.codecs import CodecLimits
from node.domain.errors import DicomError
from node.domain.identity import is_valid_uid
from node.receive.storage import require_same_instance
from tests.faults.pdus import COMMITMENT_CONTEXT, ECHO_CONTEXT, STORE_CONTEXT

MAX_OBJECT_BYTES = 1 << 16
MAX_DECODED_BYTES = 1 << 22
"""A larger frame is decoded by the tests of the limits; a fuzzer would do nothing else."""
PDU_TYPES = range(1, 8)


def header(data: bytes) -> bool:
    """Read the header of an object as before a C-STORE is answered; return whether it is one."""
    try:
        found = read_header(data)
    except DicomError:
        return False
    assert is_valid_uid(found.sop_instance_uid)
    assert is_valid_uid(found.study_instance_uid)
    assert len(found.frames) <= max(len(data), 1)
    return True


def stored_object(data: bytes) -> bool:
    """Read what the stations read of an object that was taken: header, data set, values, the first frame."""
    if not header(data):
        return False
    with tempfile.NamedTemporaryFile(dir=SHARED_MEMORY) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.write(data)
        file.flush()
        path = Path(file.name)
        try:
            read_dataset(path)
            compare(path, path, CODECS)
            pixels = PixelFile(path, CODECS)
            if pixels.layout.frame_bytes <= MAX_DECODED_BYTES:
                frame = decode_stored(pixels, 1)
                assert frame.stored.shape[:2] == (pixels.layout.rows, pixels.layout.columns)
        except DicomError:
            return False
    return True


CODECS = CodecProcesses(CodecLimits(processes=1, seconds=5))
SHARED_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # nothing of it needs a disk


class CheckedSink:
    """Takes an object as the station does, in memory, and remembers whether it was accepted."""

    def __init__(self, affected: AffectedInstance, accepted: list[str]) -> None:
        self._affected = affected
        self._accepted = accepted
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        self._data += data

    def finish(self) -> None:
        found = read_header(bytes(self._data), transfer_syntax_uid=self._affected.transfer_syntax_uid)
        require_same_instance(self._affected, found)
        self._accepted.append(found.sop_instance_uid)

    def discard(self) -> None:
        """Nothing is held."""


def acceptor() -> Association:
    """Return an association that was accepted, as far as its messages are concerned; nothing runs."""
    association = Association(ApplicationEntity("GROUNDGLASS"), MODE_ACCEPTOR)
    association._accepted_cx = dict(CONTEXTS)
    return association


def _contexts() -> dict[int, PresentationContext]:
    contexts = {
        STORE_CONTEXT: build_context(CTImageStorage, ExplicitVRLittleEndian),
        ECHO_CONTEXT: build_context("1.2.840.10008.1.1", ExplicitVRLittleEndian),
        COMMITMENT_CONTEXT: build_context(STORAGE_COMMITMENT, "1.2.840.10008.1.2"),
    }
    for number, context in contexts.items():
        context.context_id = number
        context.result = 0x00
    return contexts


CONTEXTS = _contexts()


def messages(data: bytes) -> bool:
    """Take a stream of PDUs as on an accepted association; return whether a message was served.

    What is answered with success must be what the request names: its object, whole.
    """
    association = acceptor()
    accepted: list[str] = []
    incoming = IncomingMessages(
        association, lambda affected: CheckedSink(affected, accepted), MAX_OBJECT_BYTES
    )
    association.dimse = incoming
    served = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for pdu in _pdus(association, data):
            incoming.receive_primitive(pdu.to_primitive())
            if not association.dul.event_queue.empty():
                break  # aborted
            while not incoming.msg_queue.empty():
                served = True
                _serve(incoming, accepted)
    incoming.discard()
    return served


def _serve(incoming: IncomingMessages, accepted: list[str]) -> None:
    _context_id, request = incoming.get_msg()
    data_set = getattr(request, "DataSet", None)
    if isinstance(request, C_STORE) and isinstance(data_set, ArrivingDataSet):
        answer = data_set.finish()
        incoming.forget(data_set)
        if answer.status is Status.SUCCESS:
            assert accepted.pop() == request.AffectedSOPInstanceUID, "another object was acknowledged"


def _pdus(association: Association, data: bytes) -> list[P_DATA_TF]:
    """Return the P-DATA-TF PDUs up to the first that is none, cut and decoded as the library does."""
    found: list[P_DATA_TF] = []
    at = 0
    while at + 6 <= len(data):
        kind, length = struct.unpack_from(">BxI", data, at)
        end = at + 6 + length
        if kind not in PDU_TYPES or end > len(data):
            break
        try:
            pdu, _event = association.dul._decode_pdu(bytearray(data[at:end]))
        except Exception:  # noqa: BLE001 - the library aborts the association whatever it is
            break
        if not isinstance(pdu, P_DATA_TF):
            break
        found.append(pdu)
        at = end
    return found


TARGETS: dict[str, Callable[[bytes], bool]] = {
    "header": header,
    "object": stored_object,
    "messages": messages,
}


def quiet() -> None:
    """Keep the log of what is refused away from the terminal."""
    logging.disable(logging.CRITICAL)
