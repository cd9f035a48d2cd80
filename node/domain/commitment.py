"""Storage commitment that peers ask of this node: one request on its way to its report (PS3.4 annex J)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from node.domain.states import StateTable

COMMITTED = 0
"""Outcome of an instance to which this node commits itself; any other one is a Failure Reason (0008,1197)."""
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
CLASS_CONFLICT = 0x0119
"""Failure Reasons (PS3.3 C.14.1.1): not kept for another cause, not here, here with another SOP class."""


class RequestState(StrEnum):
    """Where a request stands."""

    OPEN = "open"
    """Not every instance is decided on."""
    DECIDED = "decided"
    """To be reported when due."""
    REPORTED = "reported"
    """The peer has acknowledged the report."""
    ABANDONED = "abandoned"
    """The peer could not be told in time; what was committed stays committed."""


class RequestEvent(StrEnum):
    """What may happen to a request."""

    DECIDE = "decide"
    REPORT = "report"
    ABANDON = "abandon"
    ASK_AGAIN = "ask-again"
    """The peer sends the same request once more."""


REQUEST = StateTable[RequestState, RequestEvent](
    "commitment request",
    {
        (RequestState.OPEN, RequestEvent.DECIDE): RequestState.DECIDED,
        (RequestState.DECIDED, RequestEvent.REPORT): RequestState.REPORTED,
        (RequestState.DECIDED, RequestEvent.ABANDON): RequestState.ABANDONED,
        **{(state, RequestEvent.ASK_AGAIN): RequestState.OPEN for state in RequestState},
    },
)


class Ground(StrEnum):
    """On what ground this node commits itself to an instance, whose bytes it has verified in either case."""

    RELAY = "relay"
    """An archive has committed itself to it when this node asked for it."""
    KEEP = "keep"
    """This node never removes what it has committed itself to."""


@dataclass(frozen=True, kw_only=True)
class AskedInstance:
    """One instance of a request."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class InstanceFacts:
    """All that the decision on one instance depends on."""

    asked: AskedInstance
    sop_class_uid: str | None
    """Of the instance in force under its UID; None when there is none."""
    object_key: str | None
    """Name of its file."""
    waits_for_comparison: bool
    """An object of the same UID with other bytes has come and was not compared yet."""
    set_aside: bool
    """An object of the same UID lies beside the index: nobody can say which of the two the peer means."""
    verified: bool
    """Its bytes were read and have the digest of the index."""


@dataclass(frozen=True, kw_only=True)
class OpenRequest:
    """A request of which something is still to be decided, or to be reported."""

    id: int
    transaction_uid: str
    calling_ae_title: str
    received_at: datetime
    changed_at: datetime
    """Of a decided one, when it was decided or last put off."""
    attempts: int
    """Reports that the peer did not acknowledge."""


@dataclass(frozen=True, kw_only=True)
class CommitmentWaits:
    """How long something may take before it has failed."""

    arrival: timedelta
    """For an instance to come in that a request names."""
    relay: timedelta
    """For the archive to commit itself."""
    report: timedelta
    """For the peer to take the report."""
