"""A screening: one study under one model version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.domain.states import StateTable


class ScreeningState(StrEnum):
    """Where a screening stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PARKED = "parked"
    """The engine could not answer; resumes by itself when due."""
    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    """A newer version of the same study's screening is in force."""
    CANCELLED = "cancelled"
    """The study was held, or grew, before the screening ran."""


class ScreeningEvent(StrEnum):
    """What may happen to a screening."""

    CLAIM = "claim"
    FINISH = "finish"
    FAIL = "fail"
    PARK = "park"
    RESTART = "restart"
    SUPERSEDE = "supersede"
    CANCEL = "cancel"


SCREENING = StateTable[ScreeningState, ScreeningEvent](
    "screening",
    {
        (ScreeningState.QUEUED, ScreeningEvent.CLAIM): ScreeningState.RUNNING,
        (ScreeningState.PARKED, ScreeningEvent.CLAIM): ScreeningState.RUNNING,
        (ScreeningState.RUNNING, ScreeningEvent.FINISH): ScreeningState.DONE,
        (ScreeningState.RUNNING, ScreeningEvent.FAIL): ScreeningState.FAILED,
        (ScreeningState.RUNNING, ScreeningEvent.PARK): ScreeningState.PARKED,
        (ScreeningState.RUNNING, ScreeningEvent.RESTART): ScreeningState.QUEUED,
        (ScreeningState.RUNNING, ScreeningEvent.CANCEL): ScreeningState.CANCELLED,
        (ScreeningState.QUEUED, ScreeningEvent.CANCEL): ScreeningState.CANCELLED,
        (ScreeningState.PARKED, ScreeningEvent.CANCEL): ScreeningState.CANCELLED,
        (ScreeningState.FAILED, ScreeningEvent.SUPERSEDE): ScreeningState.SUPERSEDED,
        (ScreeningState.DONE, ScreeningEvent.SUPERSEDE): ScreeningState.SUPERSEDED,
    },
)


class ScreeningCause(StrEnum):
    """Why a screening was queued."""

    SETTLED = "settled"
    REPROCESS = "reprocess"


class Purpose(StrEnum):
    """What becomes of a screening's outcome."""

    REPORT = "report"
    """The study's answer: a report is made and sent."""
    SHADOW = "shadow"
    """Kept for comparison with the model that answers; nothing of it leaves the node."""


ACTIVE_VERSION = 0
"""In place of a version: the one that is active when the screening runs."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Which model shall screen a study, and what for."""

    model_name: str
    model_version: int = ACTIVE_VERSION
    purpose: Purpose = Purpose.REPORT


@dataclass(frozen=True, kw_only=True)
class Screening:
    """One job."""

    id: int
    study_id: int
    study_instance_uid: str
    model_name: str
    model_version: int
    """The version that was asked for, or ``ACTIVE_VERSION``; the finding names the one that answered."""
    purpose: Purpose
    state: ScreeningState
    cause: ScreeningCause
    reason: str
    """For ``reprocess``: what the operator gave; else empty."""
    attempts: int
    queued_at: datetime
