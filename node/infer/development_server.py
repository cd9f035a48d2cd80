"""A real inference server for tests and development: one process on loopback, on free ports.

Not for patients: the build that needs no GPU (2.51.0) lies before the fixes of CVE-2025-23319, -23320 and
-23334, which is why it listens on loopback alone and why the node takes its answers only when told so.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from node.domain.errors import EngineUnavailable, SettingsError
from node.domain.ports import Clock
from node.infer.process import LOOK_SECONDS, collect, end, kill, pause, session_of, spawn, started_at
from node.infer.server_environment import TAIL_CHARACTERS, Installation

LOOPBACK = "127.0.0.1"
STATE_FILE = "server.json"
LOG_FILE = "server.log"
BACKENDS = "backends"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- where shm_open(3) keeps its objects on Linux
READY_SECONDS = 120.0
STOP_SECONDS = 15.0
EXIT_SECONDS = 5
"""What the server itself allows requests under way after it was told to end."""
ASK_SECONDS = 2.0
PORT_TAKEN = "already in use"
STARTS = 3
"""Between finding a free port and taking it another process may have taken it."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where a server listens, on loopback."""

    http: int
    grpc: int
    metrics: int

    @classmethod
    def free(cls, grpc: int = 0) -> Ports:
        """Return ports that nobody listens on now; ``grpc`` as given unless that is 0."""
        sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(3)]
        numbers = [int(item.getsockname()[1]) for item in sockets]
        for item in sockets:
            item.close()
        return cls(http=numbers[0], grpc=grpc or numbers[1], metrics=numbers[2])


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server that was started."""

    pid: int
    started: int
    """Clock ticks since the start of the machine; tells the process from a later one of its number."""
    ports: Ports
    repository: str
    """Folder of the networks that it may load."""

    @property
    def url(self) -> str:
        """Where its gRPC endpoint listens, as ``infer.triton.url`` takes it."""
        return f"{LOOPBACK}:{self.ports.grpc}"

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return started_at(self.pid) == self.started

    def is_ready(self) -> bool:
        """Whether it and every network that it was told to load answer."""
        connection = http.client.HTTPConnection(LOOPBACK, self.ports.http, timeout=ASK_SECONDS)
        try:
            # An HTTP connection that is kept open would delay the server's end.
            connection.request("GET", "/v2/health/ready", headers={"Connection": "close"})
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class DevelopmentServer:
    """Starts, finds again and stops one server.

    Parameters
    ----------
    environment : Installation
        What it runs from.
    folder : Path
        Where it keeps its log, its links and what is known of the process. One server a folder.
    clock : Clock
    """

    def __init__(self, environment: Installation, folder: Path, *, clock: Clock) -> None:
        self._environment = environment
        self._folder = folder.resolve()
        self._clock = clock

    @property
    def log_file(self) -> Path:
        """What the server writes."""
        return self._folder / LOG_FILE

    def running(self) -> RunningServer | None:
        """Return the server that was started in this folder and still runs.

        Raises
        ------
        SettingsError
            What is known of it cannot be read.
        """
        server = self._known()
        return server if server is not None and server.is_alive else None

    def up(
        self,
        repository: Path,
        models: Sequence[str] = (),
        *,
        grpc_port: int = 0,
        ports: Ports | None = None,
        arguments: Sequence[str] = (),
    ) -> RunningServer:
        """Start the server and wait until it answers; one that runs already is returned as it is.

        Parameters
        ----------
        repository : Path
            The networks, as ``groundglass models build --target cpu`` writes them.
        models : sequence of str
            Loaded at the start; others by request.
        grpc_port : int
            Of its gRPC endpoint; 0 takes a free one.
        ports : Ports, optional
            All of them; by default free ones.
        arguments : sequence of str
            Further options of ``tritonserver``, for example those of TLS.

        Raises
        ------
        SettingsError
            The machine cannot run it, the repository is missing, or another one is served in this folder.
        EngineUnavailable
            It ended at the start or did not answer in time; the message shows the end of its log.
        """
        repository = repository.resolve()
        if (server := self.running()) is not None:
            if server.repository != str(repository):
                raise SettingsError(f"a server of {server.repository} runs; stop it first")
            return server
        if not sys.platform.startswith("linux"):
            raise SettingsError(
                "the development server runs on Linux alone; name a server in infer.triton.url"
            )
        if not repository.is_dir():
            raise SettingsError(f"{repository}: no such folder; write it with `groundglass models build`")
        self.down()
        self._environment.install()
        self._environment.write_backends(self._folder / BACKENDS)
        for _ in range(1 if ports else STARTS):
            server = self._launch(repository, models, ports or Ports.free(grpc_port), arguments)
            if self._wait(server):
                return server
            if PORT_TAKEN not in self._log_tail():
                break
        self.down()
        raise EngineUnavailable(f"the server ended at its start: {self._log_tail()}")

    def down(self) -> bool:
        """Stop the server, and what one that crashed left behind; whether there was one."""
        server = self._known()
        if server is None:
            return False
        was_alive = server.is_alive
        end(server.pid, server.started, self._clock, patience_seconds=STOP_SECONDS)
        # A stub that computes when its server crashes waits for it for ever.
        for pid in session_of(server.pid, self._folder / BACKENDS):
            kill(pid)
        for region in SHARED_MEMORY.glob(f"{_prefix(server.ports)}*"):
            region.unlink(missing_ok=True)
        (self._folder / STATE_FILE).unlink(missing_ok=True)
        return was_alive

    def _known(self) -> RunningServer | None:
        try:
            found = json.loads((self._folder / STATE_FILE).read_text(encoding="utf-8"))
            return RunningServer(**{**found, "ports": Ports(**found["ports"])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SettingsError(
                f"{self._folder / STATE_FILE} cannot be read ({error}); end the server by hand and remove it"
            ) from error

    def _launch(
        self, repository: Path, models: Sequence[str], ports: Ports, arguments: Sequence[str]
    ) -> RunningServer:
        program = self._environment.server / "bin" / "tritonserver"
        options = [
            f"--model-repository={repository}",
            f"--backend-directory={self._folder / BACKENDS}",
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in models),
            *(f"--{kind}-address={LOOPBACK}" for kind in ("http", "grpc", "metrics")),
            *(f"--{kind}-port={port}" for kind, port in asdict(ports).items()),
            f"--backend-config=python,shm-region-prefix-name={_prefix(ports)}",
            f"--exit-timeout-secs={EXIT_SECONDS}",
            *arguments,
        ]
        pid = spawn(program, options, self._environment.variables(os.environ), self.log_file)
        server = RunningServer(
            pid=pid,
            started=started_at(pid) or 0,
            ports=ports,
            repository=str(repository),
        )
        (self._folder / STATE_FILE).write_text(json.dumps(asdict(server), indent=1) + "\n", encoding="utf-8")
        return server

    def _wait(self, server: RunningServer) -> bool:
        """Wait for readiness; False when the process ended before."""
        until = self._clock.monotonic() + READY_SECONDS
        while server.is_alive:
            if server.is_ready():
                return True
            if self._clock.monotonic() > until:
                self.down()
                raise EngineUnavailable(
                    f"the server is not ready after {READY_SECONDS:.0f} s: {self._log_tail()}"
                )
            pause(LOOK_SECONDS)
        collect(server.pid)
        return False

    def _log_tail(self) -> str:
        text = self.log_file.read_text(encoding="utf-8", errors="replace")
        return f"{self.log_file} ends with: {text[-TAIL_CHARACTERS:]}"


def _prefix(ports: Ports) -> str:
    """Return how the names of the shared memory begin in which a server talks with its python backend."""
    return f"triton-{ports.grpc}-"
