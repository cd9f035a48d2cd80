"""What a peer may send, PDU by PDU (PS3.8 9.3), made by hand so that it can be wrong."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.dimse_messages import (
    C_ECHO_RQ,
    C_STORE_RQ,
    C_STORE_RSP,
    N_ACTION_RQ,
    N_EVENT_REPORT_RQ,
    DIMSEMessage,
)
from pynetdicom.dimse_primitives import C_ECHO, C_STORE, N_ACTION, N_EVENT_REPORT, DIMSEPrimitive
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RQ, A_RELEASE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from node.dimse.commitment import (
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    CommitmentReport,
    CommitmentRequest,
    ReferencedInstance,
    report_data_set,
    request_data_set,
)
from tests.faults.seeds import data_set_of, file_bytes, small_ct

CALLING, CALLED = "CT1", "GROUNDGLASS"
STORE_CONTEXT, ECHO_CONTEXT, COMMITMENT_CONTEXT = 1, 3, 5
NESTED = struct.pack("<HHIHHI", 0x0008, 0x1140, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
UID = "1.2.826.0.1.3680043.10.1"


def p_data(context_id: int, control: int, value: bytes) -> bytes:
    """Return a P-DATA-TF PDU with one presentation data value (PS3.8 9.3.5, E.2)."""
    return p_data_of((context_id, control, value))


def p_data_of(*values: tuple[int, int, bytes]) -> bytes:
    """Return a P-DATA-TF PDU with several values: presentation context, control header, fragment."""
    items = b"".join(
        struct.pack(">IBB", len(value) + 2, at, control) + value for at, control, value in values
    )
    return struct.pack(">BBI", 0x04, 0, len(items)) + items


def store_command(uid: str, *, data_set: int = 1, sop_class: str = CTImageStorage) -> bytes:
    """Return the command set of a C-STORE request."""
    request = C_STORE()
    request.MessageID, request.Priority = 7, 0
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, uid
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    message.command_set.CommandDataSetType = data_set
    return command_bytes(message)


def command_bytes(message: DIMSEMessage) -> bytes:
    """Return the encoded command set of a message, with its group length."""
    return b"".join(
        value[1:]
        for primitive in message.encode_msg(1, 1 << 16)
        for _context, value in primitive.presentation_data_value_list
        if value[0] & 1
    )


def association_request(**titles: str) -> bytes:
    """Return an A-ASSOCIATE-RQ PDU for CT, verification and storage commitment."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title = titles.get("calling", CALLING)
    primitive.called_ae_title = titles.get("called", CALLED)
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [length, implementation]
    contexts = [
        build_context(CTImageStorage, ExplicitVRLittleEndian),
        build_context("1.2.840.10008.1.1"),
        build_context(STORAGE_COMMITMENT),
    ]
    for context, number in zip(contexts, (STORE_CONTEXT, ECHO_CONTEXT, COMMITMENT_CONTEXT), strict=True):
        context.context_id = number
    primitive.presentation_context_definition_list = contexts
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def release_request() -> bytes:
    """Return an A-RELEASE-RQ PDU."""
    return A_RELEASE_RQ().encode()


def abort() -> bytes:
    """Return an A-ABORT PDU of the service user."""
    pdu = A_ABORT_RQ()
    pdu.source, pdu.reason_diagnostic = 0, 0
    return pdu.encode()


def _message(message: DIMSEMessage, primitive: DIMSEPrimitive, context_id: int) -> bytes:
    message.primitive_to_message(primitive)
    return b"".join(
        p_data(context, value[0], value[1:])
        for part in message.encode_msg(context_id, 16384)
        for context, value in part.presentation_data_value_list
    )


def store_request(uid: str = UID, **attributes: object) -> bytes:
    """Return the PDUs of a C-STORE request with its object."""
    data_set = data_set_of(file_bytes(small_ct(SOPInstanceUID=uid, **attributes)))
    middle = len(data_set) // 2
    return (
        p_data(STORE_CONTEXT, 3, store_command(uid))
        + p_data(STORE_CONTEXT, 0, data_set[:middle])
        + p_data(STORE_CONTEXT, 2, data_set[middle:])
    )


def echo_command(number: int) -> bytes:
    """Return the command set of a C-ECHO request."""
    primitive = C_ECHO()
    primitive.MessageID, primitive.AffectedSOPClassUID = number, "1.2.840.10008.1.1"
    message = C_ECHO_RQ()
    message.primitive_to_message(primitive)
    return command_bytes(message)


def echo_request() -> bytes:
    """Return the PDU of a C-ECHO request."""
    return p_data(ECHO_CONTEXT, 3, echo_command(1))


def commitment_messages() -> Iterator[tuple[str, bytes]]:
    """Return name and PDUs of storage commitment requests and reports."""
    references = (ReferencedInstance(sop_class_uid=str(CTImageStorage), sop_instance_uid=UID),)
    report = N_EVENT_REPORT()
    report.MessageID, report.EventTypeID = 2, 1
    report.AffectedSOPClassUID = STORAGE_COMMITMENT
    report.AffectedSOPInstanceUID = STORAGE_COMMITMENT_INSTANCE
    report.EventInformation = _encoded(
        report_data_set(CommitmentReport(transaction_uid="1.2.3", committed=references, failed=()))
    )
    yield "report", _message(N_EVENT_REPORT_RQ(), report, COMMITMENT_CONTEXT)
    action = N_ACTION()
    action.MessageID, action.ActionTypeID = 3, 1
    action.RequestedSOPClassUID = STORAGE_COMMITMENT
    action.RequestedSOPInstanceUID = STORAGE_COMMITMENT_INSTANCE
    action.ActionInformation = _encoded(
        request_data_set(CommitmentRequest(transaction_uid="1.2.4", references=references))
    )
    yield "request", _message(N_ACTION_RQ(), action, COMMITMENT_CONTEXT)


def _encoded(data_set: Dataset) -> io.BytesIO:
    stream = io.BytesIO()
    data_set.save_as(stream, implicit_vr=True, little_endian=True)
    return stream


def messages() -> dict[str, bytes]:
    """Return every seed of the PDU and DIMSE reader: what may follow an accepted association request."""
    answer = C_STORE()
    answer.MessageIDBeingRespondedTo, answer.Status = 7, 0
    answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID = CTImageStorage, UID
    command = store_command(UID)
    return {
        "store": store_request(),
        "store-two": store_request() + store_request(UID + ".2"),
        "echo": echo_request(),
        **dict(commitment_messages()),
        "response": _message(C_STORE_RSP(), answer, STORE_CONTEXT),
        "abort": abort(),
        "release": release_request(),
        "associate": association_request(),
        "command-only": p_data(STORE_CONTEXT, 3, store_command(UID, data_set=0x0101)),
        "data-first": p_data(STORE_CONTEXT, 2, b"\x08\0\x05\0CS\x0a\0ISO_IR 100"),
        "command-twice": p_data(STORE_CONTEXT, 3, command) * 2 + store_request(),
        "empty-value": struct.pack(">BBIIB", 0x04, 0, 5, 1, 1),
        "no-value": struct.pack(">BBI", 0x04, 0, 0),
        "wrong-length": struct.pack(">BBIIBB", 0x04, 0, 6, 0xFFFFFFF0, 1, 3),
        "nested-command": p_data(STORE_CONTEXT, 3, NESTED * 2000),
        "unknown-context": p_data(99, 3, command),
    }
