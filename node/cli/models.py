"""``models``: the installed networks, which version of each answers, and the servers that run them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.app import RandomUids, SystemClock
from node.cli import models_accept, models_build, models_compare
from node.cli.exits import ExitCode
from node.cli.options import ByOption, ConfigOption, JsonOption, ReasonOption, settings_of, store_of
from node.cli.output import show, show_json, table
from node.decide.routing import model_reference
from node.domain.errors import ModelError, SettingsError
from node.domain.job import ACTIVE_VERSION, Purpose
from node.infer.bundle import installed, load_bundle, own_version, versions_of
from node.infer.installing import install
from node.infer.repository import installed_names
from node.operate.health import ask
from node.serving import TRITON, approval_of, open_engine, routing_of
from node.settings.settings import Settings
from node.store.store import Store

if TYPE_CHECKING:
    from node.infer.triton_connection import Connection

CONTROL_SECONDS = 300.0
"""A network may be large, and compiled while it is loaded."""
LIST = ("model", "version", "reads", "status", "digests", "role", "canary", "checked_at")
CHECKS = ("", "model", "version", "detail")

ModelArgument = Annotated[str, typer.Argument(metavar="NAME:VERSION", help="Model and version.")]
LooseModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME[:VERSION]]",
        help="One model, its active version where none is given; by default everything that studies are "
        "assigned to.",
    ),
]
ServerModelArgument = Annotated[
    str, typer.Argument(metavar="NAME[:VERSION]", help="Model; with a version, that one alone.")
]


def register(app: typer.Typer) -> None:
    """Add the commands as a group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="The installed networks and the servers that run them.",
        rich_markup_mode=None,
    )
    group.command("list")(list_models)
    group.command("check")(check)
    group.command("add")(add)
    group.command("promote")(promote)
    group.command("load")(load)
    group.command("unload")(unload)
    models_compare.register(group)
    models_build.register(group)
    models_accept.register(group)
    app.add_typer(group, name="models")


def list_models(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the installed versions: whether their files belong together, and what they are used for."""
    settings = settings_of(config)
    with known_store(settings) as store:
        rows = list(_rows(settings, store))
    if as_json:
        show_json(rows)
        return
    show(table("Models", LIST, [[row[name] for name in LIST] for row in rows]))
    for row in rows:
        if row["problem"]:
            show(f"{row['model']} version {row['version']}: {row['problem']}")


def check(model: LooseModelArgument = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Shake hands with the engine and replay the golden answer."""
    settings = settings_of(config)
    with known_store(settings) as store:
        if model is None:
            wanted = [(item.model_name, item.model_version) for item in routing_of(settings).assignments]
        else:
            wanted = [reference_of(model)]
        checks = [_check(settings, store, name, version) for name, version in wanted]
    if as_json:
        show_json(checks)
    else:
        rows = [
            ("ok" if item["passed"] else "FAILED", item["model"], item["version"], item["detail"])
            for item in checks
        ]
        show(table("Golden replays", CHECKS, rows))
    if not all(item["passed"] for item in checks):
        raise typer.Exit(ExitCode.NOT_READY)


def add(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", exists=True, file_okay=False, help="A model folder, as the trainer exports it."
        ),
    ],
    config: ConfigOption = None,
) -> None:
    """Install an exported version beside the others; it answers only once it is promoted."""
    settings = settings_of(config)
    bundle = install(folder.resolve(), settings.infer.models_dir, RandomUids().token())
    show(
        f"Installed {bundle.name} version {bundle.version} ({bundle.status.value}).",
        f'Compare it as `infer.shadow = ["{bundle.name}:{bundle.version}"]`, then '
        f"`groundglass models promote {bundle.name}:{bundle.version}`.",
    )
    if settings.infer.engine == TRITON:
        show("The server serves it after `groundglass models build`, and may answer after `models accept`.")


def promote(model: ModelArgument, by: ByOption, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Make a version the active one of its model, from the next study on, once its golden replay passes.

    Studies that are under way finish on the version that they began with.
    """
    settings = settings_of(config)
    name, version = reference_of(model)
    if version == ACTIVE_VERSION:
        raise SettingsError(f"{model}: name the version, for example {name}:2")
    with store_of(settings, create=True) as store:
        checked = _check(settings, store, name, version)
        if not checked["passed"]:
            raise ModelError(f"not promoted: {checked['detail']}")
        store.promotions.promote(name, version, by, reason)
    show(f"{name} version {version} is active from the next study on ({checked['detail']}).")


def load(model: ServerModelArgument, config: ConfigOption = None) -> None:
    """Have the inference server load a network, or one more version of it, where it runs under control.

    Without a version it loads those that its repository names; with one, that beside those it serves. Once
    it is started again, or the whole network was unloaded, the repository counts.
    """
    _control(settings_of(config), model, loaded=True)


def unload(model: ServerModelArgument, config: ConfigOption = None) -> None:
    """Have the inference server unload a network, or one version of it; studies for it wait meanwhile."""
    _control(settings_of(config), model, loaded=False)


@contextmanager
def known_store(settings: Settings) -> Iterator[Store | None]:
    """Open the store where there is one: before the first start, nothing was promoted yet."""
    if not settings.node.data_dir.is_dir():
        yield None
        return
    with store_of(settings) as store:
        yield store


def reference_of(text: str) -> tuple[str, int]:
    """Return name and version of what was typed.

    Raises
    ------
    SettingsError
    """
    try:
        return model_reference(text)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _rows(settings: Settings, store: Store | None) -> Iterator[dict[str, Any]]:
    roles = _roles(settings, store)
    health = settings.health
    answer = ask(health.host, health.port) if health.enabled else None
    told = {(item["name"], item["version"]): item for item in (answer or {}).get("models", [])}
    for name in installed_names(settings.infer.models_dir, []):
        folder = settings.infer.models_dir / name
        for version in versions_of(folder):
            reading = told.get((name, version), {})
            row = dict.fromkeys(LIST) | {
                "model": name,
                "version": version,
                "digests": "ok",
                "role": roles.get((name, version), "-"),
                "canary": reading.get("state"),
                "checked_at": reading.get("checked_at") or None,
                "problem": reading.get("problem", ""),
            }
            try:
                bundle = load_bundle(folder, version)
                row |= {"reads": bundle.spec.modality.value, "status": bundle.status.value}
            except ModelError as error:
                row |= {"digests": "FAILED", "problem": str(error)}
            yield row


def _roles(settings: Settings, store: Store | None) -> dict[tuple[str, int], str]:
    """Return what studies are assigned to."""
    roles: dict[tuple[str, int], str] = {}
    for item in routing_of(settings).assignments:
        version = item.model_version or _active(settings, store, item.model_name)
        roles.setdefault((item.model_name, version), "active" if item.purpose is Purpose.REPORT else "shadow")
    return roles


def _active(settings: Settings, store: Store | None, name: str) -> int:
    promoted = None if store is None else store.promotions.active(name)
    return promoted or own_version(installed(settings.infer.models_dir, name))


def _check(settings: Settings, store: Store | None, name: str, version: int) -> dict[str, Any]:
    """Open an engine of the settings for a version, hold it against everything, and close it."""
    record: dict[str, Any] = {"model": name, "version": version or None}
    try:
        engine = open_engine(settings, store, SystemClock(), name, version or None)
        record["version"] = engine.bundle.version
        with closing(engine.scorer):
            found = engine.replay()
            if store is not None:
                approval_of(settings, store)(engine.bundle, engine.scorer.identity)
            identity = engine.scorer.identity
    except ModelError as error:
        return record | {"passed": False, "detail": str(error)}
    detail = (
        f"{engine.bundle.status.value}, {identity.engine} {identity.precision.value} on {identity.device}: "
        f"digests agree, golden replay passed within {found.probabilities:.2g}"
    )
    return record | {"passed": True, "detail": detail}


def _control(settings: Settings, model: str, *, loaded: bool) -> None:
    name, version = reference_of(model)
    known = versions_of(installed(settings.infer.models_dir, name))
    if settings.infer.engine != TRITON:
        show("The embedded engine opens a version when a study asks for it: there is nothing to load.")
        return
    if version not in (ACTIVE_VERSION, *known):
        raise ModelError(f"{name} version {version} is not installed here; see `groundglass models list`")
    from node.infer.triton_connection import Connection  # noqa: PLC0415 -- gRPC: 14 MB, for those with a server

    with closing(Connection(settings.infer.triton.record())) as connection:
        if version == ACTIVE_VERSION:
            (connection.load if loaded else connection.unload)(name, seconds=CONTROL_SECONDS)
        else:
            _control_version(connection, name, version, loaded=loaded)
        served = [item for item in connection.served(name) if item in known]
    show(f"{name}: served now: {', '.join(map(str, served)) or 'nothing'}")
    if loaded and version not in (ACTIVE_VERSION, *served):
        raise ModelError(
            f"{name} version {version} is not in the server's repository; write it there with "
            "`groundglass models build`"
        )


def _control_version(connection: Connection, name: str, version: int, *, loaded: bool) -> None:
    """Load or unload one version, and let the server keep the others as they are."""
    before = set(connection.served(name))
    wanted = before | {version} if loaded else before - {version}
    if not wanted:
        connection.unload(name, seconds=CONTROL_SECONDS)
    elif wanted != before:
        if not before:  # its configuration is known once it serves something
            connection.load(name, seconds=CONTROL_SECONDS)
        if wanted != set(connection.served(name)):
            connection.serve_only(name, wanted, seconds=CONTROL_SECONDS)
