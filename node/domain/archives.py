"""Archives from which studies are fetched: who they are, what they say, and how far a fetch is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from node.domain.network import TlsCall, WebAccess
from node.domain.states import StateTable


class Retrieval(StrEnum):
    """How an archive is asked for objects."""

    MOVE = "move"
    """C-MOVE to this node, which the archive calls: they come in by the listener."""
    GET = "get"
    """C-GET: they come on the association of the request."""


@dataclass(frozen=True, kw_only=True)
class Archive(ABC):
    """Where studies are looked for and fetched from."""

    name: str
    """Name in the settings."""
    counts: bool
    """Whether it is asked how many instances the series have that are being received."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Return where it is, for lists and messages."""


@dataclass(frozen=True, kw_only=True)
class DicomArchive(Archive):
    """An application entity that answers queries and retrievals (PS3.4 annex C)."""

    ae_title: str
    host: str
    port: int
    retrieval: Retrieval
    tls: TlsCall | None = None
    """None: without TLS."""

    @property
    def address(self) -> str:
        """Return AE title, host and port."""
        return f"{self.ae_title}@{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class WebArchive(Archive):
    """A DICOMweb server with QIDO-RS and WADO-RS (PS3.18 sections 10.6 and 10.4)."""

    access: WebAccess
    """``url`` is the base of the service."""

    @property
    def address(self) -> str:
        """Return the base URL."""
        return self.access.url


@dataclass(frozen=True, kw_only=True)
class Sought:
    """Which studies are looked for, and which of their series are fetched."""

    study_instance_uids: tuple[str, ...] = ()
    accession_number: str = ""
    patient_id: str = ""
    study_date: str = ""
    """One date or a range of dates (PS3.4 section C.2.2.2.5)."""
    modality: str = ""
    """Modality of the series; empty for every one."""

    @property
    def narrows(self) -> bool:
        """Whether it names anything but a modality: without, a whole archive would match."""
        texts = (self.accession_number, self.patient_id, self.study_date)
        return bool(self.study_instance_uids) or any(text.strip("*? ") for text in texts)


@dataclass(frozen=True, kw_only=True)
class ArchivedStudy:
    """A study as an archive shows it."""

    study_instance_uid: str
    study_date: str
    study_description: str
    modalities: tuple[str, ...]
    """ModalitiesInStudy; empty where the archive does not tell."""
    patient_id: str
    accession_number: str
    instance_count: int | None
    """NumberOfStudyRelatedInstances, an optional key."""


@dataclass(frozen=True, kw_only=True)
class ArchivedSeries:
    """A series as an archive shows it."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    body_part_examined: str
    series_description: str
    instance_count: int | None
    """NumberOfSeriesRelatedInstances, an optional key."""


@dataclass(frozen=True, kw_only=True)
class Poll:
    """What is fetched from an archive again and again, as soon as it is there."""

    name: str
    archive: str
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    """Patterns with ``*`` and ``?``, of which one must match BodyPartExamined; empty for any."""
    descriptions: tuple[str, ...]
    """Patterns of which one must match StudyDescription or SeriesDescription; empty for any."""
    days_back: int
    """Studies of today and so many days before."""
    every: timedelta


@dataclass(frozen=True, kw_only=True)
class PolledStudy:
    """What a rule saw of a study when it looked at it last."""

    instance_count: int | None
    """NumberOfStudyRelatedInstances; None where the archive does not tell."""
    counted: int | None
    """Instances of the series that the rule asks for, where they had to be counted."""
    seen_at: datetime
    grown_at: datetime | None
    """When they were more, or fewer, than before."""


@dataclass(frozen=True, kw_only=True)
class ArchiveCount:
    """How many instances of a series an archive said to hold."""

    archive: str
    count: int
    polls: int
    """How many times in a row it said so."""
    asked_at: datetime
    """The last time."""

    @property
    def unchanged(self) -> bool:
        """Whether it said the same twice: an archive that is still receiving counts what it has so far."""
        return self.polls >= 2


class PullCause(StrEnum):
    """Why something is fetched."""

    ASKED = "asked"
    """By an operator."""
    POLL = "poll"
    """By a query rule."""
    MISSING = "missing"
    """A series is not whole here and the archive has more of it."""


class PullState(StrEnum):
    """Where a pull stands."""

    SEARCHING = "searching"
    """The archive is to be asked which series there are."""
    FETCHING = "fetching"
    DONE = "done"
    """Everything that was found is here."""
    SHORT = "short"
    """It ended, and something that the archive shows did not come."""
    FAILED = "failed"
    """The archive could not be asked, or said no."""
    CANCELLED = "cancelled"


class PullEvent(StrEnum):
    """What may happen to a pull."""

    FOUND = "found"
    FINISH = "finish"
    FALL_SHORT = "fall-short"
    FAIL = "fail"
    CANCEL = "cancel"
    SEARCH_AGAIN = "search-again"
    """An operator resumes what ended before the archive had told what there is ..."""
    FETCH_AGAIN = "fetch-again"
    """... or after that."""


PULL = StateTable[PullState, PullEvent](
    "pull",
    {
        (PullState.SEARCHING, PullEvent.FOUND): PullState.FETCHING,
        (PullState.SEARCHING, PullEvent.FAIL): PullState.FAILED,
        (PullState.SEARCHING, PullEvent.CANCEL): PullState.CANCELLED,
        (PullState.FETCHING, PullEvent.FINISH): PullState.DONE,
        (PullState.FETCHING, PullEvent.FALL_SHORT): PullState.SHORT,
        (PullState.FETCHING, PullEvent.CANCEL): PullState.CANCELLED,
        (PullState.FAILED, PullEvent.SEARCH_AGAIN): PullState.SEARCHING,
        (PullState.CANCELLED, PullEvent.SEARCH_AGAIN): PullState.SEARCHING,
        (PullState.SHORT, PullEvent.FETCH_AGAIN): PullState.FETCHING,
        (PullState.CANCELLED, PullEvent.FETCH_AGAIN): PullState.FETCHING,
    },
)


class FetchState(StrEnum):
    """Where the fetching of one series stands."""

    WAITING = "waiting"
    DONE = "done"
    """Every instance that the archive shows is here."""
    SHORT = "short"
    """Not every one came, however often it was asked for."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """What is to be fetched."""

    archive: str
    cause: PullCause
    sought: Sought
    poll: str = ""
    """Which rule asks; empty for none."""


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A request and what became of it."""

    id: int
    request: PullRequest
    state: PullState
    asked_at: datetime
    due_at: datetime
    """Of the next attempt at the search."""
    attempts: int
    """How many searches failed."""
    ended_at: datetime | None
    detail: str
    """What went wrong last."""


@dataclass(frozen=True, kw_only=True)
class SeriesFetch:
    """The fetching of one series."""

    id: int
    pull_id: int
    archive: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    state: FetchState
    expected: int | None
    """How many instances the archive shows."""
    attempts: int
    """How many times not everything came."""
    due_at: datetime
    detail: str


@dataclass(frozen=True, kw_only=True)
class PullProgress:
    """How far a pull is."""

    pull: Pull
    series: int
    series_ended: int
    expected: int
    """Instances that the archive shows, as far as it has told."""
    here: int
    """Instances of these series that are in the store."""
    studies: int
    problem: str
    """What is, or was, wrong with one of its series; empty for nothing."""
    next_at: datetime | None
    """When the archive is asked again, of what is next; None where nothing is asked any more."""


@dataclass(frozen=True, kw_only=True)
class FetchProgress:
    """How far one series of a pull is."""

    fetch: SeriesFetch
    here: int
    """Instances of the series that are in the store."""


@dataclass(frozen=True, kw_only=True)
class ArchivedInstance:
    """An instance as an archive shows it."""

    sop_instance_uid: str
    sop_class_uid: str
    """Empty where the archive does not tell."""
