"""Peers and destinations on the DICOM network, and the limits set on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from node.domain.model import ModelStatus
from node.domain.result import ResultKind

AE_TITLE_MAX_LENGTH = 16  # PS3.5 section 6.2, VR AE


class Right(StrEnum):
    """What a peer may do here."""

    STORE = "store"
    ECHO = "echo"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """An application entity that may call this node."""

    ae_title: str
    """Calling AE title."""
    addresses: tuple[str, ...]
    """IP addresses or networks (CIDR) it calls from; empty means none."""
    rights: frozenset[Right]
    authority: bool = False
    """Its corrections of patient and study attributes are confirmed without an operator."""


@dataclass(frozen=True, kw_only=True)
class RefusedCaller:
    """A caller that was not let in; shown to the operator with the line that would admit it."""

    calling_ae_title: str
    address: str
    reason: str
    attempts: int
    last_at: datetime


class Proof(StrEnum):
    """How a destination shows that it has what it accepted."""

    AUTO = "auto"
    """By storage commitment where it is offered, else by finding the objects there."""
    COMMITMENT = "commitment"
    FIND = "find"
    NONE = "none"
    """Not at all: what it accepted stays `sent`."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Who takes results."""

    name: str
    """Name in the settings."""
    accept_demonstration: bool
    """Whether results of a model whose card says demonstration or untrained may be sent there."""
    kinds: frozenset[ResultKind] = frozenset(ResultKind)
    """What is sent there."""

    def accepts(self, status: ModelStatus) -> bool:
        """Whether results of a model with this status may be sent there."""
        return status is ModelStatus.VALIDATED or self.accept_demonstration


@dataclass(frozen=True, kw_only=True)
class DicomDestination(Destination):
    """An application entity that takes results by C-STORE."""

    ae_title: str
    host: str
    port: int
    proof: Proof = Proof.AUTO


@dataclass(frozen=True, kw_only=True)
class ListenLimits:
    """What a peer can make big, bounded."""

    max_associations: int
    max_pdu: int
    """Bytes of one P-DATA-TF PDU that this node accepts (PS3.8 D.1)."""
    max_object_bytes: int
    """Bytes of one SOP instance."""
    idle_seconds: float
    """Without any PDU for this long, the association is aborted."""
    acse_seconds: float
    dimse_seconds: float


@dataclass(frozen=True, kw_only=True)
class QuietTimes:
    """How long silence must last before it means something."""

    geometry: timedelta
    """With gap-free geometry, lungs closed at both ends and a normal release."""
    plain: timedelta
    """Otherwise."""
    study: timedelta
    """Before a study settles."""
    cap: timedelta
    """After which a series that is still open counts as incomplete."""
    gap_multiple: float
    """Quiet times rise to this many times the sender's 99th percentile gap ..."""
    floor: timedelta
    """... but not below this ..."""
    ceiling: timedelta
    """... and not above this."""


class CapPolicy(StrEnum):
    """What to do with a study whose chosen series is incomplete."""

    SKIP_AND_NOTIFY = "skip-and-notify"
    RUN_AND_FLAG = "run-and-flag"


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """When a failed delivery is tried again."""

    first: timedelta
    factor: float
    longest: timedelta
    jitter: float
    """Share of the delay that is random, 0..1."""
    max_attempts: int
    """After which the delivery waits for an operator."""
