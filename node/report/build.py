"""From one finding to its result objects. The same request gives the same bytes."""

from __future__ import annotations

from node.report.content import Reference
from node.report.document import build_report
from node.report.evidence import Evidence
from node.report.groups import Grounds
from node.report.heatmap import build_heatmap
from node.report.request import BuiltObject, HeatmapPicture, Producer, ReportRequest

__all__ = ["BuiltObject", "HeatmapPicture", "Producer", "ReportRequest", "build_results"]


def build_results(request: ReportRequest) -> list[BuiltObject]:
    """Build the result set of one screening.

    Parameters
    ----------
    request : ReportRequest

    Returns
    -------
    list of BuiltObject
        The heatmaps by rank, then the report that refers to them.

    Raises
    ------
    ReportImpossible
        There is no source instance, or a picture cannot be written.
    """
    evidence = Evidence(request.evidence, request.finding)
    pictures = sorted(request.heatmaps, key=lambda picture: picture.rank)
    heatmaps = [build_heatmap(request, picture, evidence) for picture in pictures]
    references = {
        (picture.slice.sop_instance_uid, picture.slice.frame): Reference(
            sop_class_uid=made.sop_class_uid, sop_instance_uid=made.sop_instance_uid
        )
        for picture, made in zip(pictures, heatmaps, strict=True)
    }
    grounds = Grounds(finding=request.finding, evidence=evidence, heatmaps=references)
    return [*heatmaps, build_report(request, grounds, heatmaps)]
