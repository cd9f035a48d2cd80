"""Storage commitment on an association that a peer opened: reports taken, requests answered."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pynetdicom import evt
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.pdu_primitives import A_RELEASE

from node.dimse.commitment import (
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    CommitmentReport,
    CommitmentRequest,
    CommitmentStatus,
    MessageRefused,
    event_type,
    received_report,
    received_request,
    report_data_set,
    response,
)
from node.dimse.incoming import KeptDataSet
from node.domain.errors import GroundglassError, TooManyRequests, TransactionInUse, UnknownSubject

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset
    from pynetdicom.association import Association
    from pynetdicom.events import Event

    from node.dimse.admission import Caller
    from node.dimse.incoming import IncomingMessages
    from node.dimse.services import CommitmentProvider, CommitmentUser

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 3.0
"""For a report on the association of the request: who waits for it answers at once, and who has asked for the
release instead must not wait for long."""
TRUNCATED = MessageRefused(status=CommitmentStatus.RESOURCE_LIMITATION, comment="the list is too long")


@dataclass(frozen=True, kw_only=True)
class CommitmentServices:
    """What this node does about storage commitment for those who call it."""

    user: CommitmentUser | None = None
    """Takes reports of commitments that were asked of the callers."""
    provider: CommitmentProvider | None = None
    """Commits itself to keep what callers have stored."""


class CommitmentExchange:
    """The storage commitment of one association.

    Parameters
    ----------
    association : Association
        Acceptor that has not been started.
    messages : IncomingMessages
        Its messages.
    services : CommitmentServices
    caller : callable
        Returns the admitted caller.
    """

    def __init__(
        self,
        association: Association,
        messages: IncomingMessages,
        services: CommitmentServices,
        caller: Callable[[], Caller],
    ) -> None:
        self._association = association
        self._messages = messages
        self._caller = caller
        self._reports = 0
        if services.user is not None:
            association.bind(evt.EVT_N_EVENT_REPORT, self._on_report, [services.user])
        if services.provider is not None:
            association.bind(evt.EVT_N_ACTION, self._on_request, [services.provider])

    def _on_report(self, event: Event, user: CommitmentUser) -> tuple[Dataset, None]:
        report = received_report(event) if _is_whole(event.request) else TRUNCATED
        if isinstance(report, MessageRefused):
            return response(report.status, report.comment), None
        try:
            user.reported(report, caller=self._caller())
        except UnknownSubject as error:
            logger.warning("a storage commitment report was refused: %s", error)
            return response(CommitmentStatus.INVALID_ARGUMENT, "no such transaction"), None
        except GroundglassError:
            logger.exception("a storage commitment report cannot be recorded")
            return response(CommitmentStatus.PROCESSING_FAILURE, "cannot be recorded now"), None
        return response(CommitmentStatus.SUCCESS), None

    def _on_request(self, event: Event, provider: CommitmentProvider) -> tuple[Dataset, None]:
        request = received_request(event) if _is_whole(event.request) else TRUNCATED
        if isinstance(request, MessageRefused):
            return response(request.status, request.comment), None
        try:
            provider.requested(request, caller=self._caller())
        except TransactionInUse as error:
            return response(CommitmentStatus.INVALID_ARGUMENT, str(error)), None
        except TooManyRequests as error:
            return response(CommitmentStatus.RESOURCE_LIMITATION, str(error)), None
        except GroundglassError:
            logger.exception("a storage commitment request cannot be answered")
            return response(CommitmentStatus.PROCESSING_FAILURE, "cannot be answered now"), None
        self._messages.afterwards(lambda: self._report(request, provider))
        return response(CommitmentStatus.SUCCESS), None

    def _report(self, request: CommitmentRequest, provider: CommitmentProvider) -> None:
        """Say on this association what can be said now, and note that it was taken."""
        try:
            report = provider.report_now(request, caller=self._caller(), waits=self._is_waited_for)
            if report is not None and self._send(report):
                provider.reported(report, caller=self._caller())
        except GroundglassError:
            logger.exception("a storage commitment cannot be reported now")

    def _is_waited_for(self) -> bool:
        """Whether the peer is there and has not asked for the release."""
        return self._messages.alive and not isinstance(self._association.dul.peek_next_pdu(), A_RELEASE)

    def _send(self, report: CommitmentReport) -> bool:
        """Report on the association of the request (PS3.4 J.3.3)."""
        if not self._messages.alive:
            return False
        self._reports += 1
        usual, self._association.dimse_timeout = self._association.dimse_timeout, ANSWER_SECONDS
        try:
            answer, _ = self._association.send_n_event_report(
                report_data_set(report),
                event_type(report),
                STORAGE_COMMITMENT,
                STORAGE_COMMITMENT_INSTANCE,
                msg_id=self._reports,
            )
        except RuntimeError:  # the association has ended between the look and the message
            return False
        finally:
            self._association.dimse_timeout = usual
        if answer.get("Status") != CommitmentStatus.SUCCESS:
            logger.warning("a storage commitment report was not acknowledged")
            return False
        return True


def _is_whole(request: object) -> bool:
    """Whether a list was kept to its end; an absent one is for who reads it to refuse."""
    keyword = "EventInformation" if isinstance(request, N_EVENT_REPORT) else "ActionInformation"
    information = getattr(request, keyword, None)
    return not isinstance(information, KeptDataSet) or information.is_whole
