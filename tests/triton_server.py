"""The real inference server for tests: its own environment, free ports, networks made for the tests.

The server lives as long as the test session. Tests that stop or kill one start one of their own.

On a machine with a GPU the same tests run on it: ``GROUNDGLASS_TEST_TRITON`` names the folder of a server
that is installed there (in the vendor's container ``/opt/tritonserver``), and ``GROUNDGLASS_TEST_TARGET``
what its repository is built for (``onnx``; by default ``cpu``). The network that waits at a gate stays in the
python backend.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tritonclient import grpc

from node.app import SystemClock
from node.infer.bundle import Bundle, load_bundle
from node.infer.development_server import DevelopmentServer, RunningServer
from node.infer.process import collect, kill
from node.infer.repository import build_repository
from node.infer.server_environment import Installation, InstalledServer, ServerEnvironment
from node.infer.shared_memory import PREFIX
from node.infer.triton_connection import Connection
from node.infer.triton_options import TritonOptions
from tests.model_folder import TinyNet, phantom_slices, tiny_spec, write_model_folder
from tests.station.app_ground import wait_for

ENVIRONMENT = Path(__file__).resolve().parents[1] / ".venv-triton"
INSTALLED = "GROUNDGLASS_TEST_TRITON"
TARGET = "GROUNDGLASS_TEST_TARGET"
PATIENCE = 60.0
GATED = "gated"
"""Name of a network like the tiny one, which waits while its gate is shut."""

GATED_BACKEND = '''
"""As the backend it wraps, but waits while a file named "shut" lies beside it, and says so in "waiting".

Like the vendor's backends it takes whatever file lies there, without a look at its digest.
"""
import hashlib
import importlib.util
import json
import threading
from pathlib import Path

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("served", HERE / "served.py")
_served = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_served)


class TritonPythonModel(_served.TritonPythonModel):
    def initialize(self, args):
        config = json.loads(args["model_config"])
        found = hashlib.sha256((HERE / "model.onnx").read_bytes()).hexdigest()
        config["parameters"]["onnx_sha256_" + args["model_version"]]["string_value"] = found
        super().initialize({**args, "model_config": json.dumps(config)})

    def execute(self, requests):
        while (HERE / "shut").exists():
            (HERE / "waiting").touch()
            threading.Event().wait(0.02)
        (HERE / "waiting").unlink(missing_ok=True)
        return super().execute(requests)
'''


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Makes the gated network slow while it is shut."""

    folder: Path

    def shut(self) -> None:
        (self.folder / "shut").touch()

    def open(self) -> None:
        (self.folder / "shut").unlink(missing_ok=True)

    @property
    def holds(self) -> bool:
        """Whether a batch waits at it."""
        return (self.folder / "waiting").exists()


@dataclass(kw_only=True)
class Site:
    """A server, its networks and what they are here."""

    server: DevelopmentServer
    repository: Path
    tiny: Bundle
    gated: Bundle
    models: Sequence[str]
    """Loaded at the start."""
    running: RunningServer

    @property
    def gate(self) -> Gate:
        return Gate(folder=self.repository / GATED / str(self.gated.version))

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        connection = Connection(options_for(self.running))
        try:
            yield connection
        finally:
            connection.close()

    def regions(self) -> list[str]:
        """Names of this process's shared memory that the server holds."""
        client = grpc.InferenceServerClient(self.running.url)
        try:
            held = client.get_system_shared_memory_status().regions
        finally:
            client.close()
        return [name for name in held if name.startswith(f"{PREFIX}{os.getpid()}-")]

    def load_again(self, bundle: Bundle) -> None:
        """Let the server load a network anew, with whatever lies in the repository now.

        Where the configuration alone is newer, and says the same, the server keeps the load that it has.
        """
        for path in (self.repository / bundle.name).rglob("*.*"):
            path.touch()
        with self.connection() as connection:
            connection.load(bundle.name, seconds=PATIENCE)

    def swap_weights(self, bundle: Bundle, weights: bytes) -> None:
        """Put other weights where the server looks for those of a network."""
        file = self.repository / bundle.name / str(bundle.version) / "model.onnx"
        file.unlink()  # it may be the same file as the model folder's
        file.write_bytes(weights)

    def kill(self) -> None:
        """End the server as a crash does."""
        kill(self.running.pid)
        wait_for(lambda: not self.running.is_alive, "the server is dead")
        collect(self.running.pid)

    def start(self) -> None:
        """Start it again on the same ports."""
        self.running = self.server.up(self.repository, self.models, ports=self.running.ports)


def options_for(running: RunningServer, **changes: Any) -> TritonOptions:
    """Return how the tests reach a server: patiently, for the machine may be busy."""
    usual = TritonOptions(
        url=running.url,
        deadline_seconds=30.0,
        control_seconds=10.0,
        attempts=3,
        in_flight=2,
        shared_memory=False,
        breaker_failures=3,
        breaker_seconds=30.0,
        allow_old_server=True,
        tls=None,
        token=None,
    )
    return dataclasses.replace(usual, **changes)


def write_networks(models: Path, repository: Path) -> tuple[Bundle, Bundle]:
    """Write the tiny network and the gated one, and the server's repository of both."""
    slices = phantom_slices()
    tiny = load_bundle(write_model_folder(models, slices))
    spec = tiny_spec()
    spec = dataclasses.replace(spec, model=dataclasses.replace(spec.model, name=GATED))
    gated = load_bundle(write_model_folder(models, slices, net=TinyNet(gain=30.0), spec=spec))
    build_repository(models, [tiny.name], os.environ.get(TARGET, "cpu"), repository)
    build_repository(models, [GATED], "cpu", repository)
    version = repository / GATED / str(gated.version)
    (version / "model.py").rename(version / "served.py")
    (version / "model.py").write_text(GATED_BACKEND, encoding="utf-8")
    return tiny, gated


def installation() -> Installation:
    """Return what the tests' server runs from."""
    folder = os.environ.get(INSTALLED)
    return InstalledServer(server=Path(folder)) if folder else ServerEnvironment(folder=ENVIRONMENT)


def start_site(folder: Path, models: Sequence[str] = ("tiny", GATED), arguments: Sequence[str] = ()) -> Site:
    """Write the networks into a folder and start a server of them."""
    repository = folder / "repository"
    tiny, gated = write_networks(folder / "models", repository)
    server = DevelopmentServer(installation(), folder / "server", clock=SystemClock())
    running = server.up(repository, models, arguments=arguments)
    return Site(server=server, repository=repository, tiny=tiny, gated=gated, models=models, running=running)


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The session's server; leave it as it was found."""
    site = start_site(tmp_path_factory.mktemp("triton"))
    yield site
    site.server.down()


@pytest.fixture
def own_triton(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Return a function that starts a server for this test alone, with networks and options of its own."""
    started: list[Site] = []

    def start(models: Sequence[str], arguments: Sequence[str] = ()) -> Site:
        started.append(start_site(tmp_path / f"site{len(started)}", models, arguments))
        return started[-1]

    yield start
    for site in started:
        site.kill()
        site.server.down()
