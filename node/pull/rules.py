"""Decisions about what is asked for and fetched, apart from their execution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from node.domain.archives import ArchiveCount, ArchivedSeries, ArchivedStudy, Poll, PolledStudy, Sought
from node.domain.expectation import Expectation, Source
from node.domain.study import Series

Match = TypeVar("Match")
WILDCARDS: Final = frozenset("*?")
"""PS3.4 section C.2.2.2.4."""
COUNT_SHARE: Final = 8
"""A series that has been silent for long is asked about again after this part of its silence ..."""
MISSING_SHARE: Final = 2
"""... and what is missing of it is fetched again after this part."""


@dataclass(frozen=True, kw_only=True)
class Watching:
    """How series are watched that may not be whole."""

    every: timedelta
    """An archive is asked about a series no more often."""
    missing_after: timedelta
    """What is missing is fetched when nothing has arrived for this long."""
    for_long: timedelta
    """A series that is incomplete is watched for this long after its last image."""
    fetch: bool
    """Whether what is missing is fetched at all."""


@dataclass(frozen=True, kw_only=True)
class Silence:
    """What decides whether a series is asked about."""

    last_arrival_at: datetime
    here: int
    carried_now: bool
    being_fetched: bool
    missed_at: datetime | None


def queries_of(sought: Sought) -> list[dict[str, str]]:
    """Return the keys of the queries for studies, one for each Study Instance UID.

    Not every archive matches a list of UIDs (PS3.4 section C.2.2.2.2).
    """
    keys = {
        "AccessionNumber": sought.accession_number,
        "PatientID": sought.patient_id,
        "StudyDate": sought.study_date,
        "ModalitiesInStudy": sought.modality,
    }
    given = {keyword: value for keyword, value in keys.items() if value}
    if not sought.study_instance_uids:
        return [given]
    return [{**given, "StudyInstanceUID": uid} for uid in sought.study_instance_uids]


def distinct(found: Iterable[Match | None], name: Callable[[Match], str]) -> list[Match]:
    """Return what was found, each once, without what could not be read."""
    return list({name(item): item for item in found if item is not None}.values())


def is_sought(study: ArchivedStudy, sought: Sought) -> bool:
    """Whether a match is what was asked for: an archive may ignore a key that it does not know."""
    if sought.study_instance_uids and study.study_instance_uid not in sought.study_instance_uids:
        return False
    if sought.modality and study.modalities and sought.modality not in study.modalities:
        return False
    pairs = ((sought.accession_number, study.accession_number), (sought.patient_id, study.patient_id))
    return all(not asked or not told or _alike(asked, told) for asked, told in pairs)


def series_sought(found: Sequence[ArchivedSeries], modality: str) -> list[ArchivedSeries]:
    """Return the series of a modality; of every one where none is named."""
    return [series for series in found if not modality or series.modality in {modality, ""}]


def is_polled(rule: Poll, study: ArchivedStudy, series: ArchivedSeries) -> bool:
    """Whether a rule asks for a series; patterns know no difference between upper and lower case."""
    descriptions = (study.study_description, series.series_description)
    return (
        series.modality in rule.modalities
        and _fits(rule.body_parts, (series.body_part_examined,))
        and _fits(rule.descriptions, descriptions)
    )


def is_looked_at(study: ArchivedStudy, seen: PolledStudy | None, now: datetime) -> bool:
    """Whether a rule looks into a study: a new one, one that has grown, or one that may have.

    Where the archive does not tell how many instances it has, it is looked at with each poll until they are
    the same twice; then after double the time each, so that what comes late is found, too.
    """
    if seen is None:
        return True
    if study.instance_count is not None or seen.instance_count is not None:
        return study.instance_count != seen.instance_count
    if seen.counted is None or seen.grown_at is None:
        return True
    return not timedelta(0) <= now - seen.seen_at < seen.seen_at - seen.grown_at


def days_of(rule: Poll, today: date) -> str:
    """Return the range of study dates that a rule looks at (PS3.4 section C.2.2.2.5)."""
    return f"{today - timedelta(days=rule.days_back):%Y%m%d}-{today + timedelta(days=1):%Y%m%d}"


def may_be_asked(silence: Silence, said: ArchiveCount | None, watching: Watching, now: datetime) -> bool:
    """Whether an archive is asked again how many instances of a series it holds."""
    if said is None:
        return True
    spacing = max(watching.every, (now - silence.last_arrival_at) / COUNT_SHARE)
    return not timedelta(0) <= now - said.asked_at < spacing


def missing_at(
    silence: Silence, counts: Iterable[ArchiveCount], watching: Watching, now: datetime
) -> ArchiveCount | None:
    """Return which archive has instances that are to be fetched now; None for none.

    Not while the series arrives, and not from an archive that is still receiving it: what is on its way comes
    by itself.
    """
    silent = now - silence.last_arrival_at
    if not watching.fetch or silence.carried_now or silence.being_fetched or silent < watching.missing_after:
        return None
    spacing = max(watching.missing_after, silent / MISSING_SHARE)
    if silence.missed_at is not None and timedelta(0) <= now - silence.missed_at < spacing:
        return None
    more = [said for said in counts if said.unchanged and said.count > silence.here]
    return max(more, key=lambda said: said.count, default=None)


def expectation_of(said: ArchiveCount | None, series: Series) -> tuple[Expectation, ...]:
    """Return what an archive's count says of a series.

    An archive that holds less than is here says nothing: it is still receiving. One that holds as much must
    have said so twice, the second time after the last image came here.
    """
    if said is None or said.count < series.instance_count or said.count == 0:
        return ()
    missing = said.count - series.instance_count
    final = missing == 0 and said.unchanged and said.asked_at > series.last_arrival_at
    return (Expectation(source=Source.ARCHIVE, listed=said.count, missing=missing, final=final),)


def _fits(patterns: Sequence[str], texts: Sequence[str]) -> bool:
    return not patterns or any(
        fnmatchcase(text.upper(), pattern.upper()) for pattern in patterns for text in texts
    )


def _alike(asked: str, told: str) -> bool:
    return not WILDCARDS.isdisjoint(asked) or asked.strip() == told.strip()
