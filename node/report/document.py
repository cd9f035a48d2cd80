"""The report: a Comprehensive 3D SR document (PS3.3 A.35.13)."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from node.domain.result import ResultKind, SeriesChoice
from node.domain.study import SeriesState
from node.report import content, inherited
from node.report.content import Reference
from node.report.envelope import LONGEST_SHORT_STRING, envelope
from node.report.evidence import hierarchical, referenced
from node.report.groups import Grounds
from node.report.identity import device_uid
from node.report.request import BuiltObject, ReportRequest
from node.report.tree import content_tree


def build_report(request: ReportRequest, grounds: Grounds, images: list[BuiltObject]) -> BuiltObject:
    """Build the report, which refers to the images already built."""
    donor = grounds.evidence.donor
    frame = envelope(request, donor, kind=ResultKind.REPORT, index=0)
    document = frame.data_set
    # SR Document Series (PS3.3 C.17.1)
    document.Modality = "SR"
    document.ReferencedPerformedProcedureStepSequence = []
    # SR Document General (PS3.3 C.17.2)
    _add_flags(document, grounds)
    document.AuthorObserverSequence = [_author(request)]
    document.PerformedProcedureCodeSequence = inherited.items(donor, "ProcedureCodeSequence")
    requests = inherited.requests(donor)
    if requests:
        document.ReferencedRequestSequence = requests
    if request.predecessor is not None:
        document.PredecessorDocumentsSequence = [_predecessor(request, grounds)]
    # SR Document Content (PS3.3 C.17.3)
    root = content_tree(grounds, request.producer)
    document.update(root)
    instances = list(_with_series(root, grounds, images))
    if instances:
        document.CurrentRequestedProcedureEvidenceSequence = [
            hierarchical(grounds.evidence.study_instance_uid, instances)
        ]
    document.CodingSchemeIdentificationSequence = [content.private_scheme(grounds.words)]
    return frame.seal()


def _add_flags(document: Dataset, grounds: Grounds) -> None:
    reason = _incomplete(grounds)
    document.CompletionFlag = "PARTIAL" if reason else "COMPLETE"
    if reason:
        document.CompletionFlagDescription = reason
    document.VerificationFlag = "UNVERIFIED"
    document.PreliminaryFlag = "PRELIMINARY"  # an unverified machine's word is never the definitive one


def _incomplete(grounds: Grounds) -> str:
    """Return why the report is partial: its series is incomplete, or every series fit for the model is."""
    if grounds.screened is not None:
        return grounds.words("report.series-incomplete") if _is_incomplete(grounds.screened) else ""
    fit = [choice for choice in grounds.finding.choices if choice.eligible]
    return grounds.words("report.no-series-complete") if fit and all(map(_is_incomplete, fit)) else ""


def _is_incomplete(choice: SeriesChoice) -> bool:
    return choice.verdict is None or choice.state is not SeriesState.COMPLETE


def _author(request: ReportRequest) -> Dataset:
    """Identified Person or Device macro (PS3.3 table C.17-3b): the author is the device, never a person."""
    item = Dataset()
    item.ObserverType = "DEV"
    item.StationName = content.name(request.producer.station_ae_title)[:LONGEST_SHORT_STRING]
    item.DeviceUID = device_uid(request.finding.model)
    item.Manufacturer = content.name(request.producer.manufacturer)
    item.ManufacturerModelName = content.name(request.finding.model.name)
    item.InstitutionName = None
    item.InstitutionCodeSequence = []
    return item


def _predecessor(request: ReportRequest, grounds: Grounds) -> Dataset:
    earlier = request.predecessor
    assert earlier is not None  # noqa: S101 -- narrows the type
    reference = Reference(
        sop_class_uid=earlier.report_sop_class_uid, sop_instance_uid=earlier.report_sop_instance_uid
    )
    return hierarchical(
        grounds.evidence.study_instance_uid, [(earlier.report_series_instance_uid, reference)]
    )


def _with_series(
    root: Dataset, grounds: Grounds, images: list[BuiltObject]
) -> Iterator[tuple[str, Reference]]:
    made = {item.sop_instance_uid: item.series_instance_uid for item in images}
    for reference in referenced(root):
        uid = reference.sop_instance_uid
        yield made.get(uid) or grounds.evidence.series_of(uid), reference
