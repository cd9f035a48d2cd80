"""The key objects of a screening: its strongest slices with their heatmaps, and the summary."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from node.decide.shown import on_sheet
from node.domain.result import ResultKind
from node.report import codes, text
from node.report.envelope import Making, envelope
from node.report.evidence import Evidence
from node.report.request import BuiltObject, ReportRequest
from node.report.selection_document import Selected, complete


def build_key_objects(
    request: ReportRequest, evidence: Evidence, heatmaps: Sequence[BuiltObject], summary: BuiltObject | None
) -> BuiltObject:
    """Build the Key Object Selection of a result set.

    Parameters
    ----------
    request : ReportRequest
        Of a finding with positive images.
    evidence : Evidence
    heatmaps : sequence of BuiltObject
        By rank. Where none are asked for, the images that the contact sheet shows are selected.
    summary : BuiltObject or None
    """
    finding = request.finding
    selected = [_made(summary)] if summary is not None else []
    shown = [picture.slice for picture in sorted(request.heatmaps, key=lambda picture: picture.rank)]
    shown = shown or [finding.slices[index] for index in on_sheet(finding)]
    for item, heatmap in zip_longest(shown, heatmaps):
        source = evidence.frame(item)
        series = evidence.series_of(source.sop_instance_uid)
        selected.append(Selected(series_instance_uid=series, reference=source, is_image=True))
        if heatmap is not None:
            selected.append(_made(heatmap))
    frame = envelope(request, evidence.donor, kind=ResultKind.KEY_OBJECTS, index=0)
    complete(
        frame,
        Making.of(request),
        evidence.donor,
        title=codes.OF_INTEREST,
        description=text.key_objects(
            request.producer.wording, finding, len(shown), with_heatmaps=bool(heatmaps)
        ),
        selected=selected,
    )
    return frame.seal()


def _made(item: BuiltObject) -> Selected:
    return Selected(series_instance_uid=item.series_instance_uid, reference=item.reference(), is_image=True)
