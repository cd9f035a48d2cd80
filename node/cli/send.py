"""``send`` and ``echo``: this command line as a service class user."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from node.app import SystemClock
from node.cli.exits import ExitCode
from node.cli.options import ConfigOption, JsonOption, destination_of, settings_of, store_of
from node.cli.output import counted, show, show_json, table
from node.cli.sending import Fate, FileFate, files_under, readable, send
from node.dimse.scu import Remote, echo
from node.domain.errors import SettingsError
from node.domain.model import ModelIdentity
from node.domain.network import Destination, DicomDestination
from node.outlets import call_timeouts, sender_to
from node.settings.settings import Settings

ADDRESS = re.compile(r"(?P<title>[^@]{1,16})@(?P<host>.+):(?P<port>\d{1,5})")
MAX_LISTED = 50

ToOption = Annotated[str, typer.Option("--to", help="AET@HOST:PORT, or the name of a destination.")]
CallingOption = Annotated[
    str | None, typer.Option("--as", help="Calling AE title; by default the one of this node.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("send")(send_command)
    app.command("echo")(echo_command)


def send_command(
    *,
    to: ToOption,
    source: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", exists=True, help="DICOM file or folder to send.")
    ] = None,
    study: Annotated[
        str | None, typer.Option("--study", help="Release this study's withheld or refused results instead.")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="With --study: who does it.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="With --study: why.")] = "",
    calling: CallingOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a DICOM folder to an application entity, or release a study's withheld results.

    DIR goes out now, file by file, as it lies.  With --study the results of a study that were made while the
    destination was not live, or that it refused, are queued; a running node sends them.
    """
    settings = settings_of(config)
    if (source is None) == (study is None):
        raise SettingsError("send needs either a folder or --study UID; see `groundglass send --help`")
    if study is not None:
        _release(settings, study, to, by, reason)
        return
    fates = _send_folder(settings, Path(str(source)), to, calling)
    _print(fates, to, as_json=as_json)
    if any(fate.fate in (Fate.REFUSED, Fate.FAILED) for fate in fates):
        raise typer.Exit(ExitCode.FAILED)
    if not any(fate.fate is Fate.SENT for fate in fates):
        raise SettingsError(f"{source}: no DICOM file with File Meta Information is there; nothing was sent")


def echo_command(to: ToOption, calling: CallingOption = None, config: ConfigOption = None) -> None:
    """Verify that a destination answers: an application entity by C-ECHO, any other as its kind allows."""
    settings = settings_of(config)
    if "@" not in to and not isinstance(chosen := destination_of(settings, to), DicomDestination):
        sender_to(chosen, settings, SystemClock()).echo()
        show(f"{chosen.name} ({chosen.address}) answers.")
        return
    remote = remote_of(settings, to)
    echo(remote, calling_ae_title=calling or settings.node.ae_title, timeouts=call_timeouts(settings))
    show(f"{remote} answers.")


def remote_of(settings: Settings, to: str) -> Remote:
    """Return the peer that ``--to`` names.

    Raises
    ------
    SettingsError, UnknownSubject
    """
    if "@" not in to:
        destination = destination_of(settings, to)
        if not isinstance(destination, DicomDestination):
            raise SettingsError(
                f"--to {to}: {destination.address} is no application entity; name one, or AET@HOST:PORT"
            )
        return Remote(
            ae_title=destination.ae_title,
            host=destination.host,
            port=destination.port,
            tls=destination.tls,
        )
    match = ADDRESS.fullmatch(to)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise SettingsError(f"--to {to!r}: write AET@HOST:PORT, for example PACS@10.0.0.5:104")
    return Remote(ae_title=match["title"], host=match["host"].strip("[]"), port=int(match["port"]))


def _send_folder(settings: Settings, source: Path, to: str, calling: str | None) -> list[FileFate]:
    fates: list[FileFate] = []
    send(
        readable(files_under(source), fates.append),
        remote=remote_of(settings, to),
        calling_ae_title=calling or settings.node.ae_title,
        timeouts=call_timeouts(settings),
        on_fate=fates.append,
    )
    return fates


def _release(settings: Settings, study: str, to: str, by: str, reason: str) -> None:
    destination = destination_of(settings, to)
    with store_of(settings) as store:
        study_id = store.studies.get(study).id
        models = store.screenings.models_in_force(study_id)
        taken = {model.name for model in models if destination.accepts(model.status)}
        refused = [model for model in models if model.name not in taken]
        if refused and not taken:
            raise SettingsError(_refusal(destination, refused[0]))
        count = store.outbox.release(
            study_id, destination.name, by, reason, model_names=taken, kinds=destination.kinds
        )
    for model in refused:
        show(f"Left out: {_refusal(destination, model)}")
    show(f"{counted(count, 'result', 'results')} queued for {destination.name}; a running node sends them.")


def _refusal(destination: Destination, model: ModelIdentity) -> str:
    return (
        f"{destination.name}: results of a {model.status.value} model ({model.name}) are not sent there; "
        "nothing of it was queued. Set its accept_demonstration only where no patient depends on it"
    )


def _print(fates: list[FileFate], to: str, *, as_json: bool) -> None:
    rows = [
        {
            "path": str(fate.path),
            "sop_instance_uid": fate.sop_instance_uid,
            "fate": fate.fate,
            "detail": fate.detail,
        }
        for fate in fates
    ]
    if as_json:
        show_json(rows)
        return
    counts = Counter(fate.fate for fate in fates)
    show(f"{to}: " + ", ".join(f"{counts[fate]} {fate}" for fate in Fate if counts[fate]))
    unsent = [row for row in rows if row["fate"] is not Fate.SENT]
    if unsent:
        shown = [(row["path"], row["fate"], row["detail"]) for row in unsent[:MAX_LISTED]]
        show(table(f"Not taken: {len(unsent)}", ("file", "fate", "detail"), shown))
