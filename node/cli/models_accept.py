"""``models accept``: whether an inference server answers as the export did."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from node.cli.exits import ExitCode
from node.cli.options import ConfigOption, JsonOption, settings_of, store_of
from node.cli.output import show, show_json, table
from node.infer.acceptance import Trial, try_bundles
from node.infer.bundle import Bundle, load_bundle, versions_of
from node.infer.repository import installed_names
from node.settings.settings import Settings

COLUMNS = (
    "model",
    "version",
    "precision",
    "device",
    "server",
    "probabilities",
    "maps",
    "allowed",
    "passed",
)


def register(group: typer.Typer) -> None:
    """Add the command to the group ``models``."""
    group.command("accept")(accept)


def accept(
    *,
    url: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="gRPC endpoint; by default that of the settings."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A network, may be given again; by default every installed one."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Who accepts; stands in the audit trail. Without it nothing is recorded."),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; stands in the audit trail.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay every golden answer on an inference server, and record that it may answer for patients.

    Every installed version must be served there with the same bytes, and its answers must lie within the
    tolerance of the server's precision. Then, with --by and --reason, the acceptance is recorded.
    """
    from node.infer.shared_memory import Retired  # noqa: PLC0415 -- gRPC: 14 MB, for those who have a server
    from node.infer.triton_link import Link  # noqa: PLC0415 -- as above

    signed = _signed(by, reason)
    settings = settings_of(config, {} if url is None else {"GROUNDGLASS_INFER__TRITON__URL": url})
    options = settings.infer.triton.record()
    trials = try_bundles(_bundles(settings, model or []), lambda bundle: Link(bundle, options, Retired()))
    passed = all(trial.passed for trial in trials)
    if passed and signed is not None:
        _record(settings, trials, *signed)
    _tell(options.url, trials, recorded=passed and signed is not None, as_json=as_json)
    if not passed:
        raise typer.Exit(ExitCode.NOT_READY)


def _signed(by: str | None, reason: str | None) -> tuple[str, str] | None:
    """Return who accepts and why; None when this is a trial only."""
    if by is None and reason is None:
        return None
    if not (by or "").strip() or not (reason or "").strip():
        raise typer.BadParameter("--by and --reason are given together, and neither is blank")
    return by or "", reason or ""


def _bundles(settings: Settings, names: list[str]) -> list[Bundle]:
    folders = [settings.infer.models_dir / name for name in installed_names(settings.infer.models_dir, names)]
    return [load_bundle(folder, version) for folder in folders for version in versions_of(folder)]


def _record(settings: Settings, trials: list[Trial], by: str, reason: str) -> None:
    with store_of(settings, create=True) as store:
        for trial in trials:
            acceptance = trial.acceptance(settings.infer.triton.url)
            if acceptance is not None:
                store.acceptances.record(acceptance, by, reason)


def _tell(url: str, trials: list[Trial], *, recorded: bool, as_json: bool) -> None:
    if as_json:
        show_json({"url": url, "recorded": recorded, "models": [_plain(trial) for trial in trials]})
        return
    show(table(f"Golden answers at {url}", COLUMNS, [_row(trial) for trial in trials]))
    for trial in trials:
        if trial.problem:
            show(f"{trial.model_name} version {trial.model_version}: {trial.problem}")
    if not all(trial.passed for trial in trials):
        show("Not accepted: nothing was recorded.")
    elif recorded:
        show(f"Accepted and recorded: {url} may answer for patients.")
    else:
        show("Passed. Nothing was recorded: repeat it with --by and --reason to accept the server.")


def _row(trial: Trial) -> tuple[object, ...]:
    identity, found = trial.identity, trial.differences
    return (
        trial.model_name,
        trial.model_version,
        None if identity is None else identity.precision,
        None if identity is None else identity.device,
        None if identity is None else identity.engine_version,
        None if found is None else f"{found.probabilities:.2g}",
        None if found is None else f"{found.maps:.2g}",
        None if found is None else f"{found.tolerance:.2g}",
        "yes" if trial.passed else "NO",
    )


def _plain(trial: Trial) -> dict[str, Any]:
    return asdict(trial) | {"passed": trial.passed}
