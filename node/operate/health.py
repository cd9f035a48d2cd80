"""Whether the node is well, as a record and as an HTTP endpoint on loopback.

``/healthz`` answers 200 or 503 with JSON, ``/metrics`` answers the text format of Prometheus.  The endpoint
knows nothing of a patient, so nothing of one can leave by it.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from node.domain.breaker import BreakerState
from node.domain.errors import SettingsError
from node.operate.destinations import DestinationCheck

MAX_REQUESTS = 8  # at the same time; a probe and a scraper need two
REQUEST_SECONDS = 5.0
MAX_ANSWER_BYTES = 1 << 20
OVERDUE_PERIODS = 10  # a tick that missed so many of its periods is not late but stuck
OVERDUE_SLACK_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class TickAge:
    """When a periodic task last ended."""

    name: str
    period_seconds: float
    age_seconds: float
    """Since its last end, or since the start of the node when it never ended."""
    call_seconds: float = 0.0
    """How long a peer that it calls may keep it waiting, by the time limits of the settings."""

    @property
    def overdue(self) -> bool:
        """Whether it should have ended long ago."""
        late = self.period_seconds * OVERDUE_PERIODS + OVERDUE_SLACK_SECONDS
        return self.age_seconds > late + self.call_seconds


@dataclass(frozen=True, kw_only=True)
class ModelCheck:
    """What the last golden replay of one model version found."""

    name: str
    version: int
    """0 where nobody can say which version is active."""
    reports: bool
    """Whether studies are answered by it; a shadow's failure is told, and keeps nothing from working."""
    state: str
    """Of its breaker: ``closed`` lets screenings through."""
    checked_at: str
    """When the replay ended, in UTC; empty before the first one."""
    problem: str
    """Why nothing is screened by it; empty when the replay passed."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was found, before it is judged."""

    store_problem: str
    """Why the index cannot be read; empty when it can."""
    models: tuple[ModelCheck, ...]
    """Every model in use."""
    destinations: tuple[DestinationCheck, ...]
    """Every destination of the settings."""
    listening: bool
    ticks: tuple[TickAge, ...]
    free_bytes: int
    """Free space where the objects lie."""
    least_free_bytes: int
    receiving_problem: str = ""
    """Why fewer processes receive than should; empty when they do."""
    damaged_files: int = 0
    """Object files that were found missing or damaged, and are so still."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """The answer to "is it well?"."""

    ready: bool
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    """What an operator should look at and what keeps the node from nothing: a PACS that is down does not."""
    facts: Facts

    def to_json(self) -> dict[str, Any]:
        """Return the body of ``/healthz``."""
        return {
            "ready": self.ready,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            **asdict(self.facts),
        }


def judge(facts: Facts) -> Health:
    """Return what is wrong with ``facts``; nothing wrong means ready."""
    problems = []
    if facts.store_problem:
        problems.append(f"store: {facts.store_problem}")
    problems += [
        f"model {model.name} version {model.version}: {model.problem}"
        for model in facts.models
        if model.reports and model.problem
    ]
    if not facts.listening:
        problems.append("network: not listening for associations")
    problems += [
        f"schedule: {tick.name} last ended {tick.age_seconds:.0f} s ago"
        for tick in facts.ticks
        if tick.overdue
    ]
    if facts.free_bytes < facts.least_free_bytes:
        problems.append(f"disk: {facts.free_bytes} bytes free, fewer than {facts.least_free_bytes}")
    warnings = [
        f"destination {check.name}: left alone after {check.failures} failures in a row: {check.problem}"
        for check in facts.destinations
        if check.breaker != BreakerState.CLOSED
    ]
    if facts.damaged_files:
        warnings.append(
            f"store: {facts.damaged_files} object files are missing or damaged; see `groundglass integrity`"
        )
    if facts.receiving_problem:
        warnings.append(f"network: {facts.receiving_problem}")
    return Health(ready=not problems, problems=tuple(problems), warnings=tuple(warnings), facts=facts)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP response."""

    status: HTTPStatus
    content_type: str
    body: bytes


class HealthEndpoint:
    """Serves ``/healthz`` and ``/metrics``.

    Parameters
    ----------
    host, port : str, int
        Where to listen; port 0 takes a free one.
    health : callable
        Looks, and returns the verdict; called for each request.
    metrics : callable
        Returns the exposition text.
    """

    def __init__(
        self, host: str, port: int, *, health: Callable[[], Health], metrics: Callable[[], bytes]
    ) -> None:
        self._address = (host, port)
        self._routes: Mapping[str, Callable[[], Answer]] = {
            "/healthz": lambda: _health_answer(health()),
            "/metrics": lambda: Answer(
                status=HTTPStatus.OK, content_type=CONTENT_TYPE_LATEST, body=metrics()
            ),
        }
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Begin to answer; return the port.

        Raises
        ------
        SettingsError
            When the address cannot be bound.
        """
        try:
            self._server = _Server(self._address, self._routes)
        except OSError as error:
            host, port = self._address
            raise SettingsError(
                f"health.port: cannot listen on {host}:{port} ({error.strerror}); free it or choose another"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop answering."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None


def _health_answer(health: Health) -> Answer:
    return Answer(
        status=HTTPStatus.OK if health.ready else HTTPStatus.SERVICE_UNAVAILABLE,
        content_type="application/json",
        body=json.dumps(health.to_json(), indent=1).encode() + b"\n",
    )


class _Server(ThreadingHTTPServer):
    """A server with a bounded number of requests at the same time."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], routes: Mapping[str, Callable[[], Answer]]) -> None:
        self.routes = routes
        self._places = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take the request when there is a place; else close it at once."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a client that went away go; the next request is answered as ever."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        """Answer one of the two paths."""
        route = self.server.routes.get(self.path.partition("?")[0])
        answer = (
            route()
            if route is not None
            else Answer(
                status=HTTPStatus.NOT_FOUND, content_type="text/plain", body=b"/healthz or /metrics\n"
            )
        )
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Write no line for each probe."""


def ask(host: str, port: int) -> dict[str, Any] | None:
    """Return what a running node says of itself, or None when none answers there."""
    connection = http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = json.loads(connection.getresponse().read(MAX_ANSWER_BYTES))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) and "ready" in answer else None


def port_is_free(host: str, port: int) -> bool:
    """Whether the node could listen there now."""
    if port == 0:
        return True
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
