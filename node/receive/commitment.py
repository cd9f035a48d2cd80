"""Reports of storage commitment: what a destination says, on an association of its own, of what it keeps."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from node.dimse.admission import Caller
from node.dimse.commitment import CommitmentReport
from node.domain.network import Destination, DicomDestination
from node.store.proofs import ProofRecords

logger = logging.getLogger(__name__)


class CommitmentReports:
    """Takes the reports of the destinations that were asked. Implements ``CommitmentUser``.

    A report counts only for what was asked of a destination with the calling AE title under the report's
    transaction: nobody speaks for another one.

    Parameters
    ----------
    records : ProofRecords
        What was asked.
    destinations : iterable of Destination
        Who was asked.
    """

    def __init__(self, records: ProofRecords, destinations: Iterable[Destination]) -> None:
        self._records = records
        self._names: dict[str, list[str]] = {}
        for destination in destinations:
            if isinstance(destination, DicomDestination):
                self._names.setdefault(destination.ae_title, []).append(destination.name)

    def reported(self, report: CommitmentReport, *, caller: Caller) -> None:
        """Record a report.

        Raises
        ------
        UnknownSubject
            The caller was asked for no such transaction.
        StoreError
            It cannot be recorded now.
        """
        proven = self._records.committed(
            report.transaction_uid,
            destinations=self._names.get(caller.calling_ae_title, []),
            succeeded={item.sop_instance_uid for item in report.committed},
            failed={item.reference.sop_instance_uid: item.reason for item in report.failed},
        )
        logger.info(
            "%s reports on a storage commitment: %d deliveries proven, %d instances failed",
            caller.calling_ae_title,
            proven,
            len(report.failed),
        )
