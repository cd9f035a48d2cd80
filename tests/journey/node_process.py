"""The node as an operator runs it: ``groundglass serve`` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from node.cli.main import app
from tests.free_ports import free_port
from tests.journey.orthanc import wait_for

START_SECONDS = 60

SETTINGS = """
[node]
ae_title = "GROUNDGLASS"
host = "127.0.0.1"
port = {port}
data_dir = "data"

[[peers]]
ae_title = "SCANNER"
addresses = ["127.0.0.1"]

[[peers]]
ae_title = "PACS"
addresses = ["127.0.0.1"]
rights = ["echo", "store", "commitment"]
{authority}

[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs_port}
accept_demonstration = true

[assemble]
sweep_seconds = 0.2
geometry_quiet_seconds = {quiet}
plain_quiet_seconds = {quiet}
study_quiet_seconds = {quiet}
floor_seconds = 0.1
ceiling_seconds = {ceiling}

[deliver]
courier_seconds = 0.2
first_retry_seconds = 0.2
longest_retry_seconds = 1.0
commitment_wait_seconds = 2.0
proof_grace_seconds = 1.0

[select]
{select}

[infer]
{infer}

[health]
port = {health_port}
{health}
"""


class NodeProcess:
    """One node with its folder, its settings file and its command line."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        pacs_port: int,
        quiet: float = 1.0,
        select: str = "",
        infer: str = "",
        health: str = "",
        authority: bool = False,
    ) -> None:
        self.folder = folder
        self.port = port
        self.health_port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "groundglass.toml"
        self.config.write_text(
            SETTINGS.format(
                port=port,
                pacs_port=pacs_port,
                quiet=quiet,
                ceiling=max(quiet, 1.0),
                health_port=self.health_port,
                select=select,
                infer=infer,
                health=health,
                authority="authority = true" if authority else "",
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "node", "serve", "--config", str(self.config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
            )
        wait_for(self.ready, seconds=START_SECONDS, what="the node to be ready")

    def ready(self) -> bool:
        """Whether the health endpoint says so."""
        assert self.process is not None
        log = self.folder / "node.log"
        assert self.process.poll() is None, f"the node ended at start:\n{log.read_text()[-4000:]}"
        try:
            url = f"http://127.0.0.1:{self.health_port}/healthz"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """End the process as a loss of power would: SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def stop(self) -> int:
        """End the process as an operator would and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def resident_bytes(self) -> int:
        """Return the peak resident memory of the process so far."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    @property
    def within(self) -> list[str]:
        """What a command line begins with that runs where the node does."""
        return []

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the node's command line on this node."""
        command = [*self.within, sys.executable, "-m", "node", *arguments, "--config", str(self.config)]
        answer = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        if check and answer.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)} ended with {answer.returncode}:\n{answer.stderr}")
        return answer

    def json(self, *arguments: str) -> Any:
        """Return what a command with ``--json`` prints; asked often, so within this process."""
        answer = CliRunner().invoke(app, [*arguments, "--json", "--config", str(self.config)])
        assert answer.exit_code == 0, answer.output
        return json.loads(answer.stdout)


def environment() -> dict[str, str]:
    """Return the environment for child processes."""
    return {**os.environ, "TCP_NODELAY": "1", "COLUMNS": "200"}


def dcmsend(
    paths: list[Path] | Path, *, port: int, calling: str = "SCANNER", called: str = "GROUNDGLASS"
) -> None:
    """Send files or a folder with DCMTK's dcmsend, as a scanner would; fail unless all were accepted."""
    targets = [str(path) for path in paths] if isinstance(paths, list) else ["+sd", "+r", str(paths)]
    subprocess.run(
        ["dcmsend", "-q", "-aet", calling, "-aec", called, "127.0.0.1", str(port), *targets],
        check=True,
        env=environment(),
        capture_output=True,
    )
