"""Carries pulls out: searches the archive, has series sent, and looks what is still missing of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from node.decide.backoff import next_due
from node.domain.archives import ArchivedSeries, Pull, SeriesFetch
from node.domain.errors import BrokenOff, DestinationRefused, GroundglassError
from node.domain.network import Backoff, RefusedCaller
from node.domain.ports import Clock
from node.pull.archive import ArchiveClient
from node.pull.rules import is_sought, series_sought
from node.pull.watch import Patience, Watch
from node.store.archives import ArchiveRecords
from node.store.pulls import PullRecords

logger = logging.getLogger(__name__)

LATELY: Final = timedelta(minutes=5)
"""A caller that was refused since may have been the archive."""


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """How far a fetch goes."""

    studies: int
    """Most studies of one search."""
    short_attempts: int
    """A series is asked for so often when not all of it comes."""


class Fetcher:
    """Carries the pulls out that the store holds.

    All that decides is in the store: after a restart it goes on with what is missing.

    Parameters
    ----------
    pulls : PullRecords
    archives : ArchiveRecords
    clients : mapping of str to ArchiveClient
        By the names of the settings.
    clock : Clock
    limits : FetchLimits
    backoff : Backoff
        When an archive is asked again that could not be asked.
    jitter : callable
        Returns a random number, 0 to 1.
    patience : Patience
        With an archive that answers and sends nothing new, and with one that was told to end.
    refused : callable
        Returns who may have been an archive and was not let in here, by the name of the archive.
    """

    def __init__(
        self,
        pulls: PullRecords,
        archives: ArchiveRecords,
        clients: Mapping[str, ArchiveClient],
        *,
        clock: Clock,
        limits: FetchLimits,
        backoff: Backoff,
        jitter: Callable[[], float],
        patience: Patience,
        refused: Callable[[str], Sequence[RefusedCaller]],
    ) -> None:
        self._pulls = pulls
        self._archives = archives
        self._clients = clients
        self._clock = clock
        self._limits = limits
        self._backoff = backoff
        self._jitter = jitter
        self._patience = patience
        self._refused = refused
        self._stopping = threading.Event()

    def run_once(self, archive: str) -> bool:
        """Make one search, or fetch one series, of those that are due; return whether there was one."""
        if self._stopping.is_set():
            return False
        pull = self._pulls.due_search(archive)
        if pull is not None:
            self._search(pull)
            return True
        fetch = self._pulls.due_fetch(archive)
        if fetch is not None:
            self._fetch(fetch)
            return True
        return False

    def stop(self) -> None:
        """Begin nothing more, and end what is on its way."""
        self._stopping.set()
        for client in self._clients.values():
            client.stop()

    def _search(self, pull: Pull) -> None:
        try:
            found = self._found(pull)
        except GroundglassError as error:
            if self._is_over(pull.id):
                return
            due = None
            if error.retryable:
                due = next_due(
                    self._clock.now(),
                    attempts=pull.attempts + 1,
                    backoff=self._backoff,
                    jitter_value=self._jitter(),
                )
            logger.warning("archive %s could not be searched: %s", pull.request.archive, error)
            self._archives.failed(pull.request.archive, str(error))
            self._pulls.search_failed(pull.id, str(error), due)
            return
        self._archives.answered(pull.request.archive)
        self._pulls.found(pull.id, found)
        logger.info("pull %d: %d series are fetched from %s", pull.id, len(found), pull.request.archive)

    def _found(self, pull: Pull) -> list[ArchivedSeries]:
        sought = pull.request.sought
        with self._clients[pull.request.archive].session(self._watch(pull.id)) as session:
            studies = session.studies(sought, limit=self._limits.studies)
            return [
                series
                for study in studies
                if is_sought(study, sought)
                for series in series_sought(session.series(study.study_instance_uid), sought.modality)
            ]

    def _fetch(self, fetch: SeriesFetch) -> None:
        limit, detail = self._limits.short_attempts, ""
        try:
            detail = self._missing_after(fetch)
            if not detail:
                self._pulls.fetched(fetch.id)
                logger.info("pull %d: a series is here", fetch.pull_id)
                return
        except DestinationRefused as error:
            detail = str(error)
        except GroundglassError as error:
            if self._is_over(fetch.pull_id):
                return
            detail = str(error)
            if not isinstance(error, BrokenOff):
                limit = self._backoff.max_attempts
            self._archives.failed(fetch.archive, detail)
        detail += self._refused_lately(fetch.archive)
        logger.warning("pull %d: a series is not whole: %s", fetch.pull_id, detail)
        due = next_due(
            self._clock.now(),
            attempts=fetch.attempts + 1,
            backoff=self._backoff,
            jitter_value=self._jitter(),
        )
        if due is None or fetch.attempts + 1 >= limit:
            self._pulls.fell_short(fetch.id, detail)
        else:
            self._pulls.postpone(fetch.id, detail, due)

    def _missing_after(self, fetch: SeriesFetch) -> str:
        """Have sent what is missing of a series; return what is still wrong, nothing where it is whole."""
        client = self._clients[fetch.archive]
        with client.session(self._watch(fetch.pull_id)) as session:
            shown = session.instances(fetch.study_instance_uid, fetch.series_instance_uid)
        self._archives.answered(fetch.archive)
        if not shown:
            return "the archive shows no instance of this series"
        self._pulls.expect(fetch.id, len(shown))
        absent = set(self._pulls.absent([item.sop_instance_uid for item in shown]))
        if not absent:
            return ""

        def arrived() -> int:
            return len(absent) - len(self._pulls.absent(sorted(absent)))

        answer = client.retrieve(
            fetch.study_instance_uid,
            fetch.series_instance_uid,
            [item for item in shown if item.sop_instance_uid in absent],
            whole=len(absent) == len(shown),
            watch=self._watch(fetch.pull_id, arrived),
        )
        missing = len(self._pulls.absent(sorted(absent)))
        return f"{missing} of {len(shown)} instances did not come ({answer})" if missing else ""

    def _watch(self, pull_id: int, arrived: Callable[[], int] | None = None) -> Watch:
        return Watch(
            wanted=lambda: self._pulls.goes_on(pull_id),
            arrived=arrived,
            clock=self._clock,
            patience=self._patience,
        )

    def _is_over(self, pull_id: int) -> bool:
        """Whether what went wrong did because this node ended it."""
        if self._stopping.is_set():
            return True
        if self._pulls.goes_on(pull_id):
            return False
        logger.info("pull %d was cancelled", pull_id)
        return True

    def _refused_lately(self, archive: str) -> str:
        """Return who was turned away: an archive that sends by C-MOVE calls under a title of its own."""
        now = self._clock.now()
        for caller in self._refused(archive):
            if timedelta(0) <= now - caller.last_at < LATELY:
                who = f"{caller.calling_ae_title} at {caller.address}"
                return f"; lately {who} was refused here: {caller.reason}"
        return ""
