"""The tables of the DICOM conformance statement about what peers ask and tell of instances."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.uid import UID

from node.dimse.commitment import STORAGE_COMMITMENT, CommitmentStatus
from node.dimse.procedure_steps import (
    INSTANCE_AVAILABILITY,
    PERFORMED_PROCEDURE_STEP,
    AnnouncementStatus,
)
from node.domain.commitment import CLASS_CONFLICT, COMMITTED, NO_SUCH_INSTANCE, PROCESSING_FAILURE

ACTION_ANSWERS = {
    CommitmentStatus.SUCCESS: "The request is recorded; the report follows.",
    CommitmentStatus.PROCESSING_FAILURE: "It cannot be recorded now.",
    CommitmentStatus.NO_SUCH_INSTANCE: "Not the well-known SOP instance.",
    CommitmentStatus.INVALID_ARGUMENT: "Malformed, or the transaction was asked for with other instances.",
    CommitmentStatus.NO_SUCH_SOP_CLASS: "Not the SOP class of the presentation context.",
    CommitmentStatus.NO_SUCH_ACTION: "No action type of storage commitment.",
    CommitmentStatus.RESOURCE_LIMITATION: "The list is too long, or too many requests of the peer wait.",
}
"""Statuses of N-ACTION responses (PS3.7 10.1.4.1.10)."""
OUTCOMES = {
    COMMITTED: "committed: the bytes were verified, and the archive commits itself or `ground` is `keep`",
    PROCESSING_FAILURE: "the file is damaged, another object of the same UID lies aside, or the archive did "
    "not commit itself in time",
    NO_SUCH_INSTANCE: "not here when `arrival_seconds` were over",
    CLASS_CONFLICT: "here, with another SOP class",
}
ANNOUNCEMENT_ANSWERS = {
    AnnouncementStatus.SUCCESS: "Recorded.",
    AnnouncementStatus.INVALID_ATTRIBUTE_VALUE: "A UID or the status is malformed, a step is not created IN "
    "PROGRESS, or more than 65536 instances are listed.",
    AnnouncementStatus.PROCESSING_FAILURE: "With Error ID A710H, the step has ended and may no longer be "
    "updated; else it cannot be recorded now.",
    AnnouncementStatus.DUPLICATE_INSTANCE: "There is one of this SOP Instance UID.",
    AnnouncementStatus.NO_SUCH_INSTANCE: "N-SET of a step that was not created here.",
    AnnouncementStatus.INVALID_INSTANCE: "N-CREATE under what is no UID (PS3.5 section 9.1).",
    AnnouncementStatus.NO_SUCH_SOP_CLASS: "Not the SOP class of the presentation context.",
    AnnouncementStatus.MISSING_ATTRIBUTE: "N-CREATE of a step without status.",
    AnnouncementStatus.NOT_AUTHORIZED: "N-SET of a step that another AE title created.",
    AnnouncementStatus.RESOURCE_LIMITATION: "The data set is larger than 4 MiB.",
}


def announced_services() -> Iterator[tuple[str, str, str, str]]:
    """Yield service, SOP class UID, SCU and SCP of the classes that are served."""
    yield UID(STORAGE_COMMITMENT).name, f"`{STORAGE_COMMITMENT}`", "yes", "where `[commitment]` is enabled"
    for uid in (PERFORMED_PROCEDURE_STEP, INSTANCE_AVAILABILITY):
        yield UID(uid).name, f"`{uid}`", "no", "yes"


def announced_tables() -> Iterator[tuple[str, tuple[str, ...], list[tuple[object, ...]]]]:
    """Yield title, columns and rows of each table."""
    for title, answers in (
        ("N-ACTION statuses that the node answers with", ACTION_ANSWERS),
        ("N-CREATE and N-SET statuses that the node answers with", ANNOUNCEMENT_ANSWERS),
    ):
        yield title, ("status", "meaning"), [(f"{code:04X}H", text) for code, text in answers.items()]
    reasons: list[tuple[object, ...]] = [
        ("none" if reason == COMMITTED else f"{reason:04X}H", text) for reason, text in OUTCOMES.items()
    ]
    yield "Failure reasons that the node reports of a storage commitment", ("reason", "when"), reasons
