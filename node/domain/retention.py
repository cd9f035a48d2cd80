"""What is kept and for how long: rules, what they look at, and what became of what was removed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from node.domain.study import StudyState


class Extent(StrEnum):
    """How much of a study is removed."""

    IMAGES = "images"
    """What was received; the results stay, with all that is known of them."""
    STUDY = "study"
    """What was received and what was made of it; the UIDs that were issued stay known."""


class Answer(StrEnum):
    """Which studies a rule is about, by what was made of them."""

    DELIVERED = "delivered"
    """Results are in force, and were proven to have arrived."""
    NONE = "none"
    """No result is in force: nothing was to be screened, or everything was withdrawn."""
    ANY = "any"


@dataclass(frozen=True, kw_only=True)
class RetentionRule:
    """A study goes when everything that stands here is so."""

    name: str
    """For the audit trail."""
    remove: Extent
    older_than: timedelta | None = None
    """Since the last arrival; None for any age."""
    more_studies_than: int | None = None
    """While more studies than this have images here, oldest arrival first."""
    free_below: int | None = None
    """While fewer bytes than this are free, oldest arrival first."""
    modalities: frozenset[str] = frozenset()
    """A series of one of these is among its series; empty for every study."""
    answer: Answer = Answer.DELIVERED
    delivered_to: frozenset[str] = frozenset()
    """Destinations at each of which the reports in force are proven to have arrived."""
    archives: frozenset[str] = frozenset()
    """Destinations that keep objects; with one of them at least the reports in force have arrived."""


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What is known of a study that a rule may look at."""

    study_id: int
    study_instance_uid: str
    state: StudyState
    last_arrival_at: datetime
    modalities: frozenset[str]
    """Of the series that are here; empty once the images were removed."""
    kept_by_order: bool
    """An operator ordered that it stays."""
    in_screening: bool
    """A screening of it is queued, running or parked."""
    screening_failed: bool
    """A screening that was to report failed and none came after it."""
    set_aside: bool
    """Objects of it wait for a comparison, or for a person."""
    promised: bool
    """A peer asked this node to keep one of its instances, and was not refused."""
    corrected: bool
    """Its patient or study attributes were put right here."""
    withdrawal_pending: bool
    """A rejection note is to be made."""
    undelivered: int
    """Deliveries of its results that are on their way, or were refused."""
    unproven: int
    """Deliveries of its results that are withheld, or were accepted and not proven."""
    versions_in_force: int
    """Versions of results in force: one a model."""
    shown: bool
    """Something remains to be found of it without its images: results in force, or what withdrew them."""
    kept_only_here: int
    """Result objects in force that no destination is proven to have."""
    proven_at: frozenset[str]
    """Destinations that are proven to have the report of every version in force."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """How full it is."""

    studies: int
    """How many studies have images here."""
    free_bytes: int
    """What is free on the disk of the object files."""


@dataclass(frozen=True, kw_only=True)
class Weight:
    """What a removal takes away."""

    instances: int
    """SOP instances, results included."""
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One study that was removed, or whose images were."""

    study_instance_uid: str
    extent: Extent
    rule: str
    by: str
    """An operator, or the node itself."""
    at: datetime
    weight: Weight


@dataclass(frozen=True, kw_only=True)
class RetentionHold:
    """An operator's order that a study stays."""

    study_instance_uid: str
    by: str
    reason: str
    at: datetime
