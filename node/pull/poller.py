"""Query rules: what is fetched from an archive again and again, as soon as it is there."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, tzinfo

from node.domain.archives import ArchivedStudy, Poll, PullCause, PullRequest, Sought
from node.domain.errors import GroundglassError
from node.domain.ports import Clock
from node.pull.archive import ArchiveClient, ArchiveSession
from node.pull.each import ask_about_each
from node.pull.rules import days_of, distinct, is_polled, is_sought
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

        def look_at(session: ArchiveSession, study: ArchivedStudy) -> None:
            nonlocal asked
            asked += self._look_at(session, study, now)

        try:
            with self._client.session() as session:
                new = self._new(session, now)
            problem = ask_about_each(self._client, new, look_at)
        except GroundglassError as error:
            logger.warning("archive %s could not be polled: %s", self._rule.archive, error)
            problem = str(error)
        if problem:
            self._archives.failed(self._rule.archive, problem)
        else:
            self._archives.answered(self._rule.archive)
        return asked

    def _new(self, session: ArchiveSession, now: datetime) -> list[ArchivedStudy]:
        days = days_of(self._rule, now.astimezone(self._zone).date())
        found: list[ArchivedStudy | None] = []
        for modality in self._rule.modalities:
            sought = Sought(study_date=days, modality=modality)
            studies = session.studies(sought, limit=self._most_studies)
            found += [study for study in studies if is_sought(study, sought)]
        studies = distinct(found, lambda study: study.study_instance_uid)
        return self._archives.unseen(self._rule.name, studies)

    def _look_at(self, session: ArchiveSession, study: ArchivedStudy, now: datetime) -> int:
        """Ask for the series of a study that the rule means; return how many."""
        found = session.series(study.study_instance_uid)
        wanted = [series for series in found if is_polled(self._rule, study, series)]
        request = PullRequest(
            archive=self._rule.archive,
            cause=PullCause.POLL,
            sought=Sought(study_instance_uids=(study.study_instance_uid,)),
            poll=self._rule.name,
        )
        if wanted:
            self._pulls.ask_for(request, wanted)
        out_of_reach = now - timedelta(days=self._rule.days_back + 2)
        self._archives.saw(self._rule.name, study, forget_before=out_of_reach)
        return len(wanted)
