"""Query rules: what is fetched from an archive again and again, as soon as it is there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

from node.domain.archives import (
    ArchivedSeries,
    ArchivedStudy,
    Poll,
    PolledStudy,
    PullCause,
    PullRequest,
    Sought,
)
from node.domain.errors import GroundglassError
from node.domain.ports import Clock
from node.pull.archive import ArchiveClient, ArchiveSession
from node.pull.each import ask_about_each
from node.pull.rules import days_of, distinct, is_looked_at, is_polled, is_sought
from node.store.archives import ArchiveRecords
from node.store.pulls import PullRecords

logger = logging.getLogger(__name__)


class Poller:
    """Looks for new studies by one rule.

    Parameters
    ----------
    rule : Poll
    client : ArchiveClient
        Of the rule's archive.
    pulls : PullRecords
    archives : ArchiveRecords
    clock : Clock
    zone : tzinfo
        Of the hospital, in whose days studies are dated.
    most_studies : int
        Of one search.
    """

    def __init__(
        self,
        rule: Poll,
        client: ArchiveClient,
        pulls: PullRecords,
        archives: ArchiveRecords,
        *,
        clock: Clock,
        zone: tzinfo,
        most_studies: int,
    ) -> None:
        self._rule = rule
        self._client = client
        self._pulls = pulls
        self._archives = archives
        self._clock = clock
        self._zone = zone
        self._most_studies = most_studies

    def run_once(self) -> int:
        """Look once; return how many series are to be fetched that were not before."""
        now, asked = self._clock.now(), 0
        seen = self._archives.polled(self._rule.name)

        def look_at(session: ArchiveSession, study: ArchivedStudy) -> None:
            nonlocal asked
            asked += self._look_at(session, study, seen.get(study.study_instance_uid), now)

        try:
            with self._client.session() as session:
                found = self._found(session, now)
            new = [study for study in found if is_looked_at(study, seen.get(study.study_instance_uid), now)]
            problem = ask_about_each(self._client, new, look_at)
        except GroundglassError as error:
            logger.warning("archive %s could not be polled: %s", self._rule.archive, error)
            problem = str(error)
        if problem:
            self._archives.failed(self._rule.archive, problem)
        else:
            self._archives.answered(self._rule.archive)
        return asked

    def _found(self, session: ArchiveSession, now: datetime) -> list[ArchivedStudy]:
        days = days_of(self._rule, now.astimezone(self._zone).date())
        found: list[ArchivedStudy | None] = []
        for modality in self._rule.modalities:
            sought = Sought(study_date=days, modality=modality)
            studies = session.studies(sought, limit=self._most_studies)
            found += [study for study in studies if is_sought(study, sought)]
        return distinct(found, lambda study: study.study_instance_uid)

    def _look_at(
        self, session: ArchiveSession, study: ArchivedStudy, seen: PolledStudy | None, now: datetime
    ) -> int:
        """Ask for the series of a study that the rule means; return how many."""
        found = session.series(study.study_instance_uid)
        wanted = [series for series in found if is_polled(self._rule, study, series)]
        counted = None if study.instance_count is not None else _counted(session, wanted)
        request = PullRequest(
            archive=self._rule.archive,
            cause=PullCause.POLL,
            sought=Sought(study_instance_uids=(study.study_instance_uid,)),
            poll=self._rule.name,
        )
        is_same = seen is not None and counted is not None and seen.counted == counted
        if wanted and not is_same:
            self._pulls.ask_for(request, wanted)
        out_of_reach = now - timedelta(days=self._rule.days_back + 2)
        self._archives.saw(self._rule.name, study, counted=counted, forget_before=out_of_reach)
        return 0 if is_same else len(wanted)


def _counted(session: ArchiveSession, wanted: Sequence[ArchivedSeries]) -> int:
    """Return how many instances some series have, by what the archive tells of each or by counting them."""
    return sum(
        len(session.instances(series.study_instance_uid, series.series_instance_uid))
        if series.instance_count is None
        else series.instance_count
        for series in wanted
    )
