"""Reports of storage commitment: what a destination says, on an association of its own, of what it keeps."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from node.dimse.admission import Caller
from node.dimse.commitment import CommitmentReport
from node.domain.errors import UnknownSubject
from node.domain.network import Destination, DicomDestination
from node.store.commitments_asked import CommitmentRecords
from node.store.proofs import ProofRecords

logger = logging.getLogger(__name__)


class CommitmentReports:
    """Takes the reports of the destinations that were asked. Implements ``CommitmentUser``.

    A report counts only for what was asked of a destination with the calling AE title under the report's
    transaction: nobody speaks for another one.

    Parameters
    ----------
    records : ProofRecords
        What was asked about results.
    destinations : iterable of Destination
        Who was asked.
    relayed : CommitmentRecords, optional
        What was asked on behalf of peers; by default nothing is.
    """

    def __init__(
        self,
        records: ProofRecords,
        destinations: Iterable[Destination],
        relayed: CommitmentRecords | None = None,
    ) -> None:
        self._records = records
        self._relayed = relayed
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
        names = self._names.get(caller.calling_ae_title, [])
        try:
            proven = self._records.committed(
                report.transaction_uid,
                destinations=names,
                succeeded={item.sop_instance_uid for item in report.committed},
                failed={item.reference.sop_instance_uid: item.reason for item in report.failed},
            )
        except UnknownSubject:
            if self._relayed is None:
                raise
            take_relayed(self._relayed, report, destinations=names)
            return
        logger.info(
            "%s reports on a storage commitment: %d deliveries proven, %d instances failed",
            caller.calling_ae_title,
            proven,
            len(report.failed),
        )


def take_relayed(records: CommitmentRecords, report: CommitmentReport, *, destinations: list[str]) -> int:
    """Take in what a destination has committed itself to on behalf of a peer; return how many instances.

    Raises
    ------
    UnknownSubject
        It was asked for no such transaction.
    """
    failed = {item.reference.sop_instance_uid for item in report.failed}
    committed = {item.sop_instance_uid for item in report.committed} - failed
    kept = records.relayed(report.transaction_uid, destinations=destinations, committed=committed)
    logger.info("an archive commits itself to %d instances on behalf of a peer, not to %d", kept, len(failed))
    return kept
