"""The outbox: one delivery is one result object on its way to one destination."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from node.domain.result import ResultKind
from node.domain.states import StateTable

NO_SUCH_OBJECT = 0x0112
"""Failure Reason (0008,1197) of an instance that the destination does not have (PS3.3 C.14.1.1)."""
CLASS_NOT_COMMITTED = 0x0122
"""The one of an instance of whose SOP class the destination commits itself to nothing."""

LONGEST_LOOK = timedelta(days=30)
"""What is accepted and cannot be proven is looked at again after this long at the latest."""


class DeliveryState(StrEnum):
    """Where one delivery stands."""

    WITHHELD = "withheld"
    """The destination was not live, or does not accept a demonstration model, when the result was made."""
    PENDING = "pending"
    """To be sent when due."""
    SENDING = "sending"
    """Claimed by the courier."""
    SENT = "sent"
    """The destination answered with success; that it keeps the object is not proven yet."""
    DELIVERED = "delivered"
    """Proven to have arrived: committed, found there again, or read back."""
    REFUSED = "refused"
    """The destination refused it for good, or the attempts ran out; an operator must look."""
    CANCELLED = "cancelled"
    """Overtaken by a newer version or withdrawn before it was sent."""


class DeliveryEvent(StrEnum):
    """What may happen to a delivery."""

    CLAIM = "claim"
    ACCEPT = "accept"
    """The destination answered with success; proof is to follow."""
    PROVE = "prove"
    LOSE = "lose"
    """The destination says that it does not have what it had accepted: it is sent again."""
    SUCCESS = "success"
    """The answer is the proof: there is nobody else to ask."""
    RETRY = "retry"
    REFUSE = "refuse"
    RELEASE = "release"
    CANCEL = "cancel"
    RESTART = "restart"


DELIVERY = StateTable[DeliveryState, DeliveryEvent](
    "delivery",
    {
        (DeliveryState.PENDING, DeliveryEvent.CLAIM): DeliveryState.SENDING,
        (DeliveryState.SENDING, DeliveryEvent.ACCEPT): DeliveryState.SENT,
        (DeliveryState.SENT, DeliveryEvent.PROVE): DeliveryState.DELIVERED,
        (DeliveryState.SENT, DeliveryEvent.LOSE): DeliveryState.PENDING,
        (DeliveryState.SENT, DeliveryEvent.REFUSE): DeliveryState.REFUSED,
        (DeliveryState.SENDING, DeliveryEvent.SUCCESS): DeliveryState.DELIVERED,
        (DeliveryState.SENDING, DeliveryEvent.RETRY): DeliveryState.PENDING,
        (DeliveryState.SENDING, DeliveryEvent.REFUSE): DeliveryState.REFUSED,
        (DeliveryState.SENDING, DeliveryEvent.RESTART): DeliveryState.PENDING,
        (DeliveryState.WITHHELD, DeliveryEvent.RELEASE): DeliveryState.PENDING,
        (DeliveryState.REFUSED, DeliveryEvent.RELEASE): DeliveryState.PENDING,
        (DeliveryState.PENDING, DeliveryEvent.CANCEL): DeliveryState.CANCELLED,
        (DeliveryState.WITHHELD, DeliveryEvent.CANCEL): DeliveryState.CANCELLED,
        (DeliveryState.REFUSED, DeliveryEvent.CANCEL): DeliveryState.CANCELLED,
    },
)


@dataclass(frozen=True, kw_only=True)
class Outlet:
    """A destination at the moment at which results are made."""

    name: str
    """Name in the settings."""
    leaves: bool
    """Whether they may leave for it at once; else the deliveries are withheld."""
    kinds: frozenset[ResultKind] = frozenset(ResultKind)
    """What is sent there; nothing else gets a delivery."""


@dataclass(frozen=True, kw_only=True)
class OutgoingObject:
    """A result object to be sent, or one that was sent and is asked about."""

    delivery_id: int
    """Row of the outbox."""
    kind: ResultKind
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    path: Path
    """PS3.10 file whose data set is sent as it lies."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """The short form of one result object, for who takes no DICOM."""

    event: str
    """What happened: ``result`` or ``withdrawn``; ``ping`` where nothing did."""
    key: str
    """The same for every attempt to tell the same."""
    body: bytes
    """JSON."""


@dataclass(frozen=True, kw_only=True)
class SendReply:
    """What became of one object."""

    delivery_id: int
    delivered: bool
    """Whether the destination answered with success or a warning (PS3.4 B.2.3)."""
    retryable: bool
    """Whether a failure may pass by itself."""
    detail: str
    """For the operator: status and meaning, without patient data."""
    proof: str = ""
    """By what the answer itself proves that the object is kept; empty where it has to be asked for."""


class ProofStanding(StrEnum):
    """What a destination says of an object that it accepted."""

    PROVEN = "proven"
    """It has the object, and says that it keeps it."""
    ASKED = "asked"
    """No answer yet: it may come later, on another association."""
    DECLINED = "declined"
    """It does not say that it keeps the object, for a reason that may pass, or that an operator must see."""
    MISSING = "missing"
    """It does not have the object: send it again."""
    UNPROVABLE = "unprovable"
    """It offers no way to find out."""


@dataclass(frozen=True, kw_only=True)
class ProofReply:
    """What is known of one object that was asked about."""

    delivery_id: int
    standing: ProofStanding
    method: str
    """By what: the standard's name of the service, or what was read back."""
    detail: str
    """For the operator: what was answered, without patient data."""

    @classmethod
    def about(cls, item: OutgoingObject, standing: ProofStanding, method: str, detail: str) -> ProofReply:
        """Return what is known of ``item``."""
        return cls(delivery_id=item.delivery_id, standing=standing, method=method, detail=detail)

    @classmethod
    def unprovable(cls, item: OutgoingObject, detail: str) -> ProofReply:
        """Return that nobody can be asked about ``item``."""
        return cls.about(item, ProofStanding.UNPROVABLE, "", detail)


@dataclass(frozen=True, kw_only=True)
class ProofWaits:
    """How long a destination may take to say that it has what it accepted."""

    answer: timedelta
    """For an answer that comes later; each further wait for the same objects is twice as long."""
    grace: timedelta
    """An archive may index what it accepted a while later: until then "not there" is no answer."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One row of the outbox."""

    id: int
    destination: str
    state: DeliveryState
    attempts: int
    due_at: datetime | None
    detail: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    kind: ResultKind
    object_key: str
    study_instance_uid: str
    series_instance_uid: str
    proof: str
    """By what it was proven to have arrived; empty while it is not."""
    accepted_at: datetime | None
    """When the destination last answered with success ..."""
    answer: str
    """... and with what: a success may be a warning."""
    asked: int
    """How often it was asked since whether it has the object, without an answer."""
    losses: int
    """How often it did not have what it had accepted."""
