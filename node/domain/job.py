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


@dataclass(frozen=True, kw_only=True)
class Screening:
    """One job."""

    id: int
    study_id: int
    study_instance_uid: str
    model_name: str
    state: ScreeningState
    cause: ScreeningCause
    reason: str
    """For ``reprocess``: what the operator gave; else empty."""
    attempts: int
    queued_at: datetime
