"""The report: the rows that no validator checks, and every validator's verdict."""

import io
import subprocess
from dataclasses import replace
from datetime import timedelta, timezone
from functools import cache

import pydicom
import pytest
from highdicom.sr import Comprehensive3DSR
from pydicom.dataset import Dataset

from node.domain.errors import ReportImpossible
from node.domain.model import ModelStatus
from node.domain.result import Outcome, ResultKind, RunOutcome
from node.domain.study import SeriesState, Verdict
from node.report import codes
from node.report.build import BuiltObject, build_results
from node.report.content import LONGEST_NAME
from node.report.identity import device_uid, result_series_uid, result_uid
from node.report.reading import Node
from tests.unit.report.conftest import (
    CT,
    MADE_AT,
    SCOUT,
    SCOUT_CHOICE,
    SERIES,
    STUDY,
    Case,
    choice,
    model,
    read,
    report_of,
    source,
)

COVID = "840544004"
CASES = {
    "positive": Case(),
    "negative": Case(outcome=Outcome.NEGATIVE, positive=0),
    "negative with positive slices": Case(outcome=Outcome.NEGATIVE, positive=2),
    "undetermined": Case(outcome=Outcome.UNDETERMINED, count=3, positive=0),
    "incomplete": Case(
        run_outcome=RunOutcome.PARTIALLY_SUCCEEDED,
        choices=(choice(verdict=Verdict.CAP, state=SeriesState.INCOMPLETE),),
    ),
    "not analysed": Case(
        outcome=Outcome.NOT_ANALYSED,
        run_outcome=RunOutcome.NOT_ATTEMPTED,
        choices=(SCOUT_CHOICE, choice(chosen=False, eligible=False, reason="Five slices only.")),
    ),
    "failed": Case(outcome=Outcome.NOT_ANALYSED, run_outcome=RunOutcome.FAILED),
    "version 2": Case(version=2),
    "validated": Case(status=ModelStatus.VALIDATED, validated=True),
    "untrained": Case(status=ModelStatus.UNTRAINED),
    "multi-frame": Case(multi_frame=True),
    "unicode": Case(
        source={"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Zoë=山田^太郎"},
        choices=(choice(series_description="Thorax Lungenfenster, größer"),),
    ),
    "bare": Case(
        source=dict.fromkeys(
            (
                "PatientName",
                "PatientID",
                "IssuerOfPatientID",
                "PatientBirthDate",
                "PatientSex",
                "PatientAge",
                "StudyDate",
                "StudyTime",
                "StudyID",
                "AccessionNumber",
                "ReferringPhysicianName",
                "Manufacturer",
                "FrameOfReferenceUID",
            )
        )
    ),
}


@cache
def results(name: str) -> list[BuiltObject]:
    return build_results(CASES[name].request())


@cache
def built(name: str) -> Dataset:
    """The report of a case; tests only read it."""
    return read(results(name)[-1])


def groups_of(data_set: Dataset) -> list[Node]:
    return Node(data_set).first(codes.IMAGING_MEASUREMENTS).all(codes.MEASUREMENT_GROUP)


def nodes(node: Node) -> list[Node]:
    return [node, *(found for child in node.children() for found in nodes(child))]


@pytest.mark.parametrize("name", CASES)
def test_validators_find_no_error(name, errors_of):
    for item in results(name)[:1] + results(name)[1:][-1:]:
        assert errors_of(item) == []


@pytest.mark.parametrize("name", ["positive", "not analysed", "unicode"])
def test_dcmtk_prints_the_tree(name, tmp_path):
    path = tmp_path / "report.dcm"
    path.write_bytes(results(name)[-1].data)
    done = subprocess.run(["dsrdump", "+Pl", path], capture_output=True, text=True, check=True)
    unknown = "W: The VR checker does not support this Specific Character Set: ISO_IR 192"
    assert done.stderr.replace(unknown, "").strip() == ""
    assert 'TEXT:(,,"Document Title")="DEMONSTRATION MODEL' in done.stdout


@pytest.mark.parametrize("name", CASES)
def test_highdicom_reads_it_back(name):
    report = Comprehensive3DSR.from_dataset(built(name))
    assert report.content[0].name == codes.IMAGING_MEASUREMENT_REPORT


@pytest.mark.parametrize("name", CASES)
def test_mandatory_rows_of_every_report(name):
    report = built(name)
    root = Node(report)
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert root.concept == ("126000", "DCM")
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert root.first(codes.LANGUAGE).code == "en"
    assert root.first(codes.OBSERVER_TYPE).code == "121007"
    assert root.first(codes.DEVICE_OBSERVER_UID).text == device_uid(CASES[name].request().finding.model)
    assert root.all(codes.PROCEDURE_REPORTED)
    assert root.first(codes.IMAGE_LIBRARY).all(codes.IMAGE_LIBRARY_GROUP)
    assert report.VerificationFlag == "UNVERIFIED"
    assert report.AuthorObserverSequence[0].ObserverType == "DEV"
    assert "VerifyingObserverSequence" not in report
    scheme = report.CodingSchemeIdentificationSequence[0]
    assert scheme.CodingSchemeDesignator == "99GGLASS"


@pytest.mark.parametrize("name", CASES)
def test_what_ohif_needs_of_every_group(name):
    report = built(name)
    groups = groups_of(report)
    assert groups
    assert all(node.concept[0] for node in nodes(Node(report)))
    for group in groups:
        assert group.first(codes.TRACKING_IDENTIFIER).text
        assert group.first(codes.TRACKING_UNIQUE_IDENTIFIER).text.startswith("2.25.")
        assert ":" not in group.first(codes.TRACKING_IDENTIFIER).text
        numbers = [node for node in group.children() if node.item.ValueType == "NUM"]
        for node in numbers:
            (child,) = node.children()
            assert child.item.RelationshipType == "INFERRED FROM"
    uids = [group.first(codes.TRACKING_UNIQUE_IDENTIFIER).text for group in groups]
    assert len(set(uids)) == len(uids)


@pytest.mark.parametrize("name", CASES)
def test_every_referenced_instance_is_listed_as_evidence_once(name):
    report = built(name)
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == STUDY
    listed = [
        instance.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    named = {
        node.item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for node in nodes(Node(report))
        if "ReferencedSOPSequence" in node.item
    }
    assert len(listed) == len(set(listed))
    assert set(listed) == named


@pytest.mark.parametrize("name", CASES)
def test_codes_fit_their_value_representations(name):
    for node in nodes(Node(built(name))):
        for keyword in ("ConceptNameCodeSequence", "ConceptCodeSequence"):
            for code in node.item.get(keyword, ()):
                assert len(code.get("CodeValue", "")) <= 16
                assert len(code.CodeMeaning) <= 64


@pytest.mark.parametrize(
    ("name", "assessment", "run", "summary", "finding"),
    [
        ("positive", "10828004", "111222", "111242", COVID),
        ("negative", "260385009", "111222", "111241", "GG-NOTFLAGGED"),
        ("negative with positive slices", "260385009", "111222", "111242", "GG-NOTFLAGGED"),
        ("undetermined", "82334004", "111222", "111241", "GG-NOTFLAGGED"),
        ("incomplete", "10828004", "111223", "111244", COVID),
        ("not analysed", "82334004", "111225", "", "GG-NOTFLAGGED"),
        ("failed", "82334004", "111224", "", "GG-NOTFLAGGED"),
    ],
)
def test_the_outcome_is_coded(name, assessment, run, summary, finding):
    study = groups_of(built(name))[0]
    assert study.first(codes.OVERALL_ASSESSMENT).code == assessment
    assert study.first(codes.RUN).code == run
    assert study.first(codes.PROCESSING_SUMMARY).code == summary
    assert study.first(codes.FINDING).code == finding
    assert study.first(codes.REASON).text


def test_numbers_of_the_study():
    study = groups_of(built("positive"))[0]
    values = {
        concept.value: study.first(concept).text
        for concept in (
            codes.RECEIVED,
            codes.SELECTED,
            codes.POSITIVE_COUNT,
            codes.RATIO,
            codes.SLICE_THRESHOLD,
            codes.SHARE_THRESHOLD,
        )
    }
    assert values == {
        "GG-RECEIVED": "40",
        "GG-SELECTED": "20",
        "GG-POSITIVE": "8",
        "GG-RATIO": "0.4",
        "GG-SLICETHR": "0.5",
        "GG-SHARETHR": "0.3",
    }
    assert study.first(codes.VERDICT).code == "GG-BYGEOMETRY"
    assert study.first(codes.POINT_VALIDATED).text == "No"
    assert study.all(codes.SELECTION_RULE)
    assert not study.all(codes.CERTAINTY_OF_FINDING)  # no calibration for patients was fitted
    assert len(study.all(codes.SOURCE_OF_MEASUREMENT)) == 20


def test_one_group_for_each_positive_slice_with_its_score_and_heatmap():
    request = CASES["positive"].request()
    results = build_results(request)
    groups = groups_of(read(results[-1]))[1:]
    positive = [item for item in request.finding.slices if item.positive]
    heatmaps = {item.sop_instance_uid for item in results[:-1]}
    assert len(groups) == len(positive) == 8
    for group, item in zip(groups, positive, strict=True):
        score = group.first(codes.CERTAINTY_OF_FINDING)
        assert float(score.text) == pytest.approx(100 * item.probability, abs=1e-4)
        assert next(score.children()).instance == item.sop_instance_uid
        assert group.first(codes.SOURCE_OF_MEASUREMENT).instance == item.sop_instance_uid
        assert group.first(codes.FINDING).code == COVID
        assert group.first(codes.ALGORITHM_NAME).text == "covid-ct-lite0"
    named = {found.instance for group in groups for found in group.all(codes.HEATMAP)}
    assert named == heatmaps
    assert len(heatmaps) == 3


@pytest.mark.parametrize("name", ["negative", "undetermined", "not analysed"])
def test_nothing_names_the_disease_where_nothing_is_positive(name):
    found = nodes(Node(built(name)))
    assert COVID not in {node.code for node in found}


def test_not_analysed_has_no_scores_but_names_every_series_with_an_instance():
    report = built("not analysed")
    assert not [node for node in nodes(Node(report)) if node.item.ValueType == "NUM"]
    series = Node(report).first(codes.SERIES_FOUND).all(codes.ONE_SERIES)
    assert [item.first(codes.SERIES_INSTANCE_UID).text for item in series] == [SCOUT, SERIES]
    assert [item.first(codes.SERIES_CHOICE).code for item in series] == ["GG-NOTELIGIBLE"] * 2
    assert [item.first(codes.REASON).text for item in series] == ["A localizer.", "Five slices only."]
    assert [item.first(codes.SOURCE).instance for item in series] == [f"{SCOUT}.1", f"{SERIES}.1"]
    assert report.CompletionFlag == "COMPLETE"


def test_a_series_without_images_is_named_by_a_composite():
    document = source("1.2.5.1", "1.2.5", 1, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Rows=None)
    document.Modality = "SR"
    found = choice("1.2.5", chosen=False, eligible=False, modality="SR")
    report = report_of(Case(choices=(choice(), found), extra=(document,)))
    series = Node(report).first(codes.SERIES_FOUND).all(codes.ONE_SERIES)[1]
    assert series.first(codes.SOURCE).item.ValueType == "COMPOSITE"
    library = Node(report).first(codes.IMAGE_LIBRARY)
    assert "1.2.5.1" not in {node.instance for node in nodes(library)}


def test_frames_of_a_multi_frame_instance_are_named():
    report = built("multi-frame")
    study, first = groups_of(report)[:2]
    (reference,) = study.all(codes.SOURCE_OF_MEASUREMENT)
    frames = reference.item.ReferencedSOPSequence[0].ReferencedFrameNumber
    assert list(frames) == list(range(11, 31))
    assert first.first(codes.SOURCE_OF_MEASUREMENT).item.ReferencedSOPSequence[0].ReferencedFrameNumber == 11


@pytest.mark.parametrize("name", ["positive", "untrained", "validated"])
def test_the_title_says_what_the_model_is(name):
    report = built(name)
    title = Node(report).first(codes.DOCUMENT_TITLE).text
    status = CASES[name].status
    expected = "" if status is ModelStatus.VALIDATED else f"{status.value.upper()} MODEL: "
    assert title == f"{expected}AI screening of the chest for COVID-19. Research use, not a diagnosis."
    assert report.SeriesDescription.startswith(expected)
    assert "not a diagnosis" in report.SeriesDescription
    assert len(report.SeriesDescription) <= LONGEST_NAME
    warnings = " ".join(item.text for item in groups_of(report)[0].all(codes.WARNING))
    assert ("not validated" in warnings) is (not CASES[name].validated)


@pytest.mark.parametrize(
    ("choices", "flag"),
    [
        ((choice(),), "COMPLETE"),
        ((choice(verdict=Verdict.CAP, state=SeriesState.INCOMPLETE),), "PARTIAL"),
        ((choice(chosen=False, verdict=Verdict.CAP, state=SeriesState.INCOMPLETE),), "PARTIAL"),
        ((choice(chosen=False, eligible=False, verdict=Verdict.CAP),), "COMPLETE"),
        ((choice(), choice(SCOUT, chosen=False, verdict=Verdict.CAP)), "COMPLETE"),
    ],
)
def test_partial_where_the_screened_series_is_incomplete(choices, flag):
    assert report_of(Case(choices=choices)).CompletionFlag == flag


def test_a_later_version_names_its_predecessor_in_the_same_series():
    first, second = built("positive"), built("version 2")
    assert "PredecessorDocumentsSequence" not in first
    (study,) = second.PredecessorDocumentsSequence
    series = study.ReferencedSeriesSequence[0]
    assert study.StudyInstanceUID == STUDY
    assert series.SeriesInstanceUID == "2.25.12"
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.11"
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)


def test_identity_and_equipment():
    request = CASES["positive"].request()
    report = read(build_results(request)[-1])
    series = result_series_uid(STUDY, "covid-ct-lite0", ResultKind.REPORT)
    assert report.SeriesInstanceUID == series
    assert report.SOPInstanceUID == result_uid(series, ResultKind.REPORT, 0, request.recipe)
    scanner, algorithm = report.ContributingEquipmentSequence
    assert scanner.PurposeOfReferenceCodeSequence[0].CodeValue == "109101"
    assert scanner.Manufacturer == "Scanner Works"
    assert algorithm.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert algorithm.DeviceUID == device_uid(model())
    assert algorithm.ContributionDateTime == "20260304233005.125000"
    study = groups_of(report)[0]
    assert study.first(codes.ALGORITHM_NAME).text == algorithm.ManufacturerModelName
    assert study.first(codes.ALGORITHM_VERSION).text == algorithm.SoftwareVersions
    root = Node(report)
    assert root.first(codes.DEVICE_OBSERVER_MODEL_NAME).text == algorithm.ManufacturerModelName
    assert root.first(codes.DEVICE_OBSERVER_SERIAL_NUMBER).text == algorithm.DeviceSerialNumber


def test_the_procedure_is_the_sources_own():
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CTCH", "99LOCAL", "CT chest low dose"
    report = report_of(Case(source={"ProcedureCodeSequence": [code]}))
    assert Node(report).first(codes.PROCEDURE_REPORTED).text == "CT chest low dose"
    assert report.PerformedProcedureCodeSequence[0].CodeValue == "CTCH"
    assert Node(report_of(Case())).first(codes.PROCEDURE_REPORTED).code == "25045-6"


def test_orders_are_carried_as_referenced_requests(errors_of):
    order = Dataset()
    order.RequestedProcedureID, order.ScheduledProcedureStepID = "RP-1", "SPS-1"
    case = Case(source={"RequestAttributesSequence": [order]})
    *heatmaps, report = build_results(case.request())
    (request,) = read(report).ReferencedRequestSequence
    assert (request.RequestedProcedureID, request.AccessionNumber) == ("RP-1", "A-4711")
    assert request.StudyInstanceUID == STUDY
    assert read(heatmaps[0]).RequestAttributesSequence[0].RequestedProcedureID == "RP-1"
    assert errors_of(report) == []
    assert errors_of(heatmaps[0]) == []


def test_times_are_in_the_zone_that_is_written():
    report = report_of(Case(source={"TimezoneOffsetFromUTC": "+0530"}))
    assert (report.ContentDate, report.ContentTime) == ("20260305", "050005.125000")
    assert report.TimezoneOffsetFromUTC == "+0530"
    local = replace(Case(), made_at=MADE_AT.astimezone(timezone(timedelta(hours=-3))))
    report = report_of(local)
    assert report.ContentTime == "203005.125000"
    assert "TimezoneOffsetFromUTC" not in report


def test_the_same_request_gives_the_same_bytes():
    once, again = (build_results(CASES["unicode"].request()) for _ in range(2))
    assert [item.data for item in once] == [item.data for item in again]


def test_building_leaves_the_evidence_as_it_was():
    request = Case().request()
    before = [item.to_json() for item in request.evidence]
    build_results(request)
    assert [item.to_json() for item in request.evidence] == before


def test_size_of_a_large_report():
    *heatmaps, report = build_results(Case(count=400, positive=40, heatmaps=10).request())
    assert len(heatmaps) == 10
    assert len(report.data) <= 350_000


def test_size_when_every_slice_is_selected():
    case = Case(count=400, positive=40, heatmaps=10)
    request = case.request()
    every = tuple(
        replace(item, selected=True, probability=item.probability or 0.1) for item in request.finding.slices
    )
    request = replace(request, finding=replace(request.finding, slices=every))
    assert len(build_results(request)[-1].data) <= 350_000


def test_a_report_needs_a_source_instance():
    request = replace(Case().request(), evidence=[])
    with pytest.raises(ReportImpossible, match="no source instance"):
        build_results(request)
    nameless = source("1.2.3", SERIES, 1, StudyInstanceUID=None)
    with pytest.raises(ReportImpossible, match="StudyInstanceUID"):
        build_results(replace(Case(heatmaps=0).request(), evidence=[nameless]))


def test_long_and_hostile_text_cannot_break_the_report(errors_of):
    hostile = "\x1b[2J\\x\r\n<script>" + "y" * 5000
    case = Case(
        warnings=(hostile, ""),
        choices=(choice(series_description=hostile, reason=hostile, verdict_reason=""),),
    )
    item = build_results(case.request())[-1]
    assert errors_of(item) == []
    texts = [node.text for node in nodes(Node(read(item)))]
    assert max(map(len, texts)) <= 1024
    assert not any("\x1b" in value for value in texts)


def test_the_file_is_a_dicom_file():
    data = build_results(Case().request())[-1].data
    found = pydicom.dcmread(io.BytesIO(data))
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
    assert "SpecificCharacterSet" not in found
    assert CT not in {found.SOPClassUID}
