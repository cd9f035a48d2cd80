"""A process that receives: ``python -m node.cli.receiver DESCRIPTOR``; started by the node alone.

It lives as long as the process that started it. When that one is gone, by whatever death, this one ends
where it stands: what it has not acknowledged is not acknowledged.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import socket
import sys
from collections.abc import Iterable

import node.unneeded  # noqa: F401 -- before pydicom
from node.cli.logs import log_to
from node.dimse.channel import Channel
from node.dimse.receiver import Accepting, Receiver, SharedStorage
from node.operate.counting import TalliedIntake, Tally
from node.receive.storage import StorageService
from node.receiving import Orders, listener_of
from node.store.store import open_store
from node.system import RandomUids, SystemClock


class NamedUids(RandomUids):
    """Identifiers whose short names tell which process made them."""

    def __init__(self) -> None:
        self.name = f"{super().token()}-"

    def token(self) -> str:
        """Return a new short name."""
        return self.name + super().token()


class OwnDevices:
    """The Device UIDs of this node's results, as the process that makes them tells."""

    def __init__(self) -> None:
        self._uids: frozenset[str] = frozenset()

    def told(self, uids: Iterable[str]) -> None:
        """Take the news."""
        self._uids = frozenset(uids)

    def uids(self) -> frozenset[str]:
        """Return what was told last."""
        return self._uids


def receiver_of(orders: Orders, channel: Channel) -> Receiver:
    """Put a receiving process together, on a store that another process has opened and claimed.

    Raises
    ------
    GroundglassError
    """
    settings, clock, uids = orders.settings, SystemClock(), NamedUids()
    store = open_store(
        settings.node.data_dir,
        url=settings.node.database_url,
        clock=clock,
        uids=uids,
        codecs=settings.codecs.limits(),
        migrate=False,
    )
    tally, own = Tally(), OwnDevices()
    accepting = Accepting(channel, tally.take)
    storage = StorageService(
        files=store.files, records=TalliedIntake(store, tally), clock=clock, own_device_uids=own.uids
    )
    listener = listener_of(
        settings, store, SharedStorage(accepting, storage), clock=clock, uids=uids, places=accepting
    )
    return Receiver(channel, accepting, listener, name=uids.name, news=own.told)


def main() -> None:
    """Receive until the process that started this one is gone."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # it is the other process that is told to stop
    orders = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the process that started this one
    log_to(logging.StreamHandler(), logging.getLevelName(orders.log_level))
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    receiver = receiver_of(orders, channel)
    gc.collect()
    gc.freeze()
    status = 1
    try:
        receiver.run()
        status = 0
    finally:
        logging.shutdown()
        os._exit(status)  # threads of associations wait for peers


if __name__ == "__main__":
    main()
