"""``serve``: the node, for good."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Annotated, Literal

import typer

from node.app import build
from node.cli.logs import log_to
from node.cli.options import ConfigOption, settings_of
from node.cli.output import counted, show
from node.infer.memory import share_memory_among_threads


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
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    node = build(settings)
    try:
        port = node.start()
        live = [name for name, is_live in node.store.operations.live().items() if is_live]
        show(
            f"{settings.node.ae_title} listens on {settings.node.host}:{port}{_over_tls(node.tls_port)}; "
            f"{counted(len(settings.peers), 'peer', 'peers')} may call; "
            f"results go to {', '.join(live) if live else 'nobody (silent; see `groundglass go-live`)'}"
        )
        stopping.wait()
    finally:
        node.stop()


def _over_tls(port: int | None) -> str:
    return "" if port is None else f", over TLS on port {port}"
