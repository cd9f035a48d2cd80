"""Asks archives how many instances the series have that are being received, and fetches what is missing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from node.domain.archives import ArchivedSeries, PullCause, PullRequest, Sought
from node.domain.errors import GroundglassError
from node.domain.ports import Clock
from node.pull.archive import ArchiveClient, ArchiveSession
from node.pull.each import ask_about_each
from node.pull.rules import Silence, Watching, may_be_asked, missing_at
from node.store.archives import ArchiveRecords, OpenSeries
from node.store.pulls import PullRecords

logger = logging.getLogger(__name__)

MOST_SERIES: Final = 500
"""Watched at a time, the newest: a node receives some dozen at once."""


class Counter:
    """Watches series that may not be whole.

    Parameters
    ----------
    clients : mapping of str to ArchiveClient
        Archives that are asked, by name.
    pulls : PullRecords
    archives : ArchiveRecords
    clock : Clock
    watching : Watching
    """

    def __init__(
        self,
        clients: Mapping[str, ArchiveClient],
        pulls: PullRecords,
        archives: ArchiveRecords,
        *,
        clock: Clock,
        watching: Watching,
    ) -> None:
        self._clients = clients
        self._pulls = pulls
        self._archives = archives
        self._clock = clock
        self._watching = watching

    def run_once(self) -> int:
        """Ask, and order what is missing; return how many series something is missing of."""
        for name, client in self._clients.items():
            try:
                self._ask(name, client)
            except GroundglassError as error:
                logger.warning("archive %s could not be asked for counts: %s", name, error)
                self._archives.failed(name, str(error))
        return sum(self._order(item) for item in self._open_series())

    def _open_series(self) -> list[OpenSeries]:
        since = self._clock.now() - self._watching.for_long
        return self._archives.open_series(since=since, limit=MOST_SERIES)

    def _ask(self, name: str, client: ArchiveClient) -> None:
        now = self._clock.now()
        studies: dict[str, set[str]] = {}
        for item in self._open_series():
            if may_be_asked(_silence(item), item.counts.get(name), self._watching, now):
                studies.setdefault(item.study_instance_uid, set()).add(item.series_instance_uid)
        if not studies:
            return
        counts: dict[str, int] = {}

        def count(session: ArchiveSession, study: str) -> None:
            counts.update(_counts(session, study, studies[study]))

        problem = ask_about_each(client, studies, count)
        if problem:
            self._archives.failed(name, problem)
        else:
            self._archives.answered(name)
        self._archives.counted(name, counts)

    def _order(self, item: OpenSeries) -> bool:
        """Have fetched what is missing of a series; return whether something is."""
        said = missing_at(_silence(item), item.counts.values(), self._watching, self._clock.now())
        if said is None:
            return False
        series = ArchivedSeries(
            study_instance_uid=item.study_instance_uid,
            series_instance_uid=item.series_instance_uid,
            modality=item.modality,
            body_part_examined="",
            series_description="",
            instance_count=said.count,
        )
        sought = Sought(study_instance_uids=(item.study_instance_uid,))
        request = PullRequest(archive=said.archive, cause=PullCause.MISSING, sought=sought)
        asked = self._pulls.ask_for(request, [series])
        logger.info(
            "%d of %d instances of a series are not here; they are fetched from %s",
            said.count - item.here,
            said.count,
            said.archive,
        )
        return asked is not None


def _counts(session: ArchiveSession, study: str, wanted: set[str]) -> dict[str, int]:
    """Return how many instances an archive holds of series of a study; 0 of one that it does not know.

    Where it does not tell the number (0020,1209), an optional key, the instances are counted.
    """
    counts = dict.fromkeys(wanted, 0)
    for series in session.series(study):
        uid = series.series_instance_uid
        if uid in wanted:
            told = series.instance_count
            counts[uid] = len(session.instances(study, uid)) if told is None else told
    return counts


def _silence(item: OpenSeries) -> Silence:
    return Silence(
        last_arrival_at=item.last_arrival_at,
        here=item.here,
        carried_now=item.carried_now,
        being_fetched=item.being_fetched,
        missed_at=item.missed_at,
    )
