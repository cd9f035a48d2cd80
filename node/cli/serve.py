"""``serve``: the node, for good."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final, Literal

import typer

from node.app import build
from node.cli.logs import log_to
from node.cli.options import ConfigOption, settings_of
from node.cli.output import counted, show
from node.infer.memory import share_memory_among_threads

STOPPING: Final = frozenset({signal.SIGTERM, signal.SIGINT})


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    config: ConfigOption = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="Least severity that is logged.")
    ] = "info",
) -> None:
    """Run the node until it gets SIGTERM or SIGINT."""
    log_to(logging.StreamHandler(), log_level.upper())
    share_memory_among_threads()
    settings = settings_of(config)
    with _told_of_signals() as told:
        node = build(settings)
        try:
            port = node.start()
            live = [name for name, is_live in node.store.operations.live().items() if is_live]
            show(
                f"{settings.node.ae_title} listens on {settings.node.host}:{port}{_over_tls(node.tls_port)}; "
                f"{counted(len(settings.peers), 'peer', 'peers')} may call; "
                f"results go to {', '.join(live) if live else 'nobody (silent; see `groundglass go-live`)'}"
            )
            while STOPPING.isdisjoint(told.recv(1)):
                pass  # another signal of which a handler wants to know
        finally:
            node.stop()


@contextmanager
def _told_of_signals() -> Iterator[socket.socket]:
    """Lend what gets the number of each signal, whichever thread the system gives it to.

    A handler runs in the main thread alone, and a lock or an event that this one waits for does not end where
    another thread got the signal; what it reads from does (signal.set_wakeup_fd).
    """
    told, tell = socket.socketpair()
    with told, tell:
        tell.setblocking(False)
        former = signal.set_wakeup_fd(tell.fileno())
        try:
            for number in STOPPING:
                signal.signal(number, lambda *_: None)
            yield told
        finally:
            signal.set_wakeup_fd(former)


def _over_tls(port: int | None) -> str:
    return "" if port is None else f", over TLS on port {port}"
