"""The messages of the Storage Commitment Push Model (PS3.4 annex J): what is asked, what is answered."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT

from node.dimse import listing
from node.dimse.listing import attributes_of
from node.dimse.status import COMMENT_MAX_LENGTH
from node.domain.errors import CommitmentMalformed, DicomError
from node.domain.identity import is_valid_uid

if TYPE_CHECKING:
    from io import BytesIO

    from pynetdicom.events import Event

    from node.dicom.elements import Attributes

logger = logging.getLogger(__name__)

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class (PS3.4 J.3.5)."""
STORAGE_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP instance (PS3.4 J.3.5)."""
REQUEST = 1
"""Action Type ID of "request storage commitment" (PS3.4 table J.3.2-1)."""
ALL_COMMITTED = 1
"""Event Type ID of "storage commitment request successful" (PS3.4 table J.3.3-1)."""
SOME_FAILED = 2
"""Event Type ID of "storage commitment request complete - failures exist"."""
MAX_REFERENCES = 65536
"""Instances that one message may list; a CT study has some thousands."""


class CommitmentStatus(IntEnum):
    """Statuses of N-ACTION and N-EVENT-REPORT (PS3.7 10.1.1.1.8, 10.1.4.1.10 and annex C)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_ARGUMENT = 0x0115
    NO_SUCH_SOP_CLASS = 0x0118
    NO_SUCH_ACTION = 0x0123
    RESOURCE_LIMITATION = 0x0213


class FailureReason(IntEnum):
    """Failure Reason (0008,1197) of one instance (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION = 0x0131
    RESOURCE_LIMITATION = 0x0213


FAILURE_TEXTS = {
    FailureReason.PROCESSING_FAILURE: "processing failure",
    FailureReason.NO_SUCH_INSTANCE: "no such object instance",
    FailureReason.CLASS_INSTANCE_CONFLICT: "class and instance conflict",
    FailureReason.SOP_CLASS_NOT_SUPPORTED: "no commitment for this SOP class",
    FailureReason.DUPLICATE_TRANSACTION: "transaction UID in use",
    FailureReason.RESOURCE_LIMITATION: "resource limitation",
}


@dataclass(frozen=True, kw_only=True, order=True)
class ReferencedInstance:
    """One object that a commitment is about."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class FailedInstance:
    """One object that the peer does not commit itself to."""

    reference: ReferencedInstance
    reason: int
    """Failure Reason (0008,1197)."""

    @property
    def text(self) -> str:
        """Return the reason for the operator."""
        known = {int(reason): text for reason, text in FAILURE_TEXTS.items()}
        return f"{self.reason:04X}H {known.get(self.reason, 'unknown reason')}"


@dataclass(frozen=True, kw_only=True)
class CommitmentRequest:
    """Objects that a peer is asked to commit itself to."""

    transaction_uid: str
    references: tuple[ReferencedInstance, ...]


@dataclass(frozen=True, kw_only=True)
class CommitmentReport:
    """What became of a request."""

    transaction_uid: str
    committed: tuple[ReferencedInstance, ...]
    failed: tuple[FailedInstance, ...]


@dataclass(frozen=True, kw_only=True)
class MessageRefused:
    """Why an N-ACTION or N-EVENT-REPORT is answered with a failure."""

    status: CommitmentStatus
    comment: str
    """ErrorComment; without patient data."""


def request_data_set(request: CommitmentRequest) -> Dataset:
    """Return the Action Information of a request (PS3.4 table J.3.2-2)."""
    data_set = Dataset()
    data_set.TransactionUID = request.transaction_uid
    data_set.ReferencedSOPSequence = [_reference(item) for item in request.references]
    return data_set


def report_data_set(report: CommitmentReport) -> Dataset:
    """Return the Event Information of a report (PS3.4 table J.3.3-2)."""
    data_set = Dataset()
    data_set.TransactionUID = report.transaction_uid
    if report.committed:
        data_set.ReferencedSOPSequence = [_reference(item) for item in report.committed]
    if report.failed:
        data_set.FailedSOPSequence = [_failure(item) for item in report.failed]
    return data_set


def event_type(report: CommitmentReport) -> int:
    """Return the Event Type ID under which a report goes out."""
    return SOME_FAILED if report.failed else ALL_COMMITTED


def read_request(attributes: Attributes) -> CommitmentRequest:
    """Read the Action Information of a request.

    Raises
    ------
    CommitmentMalformed
        Something mandatory is absent, malformed, or more than anybody asks about.
    """
    request = CommitmentRequest(transaction_uid=_transaction(attributes), references=_references(attributes))
    if not request.references:
        raise CommitmentMalformed("ReferencedSOPSequence is absent or empty")
    return request


def read_report(attributes: Attributes, event: int) -> CommitmentReport:
    """Read the Event Information of a report.

    Parameters
    ----------
    attributes : Attributes
    event : int
        Event Type ID. Under "successful" the Failed SOP Sequence has no place: what it names is neither
        committed nor lost.

    Raises
    ------
    CommitmentMalformed
        Something mandatory is absent, malformed, or more than anybody asked about.
    """
    named = _failures(attributes)
    failed = named if event == SOME_FAILED else ()
    lost = {item.reference.sop_instance_uid for item in named}
    committed = _references(attributes)
    if not committed and not failed:
        raise CommitmentMalformed("neither a committed nor a failed instance is listed")
    return CommitmentReport(
        transaction_uid=_transaction(attributes),
        committed=tuple(item for item in committed if item.sop_instance_uid not in lost),
        failed=failed,
    )


def received_report(event: Event) -> CommitmentReport | MessageRefused:
    """Return what an N-EVENT-REPORT request says, or why it cannot be used (PS3.7 10.1.1.1.8)."""
    request = event.request
    if not isinstance(request, N_EVENT_REPORT):
        raise TypeError("an N-EVENT-REPORT is handled")
    refusal = _addressed(event, request.AffectedSOPClassUID, request.AffectedSOPInstanceUID)
    if refusal is not None:
        return refusal
    if event.event_type not in {ALL_COMMITTED, SOME_FAILED}:
        return MessageRefused(status=CommitmentStatus.NO_SUCH_EVENT_TYPE, comment="no such event type")
    try:
        return read_report(_information(event, request.EventInformation), event.event_type)
    except CommitmentMalformed as error:
        return _invalid(str(error))


def received_request(event: Event) -> CommitmentRequest | MessageRefused:
    """Return what an N-ACTION request asks, or why it cannot be used (PS3.7 10.1.4.1.10)."""
    request = event.request
    if not isinstance(request, N_ACTION):
        raise TypeError("an N-ACTION is handled")
    refusal = _addressed(event, request.RequestedSOPClassUID, request.RequestedSOPInstanceUID)
    if refusal is not None:
        return refusal
    if event.action_type != REQUEST:
        return MessageRefused(status=CommitmentStatus.NO_SUCH_ACTION, comment="no such action type")
    try:
        return read_request(_information(event, request.ActionInformation))
    except CommitmentMalformed as error:
        return _invalid(str(error))


def response(status: CommitmentStatus, comment: str = "") -> Dataset:
    """Return the status elements of a response (PS3.7 10.3.1.2 and 10.3.4.2)."""
    elements = Dataset()
    elements.Status = int(status)
    if comment:
        elements.ErrorComment = comment[:COMMENT_MAX_LENGTH]
    return elements


def _addressed(event: Event, sop_class_uid: object, sop_instance_uid: object) -> MessageRefused | None:
    """Return why a message is not one to the well-known instance, or None."""
    if event.context.abstract_syntax != STORAGE_COMMITMENT or sop_class_uid != STORAGE_COMMITMENT:
        return MessageRefused(
            status=CommitmentStatus.NO_SUCH_SOP_CLASS, comment="not the SOP class of the presentation context"
        )
    if sop_instance_uid != STORAGE_COMMITMENT_INSTANCE:
        return MessageRefused(
            status=CommitmentStatus.NO_SUCH_INSTANCE, comment="not the well-known SOP instance"
        )
    return None


def _invalid(comment: str) -> MessageRefused:
    logger.warning("a storage commitment message was refused: %s", comment)
    return MessageRefused(status=CommitmentStatus.INVALID_ARGUMENT, comment=comment)


def _reference(item: ReferencedInstance) -> Dataset:
    element = Dataset()
    element.ReferencedSOPClassUID = item.sop_class_uid
    element.ReferencedSOPInstanceUID = item.sop_instance_uid
    return element


def _failure(item: FailedInstance) -> Dataset:
    element = _reference(item.reference)
    element.FailureReason = item.reason
    return element


def _information(event: Event, content: BytesIO | None) -> Attributes:
    """Return the attributes of a message.

    Raises
    ------
    CommitmentMalformed
    """
    implicit = str(event.context.transfer_syntax) == ImplicitVRLittleEndian
    try:
        return attributes_of(b"" if content is None else content.getvalue(), implicit=implicit)
    except DicomError as error:
        raise CommitmentMalformed(f"the data set cannot be read ({type(error).__name__})") from error


def _transaction(attributes: Attributes) -> str:
    return _uid(attributes, listing.TRANSACTION_UID, "TransactionUID")


def _references(attributes: Attributes) -> tuple[ReferencedInstance, ...]:
    return tuple(map(_referenced, _items(attributes, listing.REFERENCED_SOP_SEQUENCE)))


def _referenced(item: Attributes) -> ReferencedInstance:
    return ReferencedInstance(
        sop_class_uid=_uid(item, listing.REFERENCED_SOP_CLASS_UID, "ReferencedSOPClassUID"),
        sop_instance_uid=_uid(item, listing.REFERENCED_SOP_INSTANCE_UID, "ReferencedSOPInstanceUID"),
    )


def _failures(attributes: Attributes) -> tuple[FailedInstance, ...]:
    return tuple(
        FailedInstance(reference=_referenced(item), reason=_reason(item))
        for item in _items(attributes, listing.FAILED_SOP_SEQUENCE)
    )


def _items(attributes: Attributes, tag: int) -> tuple[Attributes, ...]:
    found = attributes.items(tag)
    if len(found) > MAX_REFERENCES:
        raise CommitmentMalformed(f"a list has more than {MAX_REFERENCES} items")
    return found


def _reason(item: Attributes) -> int:
    """Return the Failure Reason; it is Type 1, but an absent one leaves no doubt about the failure."""
    reason = item.unsigned(listing.FAILURE_REASON)
    return int(FailureReason.PROCESSING_FAILURE) if reason is None else reason


def _uid(attributes: Attributes, tag: int, keyword: str) -> str:
    value = attributes.text(tag)
    if not is_valid_uid(value):
        raise CommitmentMalformed(f"{keyword} is absent or malformed (PS3.5 section 9.1)")
    return value
