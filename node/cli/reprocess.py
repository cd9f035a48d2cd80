"""``reprocess``: screening a study again, and verifying that stored scores come out again."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from node.assemble.routes import StudyRouter
from node.cli.exits import ExitCode
from node.cli.models import reference_of
from node.cli.options import (
    ByOption,
    ConfigOption,
    JsonOption,
    ReasonOption,
    StudyArgument,
    settings_of,
    store_of,
)
from node.cli.output import counted, show, show_json, table
from node.cli.records import model_record
from node.domain.errors import SettingsError, UnknownSubject
from node.domain.job import ACTIVE_VERSION, Assignment, Purpose
from node.domain.result import Finding
from node.domain.study import Study
from node.infer.bundle import installed, load_bundle
from node.run.verifying import ScoreDifference, SelectionDifference, Verification, verify
from node.serving import open_embedded, routing_of
from node.settings.settings import Settings
from node.store.store import Store

SELECTED = ("sop_instance_uid", "frame", "instance_number", "dark_count", "found_count", "selected", "now")
COLUMNS = ("sop_instance_uid", "frame", "instance_number", "stored", "found", "difference")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reprocess")(reprocess)


def reprocess(
    *,
    study: StudyArgument,
    by: ByOption,
    reason: ReasonOption,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:VERSION]", help="By this model, in its active version where none is given."
        ),
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="With --model: keep what it finds for comparison, send nothing.")
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Queue nothing: score the stored images again, here and now, by the model that scored them, "
            "and say which scores, and which selected slices, differ.",
        ),
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="With --verify: largest difference of a score; by default the golden replay's."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Screen a study again, by the models that it is routed to; the same input makes no new result."""
    settings = settings_of(config)
    if (shadow and model is None) or (shadow and again) or (tolerance is not None and not again):
        raise SettingsError("--shadow goes with --model, and --tolerance with --verify; correct the options")
    with store_of(settings) as store:
        found = store.studies.get(study)
        if again:
            finding = _finding(store, found, model)
            verified = _verify(settings, store, found, finding, tolerance)
            store.operations.audit(by, "verify", f"study {found.id}", reason)
            _tell(finding, verified, as_json=as_json)
            return
        queued = [
            store.screenings.requeue(found.id, assignment, by, reason)
            for assignment in _assignments(settings, store, found, model, shadow=shadow)
        ]
    if as_json:
        show_json({"screenings": queued})
        return
    noun = "screening" if len(queued) == 1 else "screenings"
    show(f"Queued as {noun} {', '.join(map(str, queued))}.")


def _assignments(
    settings: Settings, store: Store, study: Study, model: str | None, *, shadow: bool
) -> list[Assignment]:
    if model is None:
        routed = StudyRouter(store, routing_of(settings)).assign(study)
        return [item for item in routed if item.purpose is Purpose.REPORT]
    name, version = reference_of(model)
    folder = installed(settings.infer.models_dir, name)
    if version == ACTIVE_VERSION:
        version = store.promotions.active(name) or load_bundle(folder).version
    bundle = load_bundle(folder, version)
    purpose = Purpose.SHADOW if shadow else Purpose.REPORT
    return [Assignment(model_name=name, model_version=bundle.version, purpose=purpose)]


def _verify(
    settings: Settings, store: Store, study: Study, finding: Finding, tolerance: float | None
) -> Verification:
    folder = installed(settings.infer.models_dir, finding.model.name)
    bundle = load_bundle(folder, finding.model.version)
    with closing(open_embedded(bundle, settings, finding.model.precision)) as scorer:
        allowed = bundle.golden.tolerances.get(finding.model.precision, 0.0)
        return verify(
            store,
            study.id,
            finding,
            bundle,
            scorer,
            tolerance=allowed if tolerance is None else tolerance,
            batch=settings.infer.batch_slices,
            decoders=settings.infer.decoders,
        )


def _finding(store: Store, study: Study, model: str | None) -> Finding:
    """Return the newest finding with scores, of one model where one is named."""
    name, version = ("", ACTIVE_VERSION) if model is None else reference_of(model)
    for screening, finding in store.screenings.history(study.id):
        if finding is None or not finding.scored:
            continue
        if model is None and screening.purpose is Purpose.REPORT:
            return finding
        if finding.model.name == name and version in (ACTIVE_VERSION, finding.model.version):
            return finding
    raise UnknownSubject("the study has no scores to verify; see `studies show`")


def _tell(finding: Finding, found: Verification, *, as_json: bool) -> None:
    """Print what differs; any difference is a failure."""
    rows = [_row(item) for item in found.differing]
    selected = [_selected_row(item) for item in found.selected_otherwise]
    if as_json:
        show_json(
            {
                "model": model_record(finding.model),
                "verified_by": model_record(found.identity),
                "compared": found.compared,
                "tolerance": found.tolerance,
                "largest_difference": found.largest,
                "differing": rows,
                "looked_at": found.looked_at,
                "selected_otherwise": selected,
            }
        )
    else:
        show(
            f"{finding.model.name} version {finding.model.version}, {finding.model.precision.value}: "
            f"{counted(found.compared, 'score', 'scores')} compared, {len(rows)} differ by more than "
            f"{found.tolerance:.3g}; the largest difference is {found.largest:.3g}"
        )
        if rows:
            show(table("Differing scores", COLUMNS, [[row[name] for name in COLUMNS] for row in rows]))
        if found.looked_at:
            show(f"{counted(found.looked_at, 'slice', 'slices')} selected again, {len(selected)} otherwise")
        if selected:
            cells = [[row[name] for name in SELECTED] for row in selected]
            show(table("Slices selected otherwise", SELECTED, cells))
    if rows or selected:
        raise typer.Exit(ExitCode.FAILED)


def _row(item: ScoreDifference) -> dict[str, Any]:
    return {
        "sop_instance_uid": item.slice.sop_instance_uid,
        "frame": item.slice.frame,
        "instance_number": item.slice.instance_number,
        "stored": item.slice.probability,
        "found": item.found,
        "difference": item.difference,
    }


def _selected_row(item: SelectionDifference) -> dict[str, Any]:
    return {
        "sop_instance_uid": item.slice.sop_instance_uid,
        "frame": item.slice.frame,
        "instance_number": item.slice.instance_number,
        "dark_count": item.slice.dark_count,
        "found_count": item.dark_count,
        "selected": item.slice.selected,
        "now": item.selected,
    }
