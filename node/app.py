"""The composition root: settings in, running node out.

The only place that builds adapters and reads the system's clock and its sources of new identifiers.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from node.assemble.routes import StudyRouter
from node.assemble.sweep import Sweep
from node.commitments import COMMITTING, committing_of
from node.decide.routing import Routing
from node.dimse.listening import Listener
from node.dimse.receivers import Receivers
from node.dispatch import courier_of
from node.domain.errors import StoreError
from node.domain.model import ModelIdentity
from node.fetching import counts_of_archives, fetch_studies
from node.infer.served import EngineRoom
from node.keeping import (
    FORGETTING,
    FORGETTING_SECONDS,
    RETENTION,
    SCRUBBING,
    SCRUBBING_SECONDS,
    forgetting_of,
    retention_of,
    scrubbing_of,
)
from node.operate.counting import CountedIntake, CountedScreenings, Pulse, WhenEnded
from node.operate.destinations import DestinationCheck, destination_checks
from node.operate.health import Facts, Health, HealthEndpoint, judge
from node.operate.index_state import figures_of, index_problem
from node.operate.metrics import Metrics
from node.operate.renewing import RenewedLeases
from node.outlets import longest_call
from node.publishing import publish
from node.receive.storage import StorageService
from node.receiving import listener_of, receivers_of
from node.run.pipeline import Pipeline
from node.run.progress import Listeners, ProgressListener, ScreeningEnd
from node.run.schedule import Tick, Ticks
from node.run.withdrawing import Withdrawing
from node.run.workers import Workers
from node.screening import pipeline_settings, producer_of
from node.serving import TRITON, KnownModels, engine_room, model_checks, open_wanted, routing_of, selection_of
from node.settings.settings import Settings
from node.store.claim import StoreClaim
from node.store.store import Store, open_store
from node.system import RandomUids, SystemClock

__all__ = ["Node", "RandomUids", "SystemClock", "build"]

SWEEP = "sweep"
WITHDRAWALS = "withdrawals"
CANARY = "canary"
COURIER = "courier "
METADATA = "metadata"
METADATA_SECONDS = 2.0
WORKERS_IDLE = timedelta(seconds=2)
STOP_WORKERS = timedelta(seconds=60)
"""For a screening to its end ..."""
STOP_WAITING = timedelta(seconds=5)
"""... and, once its engine is closed, to be parked."""


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a running node is made of."""

    store: Store
    models: EngineRoom
    routing: Routing
    metrics: Metrics
    pulse: Pulse
    workers: Workers
    ticks: Ticks
    storage: StorageService
    listener: Listener
    receivers: Receivers | None


def build(settings: Settings, *, progress: ProgressListener | None = None) -> Node:
    """Return the node of these settings, not started.

    Parameters
    ----------
    settings : Settings
    progress : ProgressListener, optional
        Is told of every screening.
    """
    return Node(settings, progress=progress)


class Node:
    """The whole node in this process; made by `build`."""

    def __init__(self, settings: Settings, *, progress: ProgressListener | None) -> None:
        self._settings = settings
        self._progress = progress
        self._clock = SystemClock()
        self._uids = RandomUids()
        self._parts: _Parts | None = None
        self._open = ExitStack()
        self._listening = False

    @property
    def store(self) -> Store:
        """The store of the running node."""
        return self._running.store

    @property
    def tls_port(self) -> int | None:
        """On which port the running node listens over TLS."""
        return self._running.listener.tls_port

    @property
    def model(self) -> ModelIdentity:
        """Which model answers for CT."""
        with self._running.models.serve(self._settings.infer.model) as served:
            return served.scorer.identity

    def start(self) -> int:
        """Claim the store, verify the model, recover what a stop interrupted, and listen.

        Returns
        -------
        int
            The port on which it listens.

        Raises
        ------
        GroundglassError
            The node cannot run; nothing of it is left running.
        """
        with ExitStack() as opened:
            self._parts = parts = self._assemble(opened)
            _recover(parts, self._settings)
            parts.ticks.start()
            opened.callback(parts.ticks.stop)
            # A server that hangs would hold up whoever waits for it: what it has is parked.
            opened.callback(parts.workers.stop, STOP_WAITING)
            opened.callback(parts.models.close)
            parts.workers.start()
            opened.callback(parts.workers.stop, STOP_WORKERS)
            port = self._listen(parts.listener)
            opened.callback(self._stop_listening, parts.listener)
            self._serve_health(opened)
            publish(self._settings, parts.store, parts.storage, clock=self._clock, opened=opened)
            fetch_studies(
                self._settings,
                parts.store,
                parts.storage,
                clock=self._clock,
                jitter=random.random,
                opened=opened,
            )
            self._open = opened.pop_all()
        return port

    def stop(self) -> None:
        """Refuse new associations, finish what runs, and give the store up."""
        self._open.close()

    def health(self) -> Health:
        """Look, and judge."""
        parts = self._running
        store_problem = index_problem(parts.store)
        return judge(
            Facts(
                store_problem=store_problem,
                models=model_checks(parts.models.readings()),
                destinations=() if store_problem else self._destination_checks(parts.store),
                listening=self._listening,
                ticks=parts.pulse.ages(),
                free_bytes=shutil.disk_usage(self._settings.node.data_dir).free,
                least_free_bytes=self._settings.health.least_free_bytes,
                receiving_problem=parts.receivers.problem if parts.receivers is not None else "",
                damaged_files=0 if store_problem else parts.store.damage.count(),
            )
        )

    def _destination_checks(self, store: Store) -> tuple[DestinationCheck, ...]:
        names = [destination.name for destination in self._settings.destinations]
        return destination_checks(store, names, self._settings.deliver.patience())

    @property
    def _running(self) -> _Parts:
        if self._parts is None:
            raise StoreError("the node was not started; call start() first")
        return self._parts

    def _assemble(self, opened: ExitStack) -> _Parts:
        """Build every part, in the order in which they can fail, cheapest first."""
        settings, clock = self._settings, self._clock
        claim = StoreClaim(settings.node.data_dir)
        opened.callback(claim.release)
        store = open_store(
            settings.node.data_dir,
            url=settings.node.database_url,
            clock=clock,
            uids=self._uids,
            codecs=settings.codecs.limits(),
        )
        opened.callback(store.close)
        store.files.sweep_spool()
        routing = routing_of(settings)
        known = KnownModels(store.operations)
        models = engine_room(settings, store, clock, known, routing.assignments)
        opened.callback(models.close)
        open_wanted(models, routing.assignments, remote=settings.infer.engine == TRITON)
        lease = timedelta(seconds=settings.infer.lease_seconds)
        metrics, pulse = Metrics(lambda: figures_of(store, self._destination_checks(store))), Pulse(clock)
        listeners: list[ProgressListener] = [
            CountedScreenings(metrics),
            WhenEnded(ScreeningEnd.STORED, self._results_are_due),
            RenewedLeases(lambda screening: store.screenings.renew(screening, lease=lease), clock, lease),
        ]
        if self._progress is not None:
            listeners.append(self._progress)
        storage, sweep = self._storage(store, known, metrics), self._sweep(store, routing)
        pipeline = self._pipeline(store, models, Listeners(listeners))
        opened.callback(pipeline.close)
        workers = Workers(
            names=[self._uids.token() for _ in range(settings.infer.workers)],
            claim=lambda name: store.screenings.claim(name, lease=lease),
            run=pipeline.run,
            idle=WORKERS_IDLE,
        )

        def assemble() -> None:
            storage.record_ends()
            sweep.run()
            workers.wake()

        receivers = receivers_of(settings, store, claim=claim, metrics=metrics, clock=clock)
        if receivers is not None:
            known.follow(receivers.tell)
        return _Parts(
            store=store,
            models=models,
            routing=routing,
            metrics=metrics,
            pulse=pulse,
            workers=workers,
            ticks=self._ticks(store, models, pulse, assemble),
            storage=storage,
            listener=listener_of(settings, store, storage, clock=clock, uids=self._uids, receivers=receivers),
            receivers=receivers,
        )

    def _pipeline(self, store: Store, models: EngineRoom, listener: ProgressListener) -> Pipeline:
        return Pipeline(
            store=store,
            models=models,
            clock=self._clock,
            settings=pipeline_settings(self._settings),
            listener=listener,
        )

    def _sweep(self, store: Store, routing: Routing) -> Sweep:
        return Sweep(
            store,
            self._clock,
            self._settings.assemble.quiet_times(),
            selection_of(self._settings, store),
            StudyRouter(store, routing).assign,
            authorities=frozenset(peer.ae_title for peer in self._settings.peers if peer.authority),
            expectations=[store.announcements.expectations, counts_of_archives(self._settings, store)],
        )

    def _ticks(self, store: Store, models: EngineRoom, pulse: Pulse, assemble: Callable[[], object]) -> Ticks:
        settings, clock = self._settings, self._clock
        courier = courier_of(settings, store, clock=clock, uids=self._uids, jitter=random.random)
        withdrawing = Withdrawing(
            store,
            producer=producer_of(settings),
            zone=settings.node.zone(),
            made=self._results_are_due,
        )

        retention = retention_of(settings, store, clock)
        retaining = [retention] if settings.retention.enabled else []
        forgetting = forgetting_of(settings, store, clock)
        scrubbing = scrubbing_of(settings, store, clock)
        keeper = committing_of(settings, store, clock=clock, uids=self._uids)
        look_seconds = settings.commitment.look_seconds

        def tick(
            name: str,
            seconds: float,
            action: Callable[[], object],
            ending: Callable[[], object] | None = None,
        ) -> Tick:
            every, calls = timedelta(seconds=seconds), name == COMMITTING or name.startswith(COURIER)
            watched = pulse.watch(name, every, action, call=longest_call(settings) * calls)
            return Tick(name=name, every=every, action=watched, ending=ending)

        return Ticks(
            [
                tick(SWEEP, settings.assemble.sweep_seconds, assemble),
                tick(CANARY, settings.infer.canary_seconds, models.tick),
                *([tick(METADATA, METADATA_SECONDS, store.metadata.tick)] if settings.web.enabled else []),
                *([tick(COMMITTING, look_seconds, keeper.run_once, keeper.stop)] if keeper else []),
                tick(WITHDRAWALS, settings.deliver.courier_seconds, withdrawing.run_once),
                *(tick(RETENTION, settings.retention.every_seconds, item.run_once) for item in retaining),
                *([tick(FORGETTING, FORGETTING_SECONDS, forgetting.run_once)] if forgetting else []),
                *([tick(SCRUBBING, SCRUBBING_SECONDS, scrubbing.run_once)] if scrubbing else []),
                *(
                    tick(COURIER + name, settings.deliver.courier_seconds, partial(courier.run_once, name))
                    for name in courier.destinations
                ),
            ],
            clock=clock,
        )

    def _storage(self, store: Store, known: KnownModels, metrics: Metrics) -> StorageService:
        return StorageService(
            files=store.files,
            records=CountedIntake(store, metrics),
            clock=self._clock,
            own_device_uids=known.device_uids,
        )

    def _listen(self, listener: Listener) -> int:
        port = listener.start()
        self._listening = True
        return port

    def _stop_listening(self, listener: Listener) -> None:
        self._listening = False
        listener.stop()

    def _serve_health(self, opened: ExitStack) -> None:
        health = self._settings.health
        if health.enabled:
            endpoint = HealthEndpoint(
                health.host, health.port, health=self.health, metrics=self._running.metrics.exposition
            )
            endpoint.start()
            opened.callback(endpoint.stop)

    def _results_are_due(self) -> None:
        """Let the couriers look now, and not only in their time."""
        for destination in self._settings.destinations:
            self._running.ticks.nudge(COURIER + destination.name)


def _recover(parts: _Parts, settings: Settings) -> None:
    """Take up what a stop, of whatever kind, interrupted."""
    router = StudyRouter(parts.store, parts.routing)
    parts.store.screenings.recover()
    parts.store.screenings.hand_over(parts.routing.assignments, router.assign_row)
    parts.store.outbox.recover()
    parts.store.studies.defer_after_restart(settings.assemble.quiet_times().plain)
