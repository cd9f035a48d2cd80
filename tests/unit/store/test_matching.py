"""What queries find beside the images: this node's results in force, and nothing that lies aside."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from node.decide.matching import Criterion, criterion_of
from node.decide.queries import Key, Query
from node.domain.query import ATTRIBUTES, Level
from node.domain.result import RESULT_MODALITIES, ResultKind, Withdrawal
from node.store.searching import Search
from tests.unit.store.test_query_plans import plans

STUDY = "1.2.826.0.1.10"
VRS = {attribute.keyword: attribute.vr for attribute in ATTRIBUTES}


def stored_object(uid: str, series: str, *, modality: str, sop_class: str, device: str = "") -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, series
    dataset.PatientID, dataset.PatientName = "P-1", "Doe^Jane"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = modality, 8800, 1
    if device:
        dataset.DeviceUID = device
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = sop_class, uid
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def readable_results(ward: Any, recipe: str) -> list[Any]:
    """The ward's results, but with objects that can be read."""
    made = []
    for item in ward.results(recipe):
        sop_class = ComprehensiveSRStorage if item.kind is ResultKind.REPORT else SecondaryCaptureImageStorage
        data = stored_object(
            item.sop_instance_uid,
            item.series_instance_uid,
            modality=RESULT_MODALITIES[item.kind],
            sop_class=sop_class,
        )
        stored = ward.store.files.store(data)
        made.append(
            replace(
                item,
                sop_class_uid=sop_class,
                object_key=stored.key,
                sha256=stored.sha256,
                size=stored.size,
            )
        )
    return made


@pytest.fixture
def screened(ward, monkeypatch):
    """A study with an image, and a report with two heatmaps."""
    ward.add(1)
    results = readable_results(ward, "recipe-1")
    monkeypatch.setattr(type(ward), "results", lambda *_, **__: results)
    ward.screened()
    return ward


def find(ward: Any, level: Level, *wanted: str, **keys: str) -> list[dict[str, Any]]:
    criteria: dict[str, Criterion] = {
        keyword: criterion for keyword, key in keys.items() if (criterion := criterion_of(VRS[keyword], key))
    }
    pages = ward.store.matches.find(level, criteria, frozenset({*wanted, *keys}))
    return [candidate.values for page in pages for candidate in page]


FIGURES = (
    "ModalitiesInStudy",
    "SOPClassesInStudy",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
)


def test_results_count_in_their_study(screened):
    (study,) = find(screened, Level.STUDY, *FIGURES)
    assert study["ModalitiesInStudy"] == ("CT", "OT", "SR")
    assert set(study["SOPClassesInStudy"]) == {
        "1.2.840.10008.5.1.4.1.1.2",
        ComprehensiveSRStorage,
        SecondaryCaptureImageStorage,
    }
    assert (study["NumberOfStudyRelatedSeries"], study["NumberOfStudyRelatedInstances"]) == ("3", "4")


def test_results_are_series_and_instances_of_their_study(screened):
    wanted = ("Modality", "SeriesInstanceUID", "NumberOfSeriesRelatedInstances", "PatientName")
    found = find(screened, Level.SERIES, *wanted, StudyInstanceUID=STUDY)
    assert [(item["Modality"], item["NumberOfSeriesRelatedInstances"]) for item in found] == [
        ("CT", "1"),
        ("OT", "2"),
        ("SR", "1"),
    ]
    assert {item["PatientName"] for item in found} == {"Doe^Jane"}
    heatmaps = found[1]["SeriesInstanceUID"]
    found = find(screened, Level.IMAGE, "SOPInstanceUID", SeriesInstanceUID=heatmaps)
    assert len(found) == 2
    assert len(find(screened, Level.IMAGE, SOPInstanceUID=found[0]["SOPInstanceUID"])) == 1


def test_withdrawn_results_are_not_found(screened):
    screened.store.withdrawals.withdraw(1, title=Withdrawal.QUALITY, by="Ada", reason="wrong")
    (study,) = find(screened, Level.STUDY, *FIGURES)
    assert (study["ModalitiesInStudy"], study["NumberOfStudyRelatedInstances"]) == (("CT",), "1")
    assert len(find(screened, Level.SERIES, StudyInstanceUID=STUDY)) == 1
    assert len(find(screened, Level.IMAGE, StudyInstanceUID=STUDY)) == 1


def test_results_withdrawn_between_two_pages_are_not_found(screened, monkeypatch):
    monkeypatch.setattr("node.store.matching.FIRST_PAGE", 1)
    pages = screened.store.matches.find(Level.IMAGE, {}, frozenset({"SOPInstanceUID"}))
    image, result = next(pages), next(pages)
    assert len(image) == len(result) == 1
    screened.store.withdrawals.withdraw(1, title=Withdrawal.QUALITY, by="Ada", reason="wrong")
    assert [candidate for page in pages for candidate in page] == []


def test_a_name_that_grows_in_its_sought_form_is_no_trouble(ward):
    ward.add(1)
    for name in ("\ufdfa" * 4000, "*" + "\ufdfa" * 4000 + "*"):
        assert find(ward, Level.STUDY, PatientName=name) == []


def test_results_of_another_node_with_this_ones_devices_are_found(ward):
    ward.add(1)
    for number in (1, 2):
        data = stored_object(
            f"2.25.{number}", "2.25.9", modality="SR", sop_class=ComprehensiveSRStorage, device="2.25.77"
        )
        ward.add(
            number,
            data=data,
            own=frozenset({"2.25.77"}),
            sop_instance_uid=f"2.25.{number}",
            series_instance_uid="2.25.9",
            device_uids=("2.25.77",),
        )
    (study,) = find(ward, Level.STUDY, *FIGURES)
    assert (study["ModalitiesInStudy"], study["NumberOfStudyRelatedSeries"]) == (("CT", "SR"), "2")
    assert study["NumberOfStudyRelatedInstances"] == "3"
    found = find(ward, Level.SERIES, "Modality", "NumberOfSeriesRelatedInstances", StudyInstanceUID=STUDY)
    assert [(item["Modality"], item["NumberOfSeriesRelatedInstances"]) for item in found] == [
        ("CT", "1"),
        ("SR", "2"),
    ]
    found = find(ward, Level.IMAGE, "SOPInstanceUID", StudyInstanceUID=STUDY)
    assert [item["SOPInstanceUID"] for item in found] == ["1.2.826.0.1.1.1", "2.25.1", "2.25.2"]


def test_an_object_that_cannot_be_read_is_left_out_where_more_is_wanted_than_the_index_has(screened):
    (report,) = (item for item in screened.store.screenings.results(1) if item.kind is ResultKind.REPORT)
    screened.store.files.delete(report.object_key)
    assert len(find(screened, Level.IMAGE, "Modality", StudyInstanceUID=STUDY)) == 3
    retrieved = find(screened, Level.IMAGE, "AvailableTransferSyntaxUID", StudyInstanceUID=STUDY)
    assert len(retrieved) == 4  # to be told of as failed


def test_a_corrected_study_is_found_by_what_it_is_now(ward):
    ward.add(1, patient_name="Wrong^Name", study_time="01", study_id="a")
    ward.add(1, data=b"corrected", patient_name="Right^Náme", study_time="02", study_id="b")
    (aside,) = ward.store.asides.list()
    ward.store.asides.correction(aside.id)
    assert find(ward, Level.STUDY, "StudyTime", PatientName="right^name") == []
    ward.store.asides.confirm_correction(1, "Ada", "asked")
    (study,) = find(ward, Level.STUDY, "StudyTime", "StudyID", PatientName="right^name")
    assert (study["StudyTime"], study["StudyID"]) == ("02", "b")


def test_more_than_one_page_is_found_once_each(ward, monkeypatch):
    monkeypatch.setattr("node.store.matching.FIRST_NOTED", 3)
    monkeypatch.setattr("node.store.matching.MOST_NOTED", 4)
    monkeypatch.setattr("node.store.matching.FIRST_PAGE", 1)
    monkeypatch.setattr("node.store.matching.PAGE", 2)
    for number in range(1, 13):
        ward.add(number)
    found = find(ward, Level.IMAGE, "InstanceNumber", StudyInstanceUID=STUDY)
    assert [item["InstanceNumber"] for item in found] == [str(number) for number in range(1, 13)]


@pytest.mark.parametrize(
    ("keyword", "value", "key"),
    [
        ("study_time", "1030", "10-10"),
        ("study_time", "23:59:59", "23-"),
        ("study_time", "99", "-99"),
        ("referring_physician_name", "Höuse^Gregory", "house*"),
        ("referring_physician_name", "=ＨＯＵＳＥ", "house"),
        ("referring_physician_name", "House ^ Gregory  M", "HOUSE^GREGORY M"),
        ("referring_physician_name", "Wilson\tJames", "wilson james"),
    ],
)
def test_a_statement_leaves_out_nothing_that_matches(ward, keyword, value, key):
    ward.add(1, **{keyword: value})
    attribute = {"study_time": "StudyTime", "referring_physician_name": "ReferringPhysicianName"}[keyword]
    (study,) = find(ward, Level.STUDY, **{attribute: key})
    assert criterion_of(VRS[attribute], key).matches([study[attribute]])


@pytest.mark.parametrize(("keyword", "key"), [("StudyTime", "11-12"), ("ReferringPhysicianName", "*son")])
def test_a_statement_leaves_out_what_cannot_match(ward, keyword, key):
    ward.add(1, study_time="1030", referring_physician_name="House^Gregory")
    assert find(ward, Level.STUDY, **{keyword: key}) == []


@pytest.mark.parametrize(
    ("key", "is_found"), [("smith^a*", True), ("*jones*", True), ("smith^b", False), ("", True)]
)
def test_every_value_of_an_attribute_that_only_the_object_has_is_matched(ward, key, is_found):
    data_set = dcmread(BytesIO(stored_object("1.2", "1.3", modality="CT", sop_class=CTImageStorage)))
    data_set.OperatorsName = ["Smith^Anna", "Jones^Bert"]
    stream = BytesIO()
    data_set.save_as(stream)
    ward.add(1, data=stream.getvalue())
    attribute = next(item for item in ATTRIBUTES if item.keyword == "OperatorsName")
    query = Query(
        level=Level.SERIES, keys=(Key(attribute=attribute, criterion=criterion_of("PN", key)),), narrowing={}
    )
    found = [
        entity for page in Search(ward.store.matches, ward.store.files).entities(query) for entity in page
    ]
    assert [entity.texts["OperatorsName"] for entity in found] == [("Smith^Anna", "Jones^Bert")] * is_found


@pytest.mark.parametrize(
    ("level", "keys", "index"),
    [
        (Level.PATIENT, {"StudyDate": "20240101"}, "ix_studies_study_date"),
        (Level.STUDY, {"PatientID": "P"}, "sqlite_autoindex_patients_1"),
        (Level.STUDY, {"PatientID": "P*"}, "sqlite_autoindex_patients_1"),
        (Level.STUDY, {"StudyInstanceUID": "1.2\\1.3"}, "studies"),
        (Level.STUDY, {"AccessionNumber": "A1"}, "ix_studies_accession_number"),
        (Level.STUDY, {"AccessionNumber": "A?1"}, "ix_studies_accession_number"),
        (Level.STUDY, {"StudyDate": "20240101"}, "ix_studies_study_date"),
        (Level.STUDY, {"StudyDate": "20240101-20240131"}, "ix_studies_study_date"),
        (Level.STUDY, {"PatientName": "doe^jane"}, "ix_studies_sought_name"),
        (Level.PATIENT, {"PatientID": "P"}, "sqlite_autoindex_patients_1"),
        (Level.SERIES, {"StudyInstanceUID": "1.2"}, "ix_series_study_id"),
        (Level.IMAGE, {"SeriesInstanceUID": "1.2"}, "ix_instances_series_id"),
        (Level.IMAGE, {"SOPInstanceUID": "1.2"}, "instances"),
    ],
)
def test_what_is_asked_for_is_found_by_an_index(ward, level, keys, index):
    found = plans(ward.store.database.engine, lambda: find(ward, level, **keys))
    steps = [step for statement in found.values() for step in statement]
    scanned = [step for step in steps if step.startswith("SCAN") and "INDEX" not in step]
    assert {step.split()[1] for step in scanned} <= {"anon_1", "own_objects"}, scanned
    assert any(index in step and "INDEX" in step for step in steps), steps
