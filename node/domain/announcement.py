"""What peers announce of instances: performed procedure steps, and notifications of availability."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from node.domain.states import StateTable


class Status(StrEnum):
    """Where an announcement stands."""

    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    DISCONTINUED = "discontinued"
    AVAILABLE = "available"
    """Of a notification: it is made once and never changed."""


class StepEvent(StrEnum):
    """What may happen to a performed procedure step."""

    SET = "set"
    COMPLETE = "complete"
    DISCONTINUE = "discontinue"


STEP = StateTable[Status, StepEvent](
    "performed procedure step",
    {
        (Status.IN_PROGRESS, StepEvent.SET): Status.IN_PROGRESS,
        (Status.IN_PROGRESS, StepEvent.COMPLETE): Status.COMPLETED,
        (Status.IN_PROGRESS, StepEvent.DISCONTINUE): Status.DISCONTINUED,
    },
)
"""PS3.4 section F.7.2.2: what is completed or discontinued may no longer be updated."""


@dataclass(frozen=True, kw_only=True, order=True)
class AnnouncedInstance:
    """One instance that an announcement lists."""

    series_instance_uid: str
    sop_instance_uid: str
