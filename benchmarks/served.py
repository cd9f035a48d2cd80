"""A real inference server with one network, for the time of its measurement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.rates import CLIENTS, MANY_CLIENTS, ONE_CLIENT, SHARED_MEMORY, Work, many_clients, one_client
from node.app import SystemClock
from node.domain.model import Precision
from node.infer.bundle import Bundle
from node.infer.development_server import DevelopmentServer, RunningServer
from node.infer.repository import build_repository
from node.infer.repository_config import RepositoryOptions
from node.infer.server_environment import ServerEnvironment
from node.infer.triton import TritonScorer
from node.infer.triton_options import TritonOptions

ENVIRONMENT: Final = ServerEnvironment(folder=Path(__file__).parents[1] / ".venv-triton")
PATIENCE: Final = 300.0


@contextmanager
def server_of(bundle: Bundle, precision: Precision, folder: Path) -> Iterator[RunningServer]:
    """Run a server with one network, and stop it.

    Parameters
    ----------
    bundle : Bundle
    precision : Precision
        Of its arithmetic.
    folder : Path
        Empty or absent; gets the model repository and what the server keeps.
    """
    clock = SystemClock()
    ENVIRONMENT.install()
    repository, options = folder / "repository", RepositoryOptions(precision=precision)
    build_repository(bundle.folder.parent, [bundle.name], "cpu", repository, options)
    server = DevelopmentServer(ENVIRONMENT, folder / "server", clock=clock)
    try:
        yield server.up(repository, [bundle.name])
    finally:
        server.down()


def triton(
    bundle: Bundle, precision: Precision, running: RunningServer, opened: ExitStack, batch: int
) -> dict[str, Work]:
    """Return one client without and with shared memory, and many clients of one slice at a time."""

    def client(*, shared_memory: bool, in_flight: int) -> TritonScorer:
        scorer = TritonScorer(bundle, _options(running, shared_memory, in_flight), clock=SystemClock())
        opened.callback(scorer.close)
        return scorer

    return {
        ONE_CLIENT.format(precision.value): one_client(client(shared_memory=False, in_flight=3), batch),
        SHARED_MEMORY.format(precision.value): one_client(client(shared_memory=True, in_flight=3), batch),
        MANY_CLIENTS.format(precision.value): many_clients(
            [client(shared_memory=False, in_flight=1) for _ in range(CLIENTS)]
        ),
    }


def _options(running: RunningServer, shared_memory: bool, in_flight: int) -> TritonOptions:
    return TritonOptions(
        url=running.url,
        deadline_seconds=PATIENCE,
        control_seconds=PATIENCE,
        attempts=1,
        in_flight=in_flight,
        shared_memory=shared_memory,
        breaker_failures=3,
        breaker_seconds=1.0,
        allow_old_server=True,
        tls=None,
        token=None,
    )
