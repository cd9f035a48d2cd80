"""From the settings to who receives: the listener, and the processes that receive beside it."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from node.commitments import commitment_services
from node.dimse.admission import Admission
from node.dimse.listening import Listener
from node.dimse.receivers import Receivers
from node.dimse.services import Places, StorageServices
from node.domain.ports import Clock, UidSource
from node.domain.study import Intake
from node.operate.metrics import Metrics
from node.query.find import FindService
from node.query.retrieve import RetrieveService
from node.receive.procedure_steps import AnnouncementService
from node.settings.settings import Settings
from node.store.claim import StoreClaim
from node.store.store import Store

PACKAGES = Path(__file__).resolve().parents[1]
"""Where the package of this module lies."""
PROCESS = "node.cli.receiver"


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a receiving process is told at its start."""

    settings: Settings
    log_level: int


def listener_of(
    settings: Settings,
    store: Store,
    services: StorageServices,
    *,
    clock: Clock,
    uids: UidSource,
    places: Places | None = None,
    receivers: Receivers | None = None,
) -> Listener:
    """Return the listener with everything that peers may ask of this node, not started.

    Parameters
    ----------
    settings : Settings
    store : Store
    services : StorageServices
        Takes the objects.
    clock : Clock
    uids : UidSource
    places : Places, optional
        Where another process bounds the associations, what asks it.
    receivers : Receivers, optional
        Processes that run the associations.

    Raises
    ------
    SettingsError
    """
    return Listener(
        ae_title=settings.node.ae_title,
        host=settings.node.host,
        port=settings.node.port,
        limits=settings.listen_limits(),
        gate=Admission(settings.node.ae_title, settings.peer_records()),
        services=services,
        clock=clock,
        commitment=commitment_services(settings, store, clock=clock, uids=uids),
        announcements=AnnouncementService(store.announcements, uids),
        query=FindService(store.matches, store.files, ae_title=settings.node.ae_title),
        retrieve=RetrieveService(
            store.matches,
            store.files,
            store.codecs,
            damage=store.damage,
            destinations=settings.move_destination_records(),
        ),
        places=places,
        receivers=receivers,
        tls=settings.tls.listen(),
        plain=settings.tls.plain,
    )


def receivers_of(
    settings: Settings, store: Store, *, claim: StoreClaim, metrics: Metrics, clock: Clock
) -> Receivers | None:
    """Return the processes that receive beside this one; None where the settings want none.

    Parameters
    ----------
    settings : Settings
    store : Store
    claim : StoreClaim
        They hold it too: no other node opens the store while one of them lives.
    metrics : Metrics
        Counts what they receive.
    clock : Clock
    """
    number = settings.limits.receiving_processes
    if number == 1:
        return None

    def launch(end: socket.socket) -> subprocess.Popen[bytes]:
        return _launch(settings, end, claim.descriptor)

    def received(counts: Mapping[str, int]) -> None:
        for intake, count in counts.items():
            metrics.received(Intake(intake), count)

    return Receivers(number, launch=launch, received=received, lost=store.files.sweep_spool, clock=clock)


def _launch(settings: Settings, end: socket.socket, claim: int) -> subprocess.Popen[bytes]:
    """Start a process; it gets the settings by its standard input, for they may have secrets."""
    orders = Orders(settings=settings, log_level=logging.getLogger().getEffectiveLevel())
    former = os.environ.get("PYTHONPATH", "")
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", PROCESS, str(end.fileno())],
        stdin=subprocess.PIPE,
        pass_fds=(end.fileno(), claim),
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGES), *filter(None, [former])])},
        start_new_session=True,  # a signal for the node's terminal is the node's
    )
    if child.stdin is not None:
        with child.stdin as stdin:
            stdin.write(pickle.dumps(orders))
    return child
