"""The report: the rows that no validator checks, and every validator's verdict."""

import io
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta, timezone

import numpy as np
import pydicom
import pytest
from highdicom.sr import Comprehensive3DSR
from pydicom.dataset import Dataset

from node.domain.errors import ReportImpossible
from node.domain.model import ModelStatus
from node.domain.result import ResultKind
from node.domain.study import SeriesState, Verdict
from node.report import codes
from node.report.build import build_results
from node.report.content import LONGEST_NAME
from node.report.identity import device_uid, result_series_uid, result_uid
from node.report.reading import Node
from node.report.request import MapSlice
from tests.unit.report.conftest import (
    CASES,
    CT,
    MADE_AT,
    SCOUT,
    SERIES,
    STUDY,
    Case,
    built,
    choice,
    groups_of,
    model,
    nodes,
    read,
    report_of,
    results,
    source,
)

COVID = "840544004"


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


def test_a_series_without_images_is_named_by_a_composite():
    document = source("1.2.5.1", "1.2.5", 1, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Rows=None)
    document.Modality = "SR"
    found = choice("1.2.5", chosen=False, eligible=False, modality="SR")
    report = report_of(Case(choices=(choice(), found), extra=(document,)))
    series = Node(report).first(codes.SERIES_FOUND).all(codes.ONE_SERIES)[1]
    assert series.first(codes.SOURCE).item.ValueType == "COMPOSITE"
    library = Node(report).first(codes.IMAGE_LIBRARY)
    assert "1.2.5.1" not in {node.instance for node in nodes(library)}


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
    notice = Node(report).first(codes.NOTICE).text
    assert (f"The model is {'a ' * (name == 'positive')}" in notice) is bool(expected)
    point = groups_of(report)[0].first(codes.OPERATING_POINT).text
    assert ("NOT VALIDATED" in point) is not CASES[name].validated


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
    assert len(groups_of(report)) > 1
    for group in groups_of(report):
        assert group.first(codes.ALGORITHM_NAME).text == algorithm.ManufacturerModelName
        assert group.first(codes.ALGORITHM_VERSION).text == algorithm.SoftwareVersions
    root = Node(report)
    assert root.first(codes.DEVICE_OBSERVER_UID).text == algorithm.DeviceUID
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
    request = Case(count=400, positive=40, heatmaps=40).request()
    maps = [
        MapSlice(slice=picture.slice, values=np.zeros((2, 2), np.float32), rank=picture.rank)
        for picture in request.heatmaps
    ]
    summary = np.zeros((4, 4, 3), np.uint8)
    made = build_results(replace(request, maps=maps, summary=summary, key_objects=True))
    (report,) = [item for item in made if item.kind is ResultKind.REPORT]
    assert sum(item.kind is ResultKind.HEATMAP for item in made) == 40
    assert len(report.data) <= 350_000


@pytest.mark.parametrize("name", CASES)
def test_every_private_code_is_declared(name):
    report = built(name)
    (declared,) = report.CodingSchemeIdentificationSequence
    used = {
        item.CodingSchemeDesignator
        for item in every_item(report)
        if str(item.get("CodingSchemeDesignator", "")).startswith("99")
    }
    assert used == {declared.CodingSchemeDesignator} == {codes.PRIVATE_SCHEME}
    assert declared.CodingSchemeName
    assert declared.CodingSchemeResponsibleOrganization


@pytest.mark.parametrize("name", CASES)
def test_every_certainty_is_inferred_from_the_image_that_it_is_about(name):
    for group in groups_of(built(name)):
        for score in group.all(codes.CERTAINTY_OF_FINDING):
            (image,) = score.children()
            assert (image.item.RelationshipType, image.item.ValueType) == ("INFERRED FROM", "IMAGE")
            assert image.instance == group.first(codes.SOURCE_OF_MEASUREMENT).instance
            assert group.first(codes.FINDING).code == COVID


def test_the_summary_is_named_in_the_group_of_the_study():
    made = build_results(replace(Case().request(), summary=np.zeros((4, 4, 3), np.uint8)))
    (picture,) = [item for item in made if item.kind is ResultKind.SUMMARY]
    first, *others = groups_of(read(made[-1]))
    assert first.first(codes.SUMMARY_PICTURE).instance == picture.sop_instance_uid
    assert not any(group.all(codes.SUMMARY_PICTURE) for group in others)


def every_item(data_set: Dataset) -> Iterator[Dataset]:
    yield data_set
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                yield from every_item(item)


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
