"""What the demo leaves in its folder: report as text, the screenings as a picture, everything in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from pydicom import dcmread

from node.cli.demo.folder import DemoFolder
from node.cli.demo.narrate import decision_line
from node.cli.demo.plan import DemoPlan
from node.cli.demo.summary import PHANTOM_NOTE, DemoOutcome, summary_record
from node.cli.demo.watch import StudyView
from node.cli.output import MAX_LINE, printable
from node.dicom.read import read_whole_dataset
from node.domain.result import ResultKind
from node.report.render import report_text

RULE = "=" * 78
MOST_PICTURES = 20
"""Summary pictures in one PNG; of more studies the folder `received` holds the rest."""
GAP = 16  # pixels between two of them


def leave_evidence(plan: DemoPlan, folder: DemoFolder, outcome: DemoOutcome) -> None:
    """Write report.txt, summary.png where a screening has a picture, and summary.json."""
    folder.report.write_text(report_file(plan, outcome), encoding="utf-8")
    arrived = [path for view in outcome.views for path in _arrived(view, outcome, ResultKind.SUMMARY)]
    if arrived:
        write_picture(folder.picture, arrived)
    folder.write_summary(summary_record(plan, outcome))


def write_picture(path: Path, summaries: Sequence[Path]) -> None:
    """Write the summary pictures (true-colour Secondary Capture) below one another as PNG.

    Parameters
    ----------
    path : Path
    summaries : sequence of Path
        At least one; the first ``MOST_PICTURES`` are shown.
    """
    pictures = [Image.fromarray(dcmread(summary).pixel_array) for summary in summaries[:MOST_PICTURES]]
    sheet = Image.new(
        "RGB", (max(item.width for item in pictures), sum(item.height + GAP for item in pictures) - GAP)
    )
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + GAP
    sheet.save(path)


def report_file(plan: DemoPlan, outcome: DemoOutcome) -> str:
    """Return every report that arrived, as text; for a study without one, why there is none."""
    parts = [PHANTOM_NOTE] if plan.source is None else []
    for view in outcome.views:
        parts.append(f"{RULE}\nStudy {view.study.study_instance_uid}: {view.standing.value}")
        line = decision_line(view.finding) if view.finding is not None else view.study.hold_reason
        parts.append(printable(line, MAX_LINE))
        reports = _arrived(view, outcome, ResultKind.REPORT)
        parts += [report_text(read_whole_dataset(path)) for path in reports]
    if outcome.failures:
        parts.append("\n".join((RULE, "What went wrong:", *outcome.failures)))
    return "\n\n".join(part for part in parts if part) + "\n"


def results_of(view: StudyView, outcome: DemoOutcome) -> list[tuple[str, Path]]:
    """Return kind and file of a study's results that arrived at the PACS, in the order of sending."""
    return [
        (delivery.kind, outcome.received[delivery.sop_instance_uid])
        for delivery in view.deliveries
        if delivery.sop_instance_uid in outcome.received
    ]


def _arrived(view: StudyView, outcome: DemoOutcome, wanted: ResultKind) -> list[Path]:
    return [path for kind, path in results_of(view, outcome) if kind == wanted]
