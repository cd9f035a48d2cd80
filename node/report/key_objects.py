"""The key objects of a screening: its strongest slices with their heatmaps, and the summary."""

from __future__ import annotations

from collections.abc import Sequence

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
        With at least one heatmap.
    evidence : Evidence
    heatmaps : sequence of BuiltObject
        By rank.
    summary : BuiltObject or None
    """
    selected = [_made(summary)] if summary is not None else []
    pictures = sorted(request.heatmaps, key=lambda picture: picture.rank)
    for picture, heatmap in zip(pictures, heatmaps, strict=True):
        source = evidence.frame(picture.slice)
        series = evidence.series_of(source.sop_instance_uid)
        selected.append(Selected(series_instance_uid=series, reference=source, is_image=True))
        selected.append(_made(heatmap))
    frame = envelope(request, evidence.donor, kind=ResultKind.KEY_OBJECTS, index=0)
    complete(
        frame,
        Making.of(request),
        evidence.donor,
        title=codes.OF_INTEREST,
        description=text.key_objects(request.finding, len(pictures)),
        selected=selected,
    )
    return frame.seal()


def _made(item: BuiltObject) -> Selected:
    return Selected(series_instance_uid=item.series_instance_uid, reference=item.reference(), is_image=True)
