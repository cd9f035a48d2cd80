"""Announcements of peers: procedure steps and notifications of availability, recorded for the verdict."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from node.dimse.admission import Caller
from node.domain.announcement import AnnouncedInstance, Status, StepEvent
from node.domain.expectation import Source
from node.domain.ports import UidSource
from node.store.announcements import AnnouncementRecords

logger = logging.getLogger(__name__)


class AnnouncementService:
    """Takes what peers announce of instances. Implements ``AnnouncementTaker``.

    Nothing but the lists of instances is kept: what else stands in a procedure step, patients' data above
    all, has no use here.

    Parameters
    ----------
    records : AnnouncementRecords
    uids : UidSource
        Of announcements that the peer leaves without a SOP Instance UID (PS3.7 10.1.5.1.4).
    """

    def __init__(self, records: AnnouncementRecords, uids: UidSource) -> None:
        self._records = records
        self._uids = uids

    def step_created(
        self, sop_instance_uid: str, listed: Sequence[AnnouncedInstance], *, caller: Caller
    ) -> str:
        """Record a performed procedure step that begins.

        Raises
        ------
        AnnouncementKnown, StoreError
        """
        return self._create(
            Source.PROCEDURE_STEP, Status.IN_PROGRESS, sop_instance_uid, listed, caller=caller
        )

    def step_set(
        self,
        sop_instance_uid: str,
        event: StepEvent,
        listed: Sequence[AnnouncedInstance] | None,
        *,
        caller: Caller,
    ) -> None:
        """Record a change of a performed procedure step.

        Raises
        ------
        UnknownSubject, StepOfAnother, StepEnded, StoreError
        """
        self._records.set_step(sop_instance_uid, event, listed, calling_ae_title=caller.calling_ae_title)
        if event is not StepEvent.SET:
            count = "its former list" if listed is None else f"{len(listed)} instances"
            logger.info("%s: procedure step: %s, %s", caller.calling_ae_title, event, count)

    def notified(self, sop_instance_uid: str, listed: Sequence[AnnouncedInstance], *, caller: Caller) -> str:
        """Record a notification of availability.

        Raises
        ------
        AnnouncementKnown, StoreError
        """
        return self._create(Source.AVAILABILITY, Status.AVAILABLE, sop_instance_uid, listed, caller=caller)

    def _create(
        self,
        source: Source,
        status: Status,
        sop_instance_uid: str,
        listed: Sequence[AnnouncedInstance],
        *,
        caller: Caller,
    ) -> str:
        uid = sop_instance_uid or self._uids.uid()
        self._records.create(source, uid, status, listed, calling_ae_title=caller.calling_ae_title)
        return uid
