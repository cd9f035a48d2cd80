"""From the settings to what fetches studies: clients of the archives, and what is done with them when."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial

from node.dimse.admission import Caller
from node.dimse.entity import Timeouts
from node.dimse.services import StorageServices
from node.domain.archives import Archive, DicomArchive, Poll, Retrieval, WebArchive
from node.domain.errors import SettingsError
from node.domain.expectation import Expectation
from node.domain.network import RefusedCaller
from node.domain.ports import Clock
from node.domain.study import Series
from node.http.credentials import SecretReader
from node.pull.archive import ArchiveClient, ArchiveSession
from node.pull.counter import Counter
from node.pull.dicom_archive import DicomArchiveClient
from node.pull.fetcher import Fetcher, FetchLimits
from node.pull.incoming import IncomingObjects, NothingComes
from node.pull.poller import Poller
from node.pull.rules import Watching, expectation_of
from node.pull.watch import Patience
from node.pull.web_archive import WebArchiveClient
from node.run.schedule import Tick, Ticks
from node.settings.settings import Settings
from node.store.store import Store

FETCH, POLL, COUNT = "fetch ", "poll ", "count"


def client_of(
    archive: Archive, settings: Settings, services: StorageServices, *, clock: Clock
) -> ArchiveClient:
    """Return the client of one archive; secrets are read from this process's environment.

    Parameters
    ----------
    archive : Archive
    settings : Settings
    services : StorageServices
        Where objects go that come on an association of this node's own.
    clock : Clock

    Raises
    ------
    SettingsError
        There is none for its kind.
    """
    largest = settings.limits.max_object_bytes
    match archive:
        case DicomArchive():
            pull = settings.pull
            return DicomArchiveClient(
                archive,
                calling_ae_title=settings.node.ae_title,
                timeouts=Timeouts(
                    connect=pull.connect_seconds,
                    acse=pull.acse_seconds,
                    dimse=pull.answer_seconds,
                    network=pull.answer_seconds,
                ),
                incoming=_incoming(archive.ae_title, archive.host, settings, services),
                max_object_bytes=largest,
                clock=clock,
                search_seconds=pull.stall_seconds,
            )
        case WebArchive():
            return WebArchiveClient(
                archive,
                clock=clock,
                secrets=SecretReader(os.environ),
                incoming=_incoming(archive.name, archive.address, settings, services),
                max_object_bytes=largest,
            )
        case _:
            raise SettingsError(f"archives: {archive.name}: nothing asks {archive.address}")


@contextmanager
def searching(archive: Archive, settings: Settings, *, clock: Clock) -> Iterator[ArchiveSession]:
    """Open a connection on which one archive is searched, and from which nothing is fetched.

    Raises
    ------
    DestinationUnavailable, DestinationRefused
    """
    with client_of(archive, settings, NothingComes(), clock=clock).session() as session:
        yield session


def fetch_studies(
    settings: Settings,
    store: Store,
    storage: StorageServices,
    *,
    clock: Clock,
    jitter: Callable[[], float],
    opened: ExitStack,
) -> None:
    """Fetch studies from the archives of the settings until ``opened`` ends.

    Parameters
    ----------
    settings : Settings
    store : Store
    storage : StorageServices
        Takes objects that come on an association of this node's own.
    clock : Clock
    jitter : callable
        Returns a random number, 0 to 1.
    opened : ExitStack
    """
    fetching = Fetching(settings, store, storage, clock=clock, jitter=jitter)
    store.pulls.recover()
    ticks = Ticks(fetching.ticks(), clock=clock)
    ticks.start()
    opened.callback(ticks.stop)
    opened.callback(fetching.stop)


def counts_of_archives(
    settings: Settings, store: Store
) -> Callable[[Sequence[Series]], dict[int, tuple[Expectation, ...]]]:
    """Return what says of series how many instances the archives of the settings hold, by row."""
    names = frozenset(archive.name for archive in settings.archives if archive.counts)

    def expectations(of: Sequence[Series]) -> dict[int, tuple[Expectation, ...]]:
        uids = [series.series_instance_uid for series in of]
        said = store.archives.largest_counts(uids, names) if names else {}
        return {series.id: expectation_of(said.get(series.series_instance_uid), series) for series in of}

    return expectations


class Fetching:
    """Everything that fetches studies in a running node.

    Parameters
    ----------
    settings : Settings
    store : Store
    services : StorageServices
        Where objects go that come on an association of this node's own.
    clock : Clock
    jitter : callable
        Returns a random number, 0 to 1.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        services: StorageServices,
        *,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        archives = settings.archive_records()
        self._clients = {
            archive.name: client_of(archive, settings, services, clock=clock) for archive in archives
        }
        self._counting = [archive.name for archive in archives if archive.counts]
        pull = settings.pull
        self._fetcher = Fetcher(
            store.pulls,
            store.archives,
            self._clients,
            clock=clock,
            limits=FetchLimits(studies=pull.max_studies, short_attempts=pull.short_attempts),
            backoff=pull.backoff(),
            jitter=jitter,
            patience=Patience(
                look=timedelta(seconds=pull.look_seconds),
                stalled=timedelta(seconds=pull.stall_seconds),
                grace=timedelta(seconds=pull.cancel_seconds),
            ),
            refused=self._refused,
        )

    def _refused(self, archive: str) -> list[RefusedCaller]:
        """Return who called in vain, while an archive sends by C-MOVE."""
        found = next(item for item in self._settings.archive_records() if item.name == archive)
        is_called_back = isinstance(found, DicomArchive) and found.retrieval is Retrieval.MOVE
        return self._store.intake.refused_callers() if is_called_back else []

    def ticks(self) -> list[Tick]:
        """Return what is to be done again and again: fetching, polling, counting."""
        pull = self._settings.pull
        ticks = [
            Tick(
                name=FETCH + name,
                every=timedelta(seconds=pull.look_seconds),
                action=partial(self._fetch_all, name),
            )
            for name in self._clients
        ]
        ticks += [
            Tick(name=POLL + rule.name, every=rule.every, action=self._poller(rule).run_once)
            for rule in (poll.record() for poll in self._settings.polls)
        ]
        if self._counting:
            every = timedelta(seconds=pull.count_seconds)
            ticks.append(Tick(name=COUNT, every=every, action=self._counter().run_once))
        return ticks

    def stop(self) -> None:
        """Fetch nothing more, and end what is on its way."""
        self._fetcher.stop()

    def _fetch_all(self, archive: str) -> None:
        while self._fetcher.run_once(archive):
            pass

    def _poller(self, rule: Poll) -> Poller:
        return Poller(
            rule,
            self._clients[rule.archive],
            self._store.pulls,
            self._store.archives,
            clock=self._clock,
            zone=self._settings.node.zone(),
            most_studies=self._settings.pull.max_studies,
        )

    def _counter(self) -> Counter:
        pull = self._settings.pull
        return Counter(
            {name: self._clients[name] for name in self._counting},
            self._store.pulls,
            self._store.archives,
            clock=self._clock,
            watching=Watching(
                every=timedelta(seconds=pull.count_seconds),
                missing_after=timedelta(seconds=pull.missing_seconds),
                for_long=timedelta(seconds=pull.watch_seconds),
                fetch=pull.fetch_missing,
            ),
        )


def _incoming(title: str, address: str, settings: Settings, services: StorageServices) -> IncomingObjects:
    caller = Caller(calling_ae_title=title, called_ae_title=settings.node.ae_title, address=address)
    return IncomingObjects(services, caller)
