"""From one finding to its result objects. The same request gives the same bytes."""

from __future__ import annotations

from node.report.document import build_report
from node.report.evidence import Evidence
from node.report.groups import Grounds
from node.report.key_objects import build_key_objects
from node.report.parametric_map import build_maps
from node.report.request import BuiltObject, HeatmapPicture, Producer, ReportRequest
from node.report.secondary_capture import build_heatmap, build_summary

__all__ = ["BuiltObject", "HeatmapPicture", "Producer", "ReportRequest", "build_results"]


def build_results(request: ReportRequest) -> list[BuiltObject]:
    """Build the result set of one screening.

    Parameters
    ----------
    request : ReportRequest

    Returns
    -------
    list of BuiltObject
        In the order of `node.domain.result.ResultKind`: what refers to others comes later.

    Raises
    ------
    ReportImpossible
        There is no source instance, or a picture or a map cannot be written.
    """
    evidence = Evidence(request.evidence, request.finding)
    pictures = sorted(request.heatmaps, key=lambda picture: picture.rank)
    heatmaps = [build_heatmap(request, picture, evidence) for picture in pictures]
    maps = build_maps(request, evidence)
    summary = None if request.summary is None else build_summary(request, evidence)
    images = [*heatmaps, *(item.made for item in maps), *([] if summary is None else [summary])]
    grounds = Grounds(
        finding=request.finding,
        evidence=evidence,
        heatmaps={
            (picture.slice.sop_instance_uid, picture.slice.frame): made.reference()
            for picture, made in zip(pictures, heatmaps, strict=True)
        },
        maps={key: item.made.reference(number) for item in maps for key, number in item.frames.items()},
        summary=None if summary is None else summary.reference(),
        words=request.producer.wording,
    )
    made = [*images, build_report(request, grounds, images)]
    if request.key_objects and request.finding.positive:
        made.append(build_key_objects(request, evidence, heatmaps, summary))
    return made
