"""Reports of storage commitment on an association of this node's own (PS3.4 J.3.3)."""

from __future__ import annotations

from pynetdicom.presentation import build_context

from node.dimse.commitment import (
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    CommitmentReport,
    event_type,
    report_data_set,
)
from node.dimse.contexts import CONVERTIBLE
from node.dimse.entity import Timeouts
from node.dimse.scu import Remote, open_association, status_of
from node.domain.errors import DestinationRefused


def report_commitment(
    remote: Remote, report: CommitmentReport, *, calling_ae_title: str, timeouts: Timeouts
) -> None:
    """Report to a peer what became of its request; returns when the peer has acknowledged it.

    This node opens the association and is the service class provider on it, which it says by role selection
    (PS3.7 D.3.3.4).

    Raises
    ------
    DestinationUnavailable
        There is no association, or no answer.
    DestinationRefused
        The peer does not take the report.
    """
    contexts = [build_context(STORAGE_COMMITMENT, list(CONVERTIBLE))]
    roles = [STORAGE_COMMITMENT]
    with open_association(remote, calling_ae_title, contexts, timeouts, roles=roles) as association:
        if not any(context.as_scp for context in association.accepted_contexts):
            raise DestinationRefused(
                f"{remote} does not let this node report; allow the role of an SCP there"
            )
        answer, _ = association.send_n_event_report(
            report_data_set(report), event_type(report), STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )
        status = status_of(association, answer, f"{remote} gave no answer to N-EVENT-REPORT")
        if status != 0x0000:  # PS3.7 10.1.1.1.8
            raise DestinationRefused(f"{remote} answered N-EVENT-REPORT with {status:04X}H")
