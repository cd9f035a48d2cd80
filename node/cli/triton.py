"""``triton up|down|status|install``: a real inference server on this machine, for tests and development."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from node.app import SystemClock
from node.cli.exits import ExitCode
from node.cli.options import JsonOption
from node.cli.output import show, show_json
from node.infer.development_server import DevelopmentServer, RunningServer
from node.infer.server_environment import InstalledServer, ServerEnvironment

EnvironmentOption = Annotated[
    Path, typer.Option(help="Folder of the server's own Python environment; made when it is missing.")
]
FolderOption = Annotated[
    Path, typer.Option(help="Folder of the server's log and of what is known of its process.")
]
DEFAULT_ENVIRONMENT = Path(".venv-triton")
DEFAULT_FOLDER = Path(".triton")

commands = typer.Typer(
    no_args_is_help=True,
    help="A real inference server on loopback, for tests and development; never for patients.",
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="triton")


@commands.command("install")
def install(environment: EnvironmentOption = DEFAULT_ENVIRONMENT) -> None:
    """Make the server's environment, as `up` does by itself."""
    ServerEnvironment(folder=environment).install()
    show(f"{environment} holds the server")


@commands.command("up")
def up(
    *,
    repository: Annotated[
        Path, typer.Option(help="The networks, as `groundglass models build --target cpu` wrote them.")
    ],
    model: Annotated[list[str] | None, typer.Option(help="Load this network; repeat it for several.")] = None,
    grpc_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of its gRPC endpoint; 0 takes a free one.")
    ] = 0,
    environment: EnvironmentOption = DEFAULT_ENVIRONMENT,
    installed: Annotated[
        Path | None,
        typer.Option(help="A server installed here in its place, for example /opt/tritonserver."),
    ] = None,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Start the server on loopback and wait until it answers."""
    place = ServerEnvironment(folder=environment) if installed is None else InstalledServer(server=installed)
    server = DevelopmentServer(place, folder, clock=SystemClock())
    _tell(server.up(repository, model or (), grpc_port=grpc_port), as_json=as_json)


@commands.command("down")
def down(environment: EnvironmentOption = DEFAULT_ENVIRONMENT, folder: FolderOption = DEFAULT_FOLDER) -> None:
    """Stop the server; requests under way end first."""
    show("the server is down" if _server(environment, folder).down() else "no server was up")


@commands.command("status")
def status(
    environment: EnvironmentOption = DEFAULT_ENVIRONMENT,
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Say whether the server is up and where it listens; exit code 3 when it does not answer."""
    server = _server(environment, folder).running()
    _tell(server, as_json=as_json)
    if server is None or not server.is_ready():
        raise typer.Exit(ExitCode.NOT_READY)


def _server(environment: Path, folder: Path) -> DevelopmentServer:
    return DevelopmentServer(ServerEnvironment(folder=environment), folder, clock=SystemClock())


def _tell(server: RunningServer | None, *, as_json: bool) -> None:
    if as_json:
        show_json(_document(server))
    elif server is None:
        show("no server is up")
    else:
        state = "is ready" if server.is_ready() else "does not answer"
        show(
            f"process {server.pid} {state}; serves {server.repository}",
            f'infer.triton.url = "{server.url}"',
        )


def _document(server: RunningServer | None) -> dict[str, Any]:
    if server is None:
        return {"up": False, "ready": False}
    return {"up": True, "ready": server.is_ready(), "url": server.url, **asdict(server)}
