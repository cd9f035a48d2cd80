"""Key Object Selections: the strongest slices of a version, and the rejection note that withdraws one."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from node.decide.shown import on_sheet
from node.domain.errors import ReportImpossible
from node.domain.result import Outcome, ResultKind, Withdrawal
from node.report import codes
from node.report.build import BuiltObject, ReportRequest, build_results
from node.report.identity import device_uid
from node.report.reading import Node
from node.report.rejection import RejectionRequest, build_rejection
from tests.unit.report.conftest import ENHANCED_CT, MADE_AT, SERIES, Case, read
from tests.unit.report.test_parametric_map import slices
from tests.unit.report.test_radiographs import request as radiographs

TITLES = {
    Withdrawal.PATIENT_SAFETY: ("113037", "Rejected for Patient Safety Reasons"),
    Withdrawal.QUALITY: ("113001", "Rejected for Quality Reasons"),
}

NOT_CHECKED = {
    "W: Check for template constraints not yet supported",
    "W: The VR checker does not support this Specific Character Set: ISO_IR 192",
}
"""What dcmtk says that it does not look at."""


def full(request: ReportRequest) -> ReportRequest:
    """A request for every kind."""
    return replace(request, summary=np.full((8, 9, 3), 7, np.uint8), key_objects=True)


def key_objects(request: ReportRequest) -> BuiltObject:
    made = build_results(request)
    assert made[-1].kind is ResultKind.KEY_OBJECTS
    return made[-1]


def references(document: Dataset) -> list[str]:
    return [
        node.instance for node in Node(document).children() if node.item.ValueType in {"IMAGE", "COMPOSITE"}
    ]


def evidence(document: Dataset) -> dict[str, set[str]]:
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    return {
        series.SeriesInstanceUID: {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence}
        for series in study.ReferencedSeriesSequence
    }


def withdrawal(made: list[BuiltObject], request: ReportRequest, **changes: object) -> RejectionRequest:
    """The withdrawal of a version that was made."""
    headers = [pydicom.dcmread(io.BytesIO(item.data), stop_before_pixels=True) for item in made]
    base = RejectionRequest(
        withdrawn=headers,
        title=Withdrawal.PATIENT_SAFETY,
        reason="Series of another patient.",
        version=request.version,
        model=request.finding.model,
        made_at=MADE_AT + timedelta(hours=1),
        producer=request.producer,
    )
    return replace(base, **changes)


def test_kinds_come_in_the_order_of_sending() -> None:
    made = build_results(full(slices()))
    order = [*ResultKind]
    ranks = [(order.index(item.kind), item.index) for item in made]
    assert ranks == sorted(ranks)
    assert {item.kind for item in made} == {*ResultKind} - {ResultKind.REJECTION}


def test_the_summary_and_each_slice_with_its_heatmap_are_selected() -> None:
    request = full(slices())
    made = build_results(request)
    document = read(made[-1])
    (summary,) = [item.sop_instance_uid for item in made if item.kind is ResultKind.SUMMARY]
    expected = [summary]
    for picture, heatmap in zip(request.heatmaps, made, strict=False):
        expected += [picture.slice.sop_instance_uid, heatmap.sop_instance_uid]
    assert references(document) == expected
    listed = evidence(document)
    assert set().union(*listed.values()) == set(expected)
    assert listed[SERIES] == {picture.slice.sop_instance_uid for picture in request.heatmaps}
    title = document.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning) == (
        "113000",
        "DCM",
        "Of Interest",
    )
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    assert (document.Modality, document.SeriesNumber, document.InstanceNumber) == ("KO", 8804, 1)
    said = Node(document).first(codes.KEY_OBJECT_DESCRIPTION).text
    assert said.startswith("DEMONSTRATION MODEL: ")
    assert "not for diagnosis" in said


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(Outcome.POSITIVE, "POSITIVE: flagged"), (Outcome.NEGATIVE, "NEGATIVE: not flagged")],
)
def test_the_description_says_how_many_are_left_out_and_what_the_study_is(
    outcome: Outcome, said: str
) -> None:
    """Key slices of a study not flagged, or the strongest of many, do not look like all there is."""
    request = full(Case(outcome=outcome).request())
    assert len(request.heatmaps) < request.finding.positive
    description = Node(read(key_objects(request))).first(codes.KEY_OBJECT_DESCRIPTION).text
    assert f": {len(request.heatmaps)} of {request.finding.positive}. " in description
    assert said in description


def test_frames_of_a_multi_frame_source_are_selected_one_by_one() -> None:
    document = read(key_objects(full(Case(multi_frame=True).request())))
    images = [item for item in document.ContentSequence if item.ValueType == "IMAGE"]
    sources = [item.ReferencedSOPSequence[0] for item in images]
    frames = [item.ReferencedFrameNumber for item in sources if item.ReferencedSOPClassUID == ENHANCED_CT]
    assert len(frames) == len(set(frames)) == 3
    assert evidence(document)[SERIES] == {f"{SERIES}.1"}


@pytest.mark.parametrize(
    "case",
    [
        Case(outcome=Outcome.NEGATIVE, positive=0),
        Case(outcome=Outcome.NOT_ANALYSED),
    ],
)
def test_there_is_no_selection_of_nothing(case: Case) -> None:
    assert ResultKind.KEY_OBJECTS not in {item.kind for item in build_results(full(case.request()))}


def test_positive_slices_are_selected_where_no_heatmap_is_asked_for() -> None:
    request = full(Case(heatmaps=0).request())
    document = read(key_objects(request))
    strongest = [request.finding.slices[index].sop_instance_uid for index in on_sheet(request.finding)]
    assert references(document)[1:] == strongest
    description = Node(document).first(codes.KEY_OBJECT_DESCRIPTION).text
    assert "strongest first: 6 of 8. " in description
    assert "heatmap" not in description


REQUESTS = {
    "no heatmaps": full(Case(heatmaps=0).request()),
    "slices": full(slices()),
    "multi-frame": full(Case(multi_frame=True).request()),
    "radiographs": full(radiographs(0.9, 0.7, None)),
    "version 2": full(Case(version=2).request()),
    "unicode": full(
        Case(source={"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Zoë=山田^太郎"}).request()
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_validators_find_no_error(
    name: str, errors_of: Callable[[BuiltObject], list[str]], tmp_path: Path
) -> None:
    request = REQUESTS[name]
    made = build_results(request)
    for item in (made[-1], build_rejection(withdrawal(made, request))):
        assert errors_of(item) == []
        path = tmp_path / "document.dcm"
        path.write_bytes(item.data)
        done = subprocess.run(["dsrdump", path], capture_output=True, text=True, check=True)
        assert {*done.stderr.splitlines()} <= NOT_CHECKED
        assert "Key Object Selection Document" in done.stdout


@pytest.mark.parametrize("title", Withdrawal)
def test_a_rejection_names_every_object_of_the_version(title: Withdrawal) -> None:
    request = full(slices())
    made = build_results(request)
    item = build_rejection(withdrawal(made, request, title=title))
    note = read(item)
    code = note.ConceptNameCodeSequence[0]
    assert (code.CodeValue, code.CodeMeaning) == TITLES[title]
    assert references(note) == [one.sop_instance_uid for one in made]
    kinds = [one.ValueType for one in note.ContentSequence if one.ValueType in {"IMAGE", "COMPOSITE"}]
    assert kinds == ["IMAGE"] * 5 + ["COMPOSITE"] * 2
    for one in made:
        assert one.sop_instance_uid in evidence(note)[one.series_instance_uid]
    said = Node(note).first(codes.KEY_OBJECT_DESCRIPTION).text
    assert "Version 1 of the AI results of covid-ct-lite0 is withdrawn" in said
    assert said.endswith("Reason: Series of another patient.")
    assert (item.kind, item.index, note.SeriesNumber, note.InstanceNumber) == (
        ResultKind.REJECTION,
        1,
        8805,
        1,
    )
    assert note.SeriesDescription == "DEMONSTRATION MODEL: Withdrawn AI results"


def test_a_rejection_stays_with_the_patient_of_what_it_withdraws() -> None:
    request = full(
        Case(
            source={
                "SpecificCharacterSet": "ISO_IR 192",
                "PatientName": "Müller^Zoë",
                "TimezoneOffsetFromUTC": "+0200",
            }
        ).request()
    )
    made = build_results(request)
    note, report = read(build_rejection(withdrawal(made, request))), read(made[-2])
    for keyword in (
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "StudyInstanceUID",
        "StudyDate",
        "AccessionNumber",
        "SpecificCharacterSet",
        "TimezoneOffsetFromUTC",
    ):
        assert note[keyword].value == report[keyword].value
    local = (MADE_AT + timedelta(hours=1)).astimezone(timezone(timedelta(hours=2)))
    assert note.ContentDate + note.ContentTime[:6] == local.strftime("%Y%m%d%H%M%S")
    (equipment,) = note.ContributingEquipmentSequence
    assert equipment.DeviceUID == device_uid(request.finding.model)


def test_its_uid_follows_from_what_is_withdrawn_and_why() -> None:
    request = full(slices())
    made = build_results(request)
    asked = withdrawal(made, request)
    assert build_rejection(asked) == build_rejection(asked)
    assert build_rejection(replace(asked, withdrawn=asked.withdrawn[::-1])).sop_instance_uid == (
        build_rejection(asked).sop_instance_uid
    )
    others = [
        replace(asked, title=Withdrawal.QUALITY),
        replace(asked, reason="Another reason."),
        replace(asked, version=2),
        replace(asked, withdrawn=asked.withdrawn[1:]),
    ]
    uids = {build_rejection(item).sop_instance_uid for item in (asked, *others)}
    assert len(uids) == 5
    series = {build_rejection(item).series_instance_uid for item in (asked, *others)}
    assert len(series) == 1


def test_a_long_and_hostile_reason_cannot_break_the_note(
    errors_of: Callable[[BuiltObject], list[str]],
) -> None:
    request = full(slices())
    made = build_results(request)
    note = build_rejection(withdrawal(made, request, reason="\0\x1b\\^=" + "é" * 2000))
    assert errors_of(note) == []
    assert len(Node(read(note)).first(codes.KEY_OBJECT_DESCRIPTION).text) <= 1024


def test_objects_of_two_studies_are_not_withdrawn_together() -> None:
    request = full(slices())
    asked = withdrawal(build_results(request), request)
    asked.withdrawn[0].StudyInstanceUID = "1.2.3"
    with pytest.raises(ReportImpossible, match="of 2"):
        build_rejection(asked)
    with pytest.raises(ReportImpossible, match="of 0"):
        build_rejection(replace(asked, withdrawn=[]))
