"""What the demo leaves in its folder: report as text, contact sheet, summary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from node.cli.demo.folder import DemoFolder
from node.cli.demo.narrate import decision_line
from node.cli.demo.plan import DemoPlan
from node.cli.demo.sheet import MAX_TILES, Tile, heatmap_tile, slice_tile, write_sheet
from node.cli.demo.summary import PHANTOM_NOTE, DemoOutcome, summary_record
from node.cli.demo.watch import StudyView
from node.cli.output import MAX_LINE, printable
from node.dicom.read import read_whole_dataset
from node.dicom.slices import slice_sources
from node.domain.result import Finding, ResultKind, SliceScore
from node.report.render import report_text
from node.store.store import Store

RULE = "=" * 78


def leave_evidence(plan: DemoPlan, folder: DemoFolder, outcome: DemoOutcome, store: Store) -> None:
    """Write report.txt, heatmaps.png and summary.json."""
    folder.report.write_text(report_file(plan, outcome), encoding="utf-8")
    note = f"{PHANTOM_NOTE} " if plan.source is None else ""
    tiles = list(_heatmaps(outcome))
    if tiles:
        title = f"{note}Heatmaps of the positive slices, strongest first; not lesion outlines"
    else:
        tiles = [tile for view in outcome.views for tile in _selected_slices(view, store)]
        title = (
            f"{note}No slice was called positive, so there is no heatmap: these are the selected slices"
            if tiles
            else f"{note}No slice was selected, so there is nothing to show; report.txt says why"
        )
    write_sheet(folder.heatmaps, title, tiles)
    folder.write_summary(summary_record(plan, outcome))


def report_file(plan: DemoPlan, outcome: DemoOutcome) -> str:
    """Return every report that arrived, as text; for a study without one, why there is none."""
    parts = [PHANTOM_NOTE] if plan.source is None else []
    for view in outcome.views:
        parts.append(f"{RULE}\nStudy {view.study.study_instance_uid}: {view.standing.value}")
        line = decision_line(view.finding) if view.finding is not None else view.study.hold_reason
        parts.append(printable(line, MAX_LINE))
        parts += [report_text(read_whole_dataset(path)) for path in reports_of(view, outcome)]
    if outcome.failures:
        parts.append("\n".join((RULE, "What went wrong:", *outcome.failures)))
    return "\n\n".join(part for part in parts if part) + "\n"


def reports_of(view: StudyView, outcome: DemoOutcome) -> list[Path]:
    """Return the files of a study's reports that arrived at the PACS."""
    return _arrived(view, outcome, ResultKind.REPORT)


def heatmaps_of(view: StudyView, outcome: DemoOutcome) -> list[Path]:
    """Return the files of a study's heatmaps that arrived at the PACS, strongest first."""
    return _arrived(view, outcome, ResultKind.HEATMAP)


def _arrived(view: StudyView, outcome: DemoOutcome, kind: ResultKind) -> list[Path]:
    return [
        outcome.received[delivery.sop_instance_uid]
        for delivery in view.deliveries
        if delivery.kind == kind and delivery.sop_instance_uid in outcome.received
    ]


def _heatmaps(outcome: DemoOutcome) -> Iterator[Tile]:
    for number, view in enumerate(outcome.views, 1):
        for rank, path in enumerate(heatmaps_of(view, outcome), 1):
            yield heatmap_tile(path, f"study {number}, heatmap {rank}")


def _selected_slices(view: StudyView, store: Store) -> Iterator[Tile]:
    finding = view.finding
    if finding is None or finding.series_instance_uid is None or not finding.selected:
        return
    wanted = {(item.sop_instance_uid, item.frame): item for item in _spread(finding)}
    (series,) = (
        item for item in view.study.series if item.series_instance_uid == finding.series_instance_uid
    )
    for source in slice_sources(store.studies.instances(series.id), store.files.path):
        score = wanted.get((source.header.sop_instance_uid, source.frame))
        if score is not None:
            yield slice_tile(source.v(), _label(score))


def _spread(finding: Finding) -> list[SliceScore]:
    """Return the selected slices, evenly thinned to what a sheet holds."""
    selected = [item for item in finding.slices if item.selected]
    step = -(-len(selected) // MAX_TILES)
    return selected[::step]


def _label(score: SliceScore) -> str:
    probability = "" if score.probability is None else f", score {score.probability:.3f}"
    return f"instance {score.instance_number}, {score.position:.1f} mm{probability}"
