"""Whether an application entity has what it accepted: storage commitment, or else a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from node.dimse.asking import AskingAssociation, Found, Wanted
from node.dimse.commitment import (
    CommitmentReport,
    CommitmentRequest,
    FailedInstance,
    FailureReason,
    ReferencedInstance,
)
from node.dimse.status import Meaning
from node.domain.delivery import OutgoingObject, ProofReply, ProofStanding
from node.domain.network import Proof

COMMITMENT = "storage commitment"
QUERY = "C-FIND"
STANDINGS: Final[Mapping[int, ProofStanding]] = MappingProxyType(
    {
        FailureReason.NO_SUCH_INSTANCE: ProofStanding.MISSING,
        # Nothing is said of the object: it may be shown by a query.
        FailureReason.SOP_CLASS_NOT_SUPPORTED: ProofStanding.ASKED,
    }
)
"""What a Failure Reason (0008,1197) says of an object; every other one that it is not kept."""


def way_to_prove(wanted: Proof, *, asked: int, commitment: bool, find: bool) -> Proof:
    """Return how a destination is asked now: by commitment, by find, or not at all.

    Parameters
    ----------
    wanted : Proof
        The destination's setting.
    asked : int
        How often it was asked before without an answer. By ``auto`` a commitment that was not answered is
        followed by a query: not every archive can call this node back.
    commitment, find : bool
        What the destination offers.
    """
    if wanted is Proof.AUTO:
        if commitment and (asked == 0 or not find):
            return Proof.COMMITMENT
        return Proof.FIND if find else Proof.NONE
    offered = {Proof.COMMITMENT: commitment, Proof.FIND: find}
    return wanted if offered.get(wanted, False) else Proof.NONE


def prove_on(
    association: AskingAssociation,
    objects: Sequence[OutgoingObject],
    *,
    wanted: Proof,
    transaction_uid: str,
    asked: int,
    report_seconds: float,
) -> list[ProofReply]:
    """Ask on an open association; one reply, in order, for each object.

    Parameters
    ----------
    association : AskingAssociation
    objects : sequence of OutgoingObject
    wanted : Proof
        The destination's setting.
    transaction_uid : str
        Of the storage commitment.
    asked : int
        How often these were asked about before without an answer.
    report_seconds : float
        How long a report of storage commitment is waited for on this association.

    Raises
    ------
    DestinationUnavailable
        The association ended before the answer.
    DestinationRefused
        The destination's answer cannot be used.
    """
    find = association.offers_find
    way = way_to_prove(wanted, asked=asked, commitment=association.offers_commitment, find=find)
    if way is Proof.COMMITMENT:
        meaning = association.request_commitment(_request(objects, transaction_uid))
        if meaning.delivered:
            report = association.await_report(seconds=report_seconds)
            return _reported(objects, report)
        if wanted is not Proof.AUTO or not find:
            return _not_committed(objects, meaning)
        way = Proof.FIND
    if way is Proof.FIND:
        return _looked_for(objects, association.look_for([_wanted(item) for item in objects]))
    return unprovable(objects, f"it does not offer what proves an arrival (proof = {wanted.value})")


def unprovable(objects: Sequence[OutgoingObject], detail: str) -> list[ProofReply]:
    """Return the replies of a destination that cannot be asked."""
    return [ProofReply.unprovable(item, detail) for item in objects]


def _request(objects: Sequence[OutgoingObject], transaction_uid: str) -> CommitmentRequest:
    references = tuple(
        ReferencedInstance(sop_class_uid=item.sop_class_uid, sop_instance_uid=item.sop_instance_uid)
        for item in objects
    )
    return CommitmentRequest(transaction_uid=transaction_uid, references=references)


def _wanted(item: OutgoingObject) -> Wanted:
    return Wanted(
        study_instance_uid=item.study_instance_uid,
        series_instance_uid=item.series_instance_uid,
        sop_instance_uid=item.sop_instance_uid,
    )


def _reported(objects: Sequence[OutgoingObject], report: CommitmentReport | None) -> list[ProofReply]:
    """Say of each object what the report says; without one the answer comes later."""
    if report is None:
        return [
            ProofReply.about(item, ProofStanding.ASKED, COMMITMENT, "asked; no report yet")
            for item in objects
        ]
    committed = {item.sop_instance_uid for item in report.committed}
    failed = {item.reference.sop_instance_uid: item for item in report.failed}
    return [
        ProofReply.about(
            item, *_standing(item.sop_instance_uid in committed, failed.get(item.sop_instance_uid))
        )
        for item in objects
    ]


def _standing(committed: bool, failed: FailedInstance | None) -> tuple[ProofStanding, str, str]:
    """Return standing, method and detail of one object of a report."""
    if failed is None:
        if committed:
            return ProofStanding.PROVEN, COMMITMENT, "committed"
        return ProofStanding.ASKED, COMMITMENT, "the report does not name this object"
    detail = f"not committed: {failed.text}"
    return STANDINGS.get(failed.reason, ProofStanding.DECLINED), COMMITMENT, detail


def _not_committed(objects: Sequence[OutgoingObject], meaning: Meaning) -> list[ProofReply]:
    detail = f"the request for storage commitment was answered {meaning.text}"
    standing = ProofStanding.ASKED if meaning.retryable else ProofStanding.UNPROVABLE
    return [ProofReply.about(item, standing, COMMITMENT, detail) for item in objects]


def _looked_for(objects: Sequence[OutgoingObject], found: Found) -> list[ProofReply]:
    """Say of each object what the queries showed."""
    replies = []
    for item in objects:
        uid = item.sop_instance_uid
        if uid in found.present:
            replies.append(ProofReply.about(item, ProofStanding.PROVEN, QUERY, "found"))
        elif uid in found.unknown:
            passes = found.problem is not None and found.problem.retryable
            standing = ProofStanding.ASKED if passes else ProofStanding.UNPROVABLE
            text = found.problem.text if found.problem is not None else "nothing"
            replies.append(ProofReply.about(item, standing, QUERY, f"the query was answered {text}"))
        else:
            replies.append(ProofReply.about(item, ProofStanding.MISSING, QUERY, "not found"))
    return replies
