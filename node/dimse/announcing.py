"""Procedure steps and notifications of availability on an association that a peer opened (PS3.7 10.1)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dimse_primitives import N_CREATE, N_SET

from node.dimse.operation import Operation, identifier_of
from node.dimse.procedure_steps import (
    INSTANCE_AVAILABILITY,
    PERFORMED_PROCEDURE_STEP,
    AnnouncementStatus,
    decoded,
    listed_by_notice,
    listed_by_step,
    step_event,
)
from node.domain.announcement import StepEvent
from node.domain.errors import (
    AnnouncementKnown,
    AnnouncementMalformed,
    GroundglassError,
    StepEnded,
    StepOfAnother,
    UnknownSubject,
)
from node.domain.identity import is_valid_uid

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BytesIO

    from pynetdicom.association import Association

    from node.dicom.elements import Attributes
    from node.dimse.admission import Caller
    from node.dimse.incoming import IncomingMessages
    from node.dimse.services import AnnouncementTaker

logger = logging.getLogger(__name__)

N_SET_RSP, N_CREATE_RSP = 0x8120, 0x8140  # CommandField, PS3.7 E.1-1
MAY_NOT_BE_UPDATED = 0xA710
"""Error ID (0000,0903) of a step that has ended (PS3.4 table F.7.2-2)."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """How a request is answered."""

    status: AnnouncementStatus = AnnouncementStatus.SUCCESS
    comment: str = ""
    error_id: int | None = None
    sop_instance_uid: str = ""


def _refused(error: GroundglassError) -> _Answer:
    """Return how a request is answered that was not taken."""
    match error:
        case AnnouncementMalformed():
            answer = _Answer(status=AnnouncementStatus.INVALID_ATTRIBUTE_VALUE, comment=str(error))
        case AnnouncementKnown():
            answer = _Answer(status=AnnouncementStatus.DUPLICATE_INSTANCE)
        case UnknownSubject():
            answer = _Answer(status=AnnouncementStatus.NO_SUCH_INSTANCE)
        case StepEnded():
            comment = "Performed Procedure Step Object may no longer be updated"
            failure = AnnouncementStatus.PROCESSING_FAILURE
            answer = _Answer(status=failure, comment=comment, error_id=MAY_NOT_BE_UPDATED)
        case StepOfAnother():
            # The standard gives no status for it. 0124H (not authorized) says why; what it is about, and that
            # there is such a step, the peer knows already: it names its UID.
            answer = _Answer(status=AnnouncementStatus.NOT_AUTHORIZED, comment="another AE created this step")
        case _:
            answer = _Answer(status=AnnouncementStatus.PROCESSING_FAILURE, comment="cannot be recorded now")
    logger.warning("an announcement was answered %04XH: %s", answer.status, error)
    return answer


class AnnouncementExchange:
    """The announcements of one association, taken one at a time on its own thread.

    Parameters
    ----------
    association : Association
        Acceptor that has not been started.
    messages : IncomingMessages
        Its messages.
    taker : AnnouncementTaker
    caller : callable
        Returns the admitted caller.
    """

    def __init__(
        self,
        association: Association,
        messages: IncomingMessages,
        taker: AnnouncementTaker,
        caller: Callable[[], Caller],
    ) -> None:
        self._association = association
        self._messages = messages
        self._taker = taker
        self._caller = caller
        classes = frozenset({PERFORMED_PROCEDURE_STEP, INSTANCE_AVAILABILITY})
        messages.serve(N_CREATE, classes, self._on_create)
        messages.serve(N_SET, frozenset({PERFORMED_PROCEDURE_STEP}), self._on_set)

    def _on_create(self, context_id: int, request: N_CREATE) -> None:
        operation = Operation.of(self._association, context_id, request, N_CREATE_RSP)
        uid = str(request.AffectedSOPInstanceUID or "")

        def create(attributes: Attributes) -> _Answer:
            if uid and not is_valid_uid(uid):
                return _Answer(status=AnnouncementStatus.INVALID_INSTANCE)
            if operation.sop_class_uid == INSTANCE_AVAILABILITY:
                listed = listed_by_notice(attributes)
                return _Answer(sop_instance_uid=self._taker.notified(uid, listed, caller=self._caller()))
            event = step_event(attributes)
            if event is None:
                return _Answer(status=AnnouncementStatus.MISSING_ATTRIBUTE, comment="no status")
            if event is not StepEvent.SET:
                comment = "a step is created in progress"  # PS3.4 F.7.2.1.2
                return _Answer(status=AnnouncementStatus.INVALID_ATTRIBUTE_VALUE, comment=comment)
            listed = listed_by_step(attributes) or ()
            return _Answer(sop_instance_uid=self._taker.step_created(uid, listed, caller=self._caller()))

        named = request.AffectedSOPClassUID == operation.sop_class_uid
        self._respond(operation, uid, self._answer(operation, request.AttributeList, create, named=named))

    def _on_set(self, context_id: int, request: N_SET) -> None:
        operation = Operation.of(self._association, context_id, request, N_SET_RSP)
        uid = str(request.RequestedSOPInstanceUID or "")

        def change(attributes: Attributes) -> _Answer:
            event, listed = step_event(attributes) or StepEvent.SET, listed_by_step(attributes)
            self._taker.step_set(uid, event, listed, caller=self._caller())
            return _Answer()

        named = request.RequestedSOPClassUID == operation.sop_class_uid
        self._respond(operation, uid, self._answer(operation, request.ModificationList, change, named=named))

    def _answer(
        self,
        operation: Operation,
        attributes: BytesIO | None,
        take: Callable[[Attributes], _Answer],
        *,
        named: bool,
    ) -> _Answer:
        """Take what a request announces; return how it is answered."""
        if not named:
            return _Answer(status=AnnouncementStatus.NO_SUCH_SOP_CLASS)
        content = identifier_of(attributes)
        if content is None:
            return _Answer(status=AnnouncementStatus.RESOURCE_LIMITATION, comment="the list is too long")
        context = self._association._accepted_cx[operation.context_id]
        try:
            return take(decoded(content, implicit=context.transfer_syntax[0] == ImplicitVRLittleEndian))
        except GroundglassError as error:
            return _refused(error)

    def _respond(self, operation: Operation, uid: str, answer: _Answer) -> None:
        if self._messages.alive:
            pdus = operation.response(
                answer.status,
                comment=answer.comment,
                error_id=answer.error_id,
                sop_instance_uid=answer.sop_instance_uid or uid,
            )
            self._messages.write(pdus)
