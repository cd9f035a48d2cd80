"""``pull`` and ``pulls``: fetch studies from an archive, and see what is being fetched."""

from __future__ import annotations

import re
import threading
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node.app import SystemClock
from node.cli.exits import ExitCode
from node.cli.options import ConfigOption, JsonOption, settings_of, store_of
from node.cli.output import counted, show, show_json, table
from node.domain.archives import (
    Archive,
    ArchivedStudy,
    FetchProgress,
    FetchState,
    PullCause,
    PullProgress,
    PullRequest,
    PullState,
    Sought,
)
from node.domain.errors import SettingsError, UnknownSubject
from node.domain.identity import is_valid_uid
from node.fetching import searching
from node.operate.health import ask
from node.pull.rules import is_sought, series_sought
from node.settings.settings import Settings
from node.store.store import Store

LOOK_SECONDS: Final = 0.5
OPEN: Final = frozenset({PullState.SEARCHING, PullState.FETCHING})
DATE: Final = re.compile(r"(?P<first>\d{8})?(?P<range>-)?(?P<last>\d{8})?")
COLUMNS: Final = (
    *("id", "archive", "cause", "sought", "state", "series", "instances"),
    *("asked_at", "next_at", "detail"),
)
LONGEST_KEY: Final = 64  # VR LO, PS3.5 section 6.2

FromOption = Annotated[str, typer.Option("--from", help="Name of the archive in the settings.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pull")(pull)
    app.command("pulls")(pulls)


def pull(
    *,
    archive: FromOption,
    study: Annotated[
        list[str] | None, typer.Option("--study", help="StudyInstanceUID; may be given several times.")
    ] = None,
    accession: Annotated[str, typer.Option("--accession", help="AccessionNumber.")] = "",
    patient: Annotated[str, typer.Option("--patient", help="PatientID; `*` and `?` stand for others.")] = "",
    date: Annotated[
        str, typer.Option("--date", help="StudyDate: YYYYMMDD, or YYYYMMDD-YYYYMMDD, open at either end.")
    ] = "",
    modality: Annotated[str, typer.Option("--modality", help="Only series of this modality.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what there is; fetch nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is here.")] = True,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait; 0: as long as it takes.")] = 0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch studies from an archive into this node, which screens them as any other.

    The running node fetches them; this command asks it to and shows how far it is.  What was interrupted goes
    on, and only what is missing comes.
    """
    settings = settings_of(config)
    chosen = _archive_of(settings, archive)
    sought = _sought(study or [], accession, patient, date, modality)
    if dry_run:
        _show_found(_look(settings, chosen, sought), as_json=as_json)
        return
    with store_of(settings, create=True) as store:
        request = PullRequest(archive=chosen.name, cause=PullCause.ASKED, sought=sought)
        number = store.pulls.ask(request)
        if not as_json:
            show(f"Pull {number} from {chosen.name} ({chosen.address}).")
            if settings.health.enabled and ask(settings.health.host, settings.health.port) is None:
                show("No node answers here; it is fetched as soon as `groundglass serve` runs.")
        if wait:
            _watch(store, number, timeout, quiet=as_json)
        progress = store.pulls.progress(number)
    if as_json:
        show_json(_record(progress))
    else:
        show(_line(progress))
    if progress.pull.state in {PullState.SHORT, PullState.FAILED, PullState.CANCELLED}:
        raise typer.Exit(ExitCode.FAILED)
    if progress.pull.state is PullState.DONE and not progress.series:
        raise typer.Exit(ExitCode.UNKNOWN)
    if wait and progress.pull.state in OPEN:
        raise typer.Exit(ExitCode.TIMED_OUT)


def pulls(
    number: Annotated[
        int | None, typer.Argument(help="Show this pull alone, series by series.", show_default=False)
    ] = None,
    *,
    resume: Annotated[
        int | None,
        typer.Option("--resume", help="Go on with this pull, which failed, fell short or was cancelled."),
    ] = None,
    cancel: Annotated[
        int | None, typer.Option("--cancel", help="End this pull now; what came stays.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is and was fetched from archives, newest first."""
    with store_of(settings_of(config)) as store:
        if cancel is not None:
            store.pulls.cancel(cancel)
        if resume is not None:
            store.pulls.resume(resume)
        if number is not None:
            _show_series(store.pulls.progress(number), store.pulls.fetches(number), as_json=as_json)
            return
        found = [_record(progress) for progress in store.pulls.list(limit)]
    if as_json:
        show_json(found)
        return
    show(table(counted(len(found), "pull", "pulls"), COLUMNS, [_row(item) for item in found]))


def _row(item: dict[str, Any]) -> list[object]:
    return [
        item["id"],
        item["archive"],
        item["poll"] or item["cause"],
        ", ".join(f"{key} {value}" for key, value in item["sought"].items()),
        item["state"],
        f"{item['series_ended']} of {item['series']}",
        f"{item['here']} of {item['expected']}",
        item["asked_at"],
        item["next_at"] or "",
        item["detail"],
    ]


def _show_series(progress: PullProgress, fetches: list[FetchProgress], *, as_json: bool) -> None:
    record = _record(progress)
    rows = [_series_record(item) for item in fetches]
    if as_json:
        show_json(record | {"of_series": rows})
        return
    show(table(f"Pull {record['id']}", COLUMNS, [_row(record)]))
    cells = [
        [item[key] for key in ("series_instance_uid", "modality", "state")]
        + [f"{item['here']} of {'?' if item['expected'] is None else item['expected']}", item["attempts"]]
        + [item["next_at"] or "", item["detail"]]
        for item in rows
    ]
    columns = ("series_uid", "modality", "state", "instances", "failed", "next_at", "detail")
    show(table(counted(len(rows), "series", "series"), columns, cells))


def _series_record(item: FetchProgress) -> dict[str, Any]:
    fetch = item.fetch
    return {
        "study_instance_uid": fetch.study_instance_uid,
        "series_instance_uid": fetch.series_instance_uid,
        "modality": fetch.modality,
        "state": fetch.state.value,
        "here": item.here,
        "expected": fetch.expected,
        "attempts": fetch.attempts,
        "next_at": _time(fetch.due_at) if fetch.state is FetchState.WAITING else None,
        "detail": fetch.detail,
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def _archive_of(settings: Settings, name: str) -> Archive:
    for archive in settings.archive_records():
        if archive.name == name:
            return archive
    known = ", ".join(archive.name for archive in settings.archives) or "none"
    raise UnknownSubject(f"{name}: no such archive in the settings; known: {known}")


def _sought(studies: list[str], accession: str, patient: str, date: str, modality: str) -> Sought:
    """Return what is looked for.

    Raises
    ------
    SettingsError
        It is nothing, or no value of its attribute.
    """
    wrong = next((uid for uid in studies if not is_valid_uid(uid)), None)
    if wrong is not None:
        raise SettingsError(f"--study {wrong!r} is no UID (PS3.5 section 9.1)")
    for option, value in (("--accession", accession), ("--patient", patient), ("--modality", modality)):
        if len(value) > LONGEST_KEY or "\\" in value or not value.isprintable():
            raise SettingsError(
                f"{option} {value!r} cannot be the value of an attribute; write it as it is shown"
            )
    if date and not _is_date(date):
        raise SettingsError(f"--date {date!r}: write YYYYMMDD, YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD")
    sought = Sought(
        study_instance_uids=tuple(dict.fromkeys(studies)),
        accession_number=accession,
        patient_id=patient,
        study_date=date,
        modality=modality,
    )
    if not sought.narrows:
        raise SettingsError(
            "pull needs --study, --accession, --patient or --date; a whole archive is not pulled"
        )
    return sought


def _is_date(text: str) -> bool:
    """Whether a text is a date or a range of dates (PS3.4 section C.2.2.2.5)."""
    found = DATE.fullmatch(text)
    if found is None or (found["last"] and not found["range"]):
        return False
    days = [day for day in (found["first"], found["last"]) if day]
    try:
        parsed = [datetime.strptime(day, "%Y%m%d").date() for day in days]  # noqa: DTZ007 - a day, no time
    except ValueError:
        return False
    return bool(parsed) and parsed == sorted(parsed)


def _look(settings: Settings, archive: Archive, sought: Sought) -> list[dict[str, Any]]:
    """Return the studies that an archive shows, with their series."""
    with searching(archive, settings, clock=SystemClock()) as session:
        studies = session.studies(sought, limit=settings.pull.max_studies)
        return [
            _study_record(study)
            | {
                "series": [
                    {
                        "series_instance_uid": series.series_instance_uid,
                        "modality": series.modality,
                        "body_part_examined": series.body_part_examined,
                        "series_description": series.series_description,
                        "instances": series.instance_count,
                    }
                    for series in series_sought(session.series(study.study_instance_uid), sought.modality)
                ]
            }
            for study in studies
            if is_sought(study, sought)
        ]


def _study_record(study: ArchivedStudy) -> dict[str, Any]:
    return {
        "study_instance_uid": study.study_instance_uid,
        "study_date": study.study_date,
        "study_description": study.study_description,
    }


def _show_found(studies: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        show_json(studies)
        return
    rows = [
        [study["study_instance_uid"], study["study_date"], study["study_description"]]
        + [series[key] for key in ("modality", "body_part_examined", "series_description", "instances")]
        for study in studies
        for series in study["series"]
    ]
    columns = ("study_uid", "date", "study", "modality", "body part", "series", "instances")
    show(table(counted(len(studies), "study", "studies"), columns, rows))


def _watch(store: Store, number: int, timeout: float, *, quiet: bool) -> None:
    """Wait until a pull has ended, or the time is over."""
    clock, never = SystemClock(), threading.Event()
    end = clock.monotonic() + timeout if timeout else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=quiet, transient=True) as bar:
        view = _View(bar, quiet=quiet)
        while True:
            progress = store.pulls.progress(number)
            view.tell(progress)
            if progress.pull.state not in OPEN or (end is not None and clock.monotonic() >= end):
                return
            never.wait(LOOK_SECONDS)


class _View:
    """Shows how far a pull is: a bar on a terminal, a line for each problem anywhere."""

    def __init__(self, bar: Progress, *, quiet: bool) -> None:
        self._bar = bar
        self._task = bar.add_task("searching", total=None)
        self._quiet = quiet
        self._told = ""

    def tell(self, progress: PullProgress) -> None:
        """Show how far it is now."""
        problem = progress.problem or progress.pull.detail
        if problem and problem != self._told and progress.pull.state in OPEN and not self._quiet:
            later = "" if progress.next_at is None else f" at {_time(progress.next_at)}"
            show(f"{problem}; it is tried again{later}.")
        self._told = problem
        if progress.pull.state is PullState.FETCHING:
            self._bar.update(
                self._task,
                description=f"{progress.series_ended} of {progress.series} series, instances:",
                completed=progress.here,
                total=progress.expected or None,
            )


def _record(progress: PullProgress) -> dict[str, Any]:
    pull = progress.pull
    sought = pull.request.sought
    keys = {
        "study": ", ".join(sought.study_instance_uids),
        "accession": sought.accession_number,
        "patient": sought.patient_id,
        "date": sought.study_date,
        "modality": sought.modality,
    }
    return {
        "id": pull.id,
        "archive": pull.request.archive,
        "cause": pull.request.cause.value,
        "poll": pull.request.poll,
        "sought": {key: value for key, value in keys.items() if value},
        "state": pull.state.value,
        "studies": progress.studies,
        "series": progress.series,
        "series_ended": progress.series_ended,
        "expected": progress.expected,
        "here": progress.here,
        "asked_at": _time(pull.asked_at),
        "next_at": _time(progress.next_at),
        "ended_at": _time(pull.ended_at),
        "detail": progress.problem or pull.detail,
    }


def _line(progress: PullProgress) -> str:
    """Return what became of a pull, in words."""
    told = progress.problem or progress.pull.detail
    return (
        f"{progress.pull.state.value}: {counted(progress.studies, 'study', 'studies')}, "
        f"{progress.series} series, {progress.here} of {progress.expected} instances"
        + (f"; {told}" if told else "")
    )
