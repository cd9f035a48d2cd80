"""Ground of the tests of the whole node: settings on loopback, a tiny model, a phantom series, a PACS."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from node.cli.main import app
from node.dicom.write import write_phantom
from node.imaging.phantom import ThoraxPhantom
from node.infer.bundle import Bundle
from node.settings.loading import load
from node.settings.settings import Settings
from tests.free_ports import free_port

DEADLINE = 60.0
SLICES = 24

SETTINGS = """
[node]
host = "127.0.0.1"
port = {port}
data_dir = "data"

[[peers]]
ae_title = "CT1"
addresses = ["127.0.0.1"]

[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs_port}

[assemble]
sweep_seconds = 0.1
geometry_quiet_seconds = 0.3
plain_quiet_seconds = 0.3
study_quiet_seconds = 0.3
floor_seconds = 0.1
ceiling_seconds = 0.3

[deliver]
courier_seconds = 0.2
first_retry_seconds = 0.2

[infer]
model = "{model}"
models_dir = "{models_dir}"

[health]
port = {health_port}
least_free_bytes = 0
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One installation: its folder, its settings file, and its ports."""

    folder: Path
    config: Path
    port: int
    pacs_port: int
    health_port: int

    @property
    def settings(self) -> Settings:
        return load(self.config, {})

    def command(self, *arguments: str) -> Result:
        """Run a command of the command line on this installation."""
        return CliRunner().invoke(app, [*arguments, "--config", str(self.config)])

    def json(self, *arguments: str) -> Any:
        """Run a command with ``--json`` and return what it printed."""
        answer = self.command(*arguments, "--json")
        assert answer.exit_code == 0, answer.output
        return json.loads(answer.stdout)


def install(folder: Path, bundle: Bundle) -> Place:
    """Write the settings file of a new installation."""
    port, pacs_port, health_port = (free_port() for _ in range(3))
    config = folder / "groundglass.toml"
    config.write_text(
        SETTINGS.format(
            port=port,
            pacs_port=pacs_port,
            health_port=health_port,
            model=bundle.folder.name,
            models_dir=bundle.folder.parent,
        )
    )
    return Place(folder=folder, config=config, port=port, pacs_port=pacs_port, health_port=health_port)


@cache
def phantom() -> ThoraxPhantom:
    return ThoraxPhantom(slices=SLICES, rows=256)


def phantom_folder(folder: Path) -> list[Path]:
    """Write the phantom series into a folder."""
    return write_phantom(folder, phantom())


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition with a deadline; the event never fires, its wait yields the processor."""
    never = threading.Event()
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
        never.wait(0.05)
