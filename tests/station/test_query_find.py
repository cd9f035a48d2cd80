"""C-FIND against a running node, with pynetdicom and DCMTK as peers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from node.dicom.read import read_header
from node.domain.identity import PatientKey, derived_uid
from tests.conftest import ct_header
from tests.station.finding_ground import (
    PATIENT,
    STUDY,
    VIEWER,
    Archive,
    answering,
    answers,
    calling,
    identifier_of,
    matches,
    values,
)
from tests.station.receiving_node import AE_TITLE, write_instance

ALL = {"StudyInstanceUID": "", "PatientName": ""}


@pytest.fixture
def archive(tmp_path):
    with answering(tmp_path / "node") as running:
        yield running


def add(
    archive: Archive, study: int, *numbers: int, series: int = 1, data: bytes = b"", **changes: Any
) -> None:
    for number in numbers or (1,):
        archive.add(
            ct_header(
                number,
                **{
                    "study_instance_uid": f"1.2.{study}",
                    "series_instance_uid": f"1.2.{study}.{series}",
                    "sop_instance_uid": f"1.2.{study}.{series}.{number}",
                    "accession_number": f"A{study}",
                    "patient": PatientKey(patient_id=f"P{study}", issuer="HOSPITAL"),
                    **changes,
                },
            ),
            data,
        )


def test_every_level_of_the_study_root_is_answered(archive):
    add(archive, 1, 1, 2)
    add(archive, 1, 1, series=2, modality="SR", series_number=9)
    add(archive, 2)
    (study,) = archive.find(
        "STUDY",
        StudyInstanceUID="1.2.1",
        ModalitiesInStudy="",
        SOPClassesInStudy="",
        NumberOfStudyRelatedSeries="",
        NumberOfStudyRelatedInstances="",
        StudyTime="",
        StudyID="",
    )
    assert list(study.ModalitiesInStudy) == ["CT", "SR"]
    assert study.SOPClassesInStudy == "1.2.840.10008.5.1.4.1.1.2"
    assert (study.NumberOfStudyRelatedSeries, study.NumberOfStudyRelatedInstances) == (2, 3)
    assert (study.StudyTime, study.StudyID) == ("073000", "S1")
    assert (study.RetrieveAETitle, study.InstanceAvailability) == (AE_TITLE, "ONLINE")
    found = archive.find(
        "SERIES",
        StudyInstanceUID="1.2.1",
        SeriesInstanceUID="",
        Modality="",
        NumberOfSeriesRelatedInstances="",
    )
    assert [(item.Modality, item.NumberOfSeriesRelatedInstances) for item in found] == [("CT", 2), ("SR", 1)]
    found = archive.find(
        "IMAGE",
        StudyInstanceUID="1.2.1",
        SeriesInstanceUID="1.2.1.1",
        SOPInstanceUID="",
        InstanceNumber="",
        Rows=None,
    )
    assert [(item.SOPInstanceUID, item.InstanceNumber, item.Rows) for item in found] == [
        ("1.2.1.1.1", 1, 512),
        ("1.2.1.1.2", 2, 512),
    ]


def test_the_patient_root_counts_what_a_patient_has(archive):
    patient = PatientKey(patient_id="P", issuer="HOSPITAL")
    add(archive, 1, 1, 2, patient=patient, patient_name="Maiden^Eva")
    add(archive, 2, patient=patient, patient_name="Married^Eva")
    add(archive, 3)
    (found,) = archive.find(
        "PATIENT",
        PATIENT,
        PatientName="married*",
        PatientID="",
        IssuerOfPatientID="",
        NumberOfPatientRelatedStudies="",
        NumberOfPatientRelatedSeries="",
        NumberOfPatientRelatedInstances="",
    )
    assert (found.PatientID, found.IssuerOfPatientID, str(found.PatientName)) == (
        "P",
        "HOSPITAL",
        "Married^Eva",
    )
    assert found.NumberOfPatientRelatedStudies == 2
    assert (found.NumberOfPatientRelatedSeries, found.NumberOfPatientRelatedInstances) == (2, 3)
    assert values(archive.find("STUDY", PATIENT, PatientID="P", StudyInstanceUID=""), "StudyInstanceUID") == [
        "1.2.1",
        "1.2.2",
    ]


def test_only_who_has_the_right_may_ask(archive):
    with calling(archive.port, ae_title="CT1") as association:
        assert association.accepted_contexts == []
    with calling(archive.port) as association:
        assert len(association.accepted_contexts) == 2


MALFORMED = [
    ("STUDY", {"StudyDate": "yesterday"}),
    ("STUDY", {"StudyTime": "-"}),
    ("PATIENT", {"PatientID": "1"}),
    ("", {"StudyInstanceUID": "1.2"}),
    ("SERIES", {"SeriesInstanceUID": ""}),
    ("SERIES", {"StudyInstanceUID": "1.2\\1.3", "SeriesInstanceUID": ""}),
    ("IMAGE", {"StudyInstanceUID": "1.2", "SOPInstanceUID": ""}),
]


def test_what_does_not_fit_is_refused_and_the_next_query_answered(archive):
    add(archive, 1)
    with calling(archive.port) as association:
        for level, keys in MALFORMED:
            ((status, _),) = answers(association, identifier_of(level, keys))
            assert status == 0xA900, (level, keys)
        assert len(matches(association, "STUDY", **ALL)) == 1


def test_relational_queries_are_answered_where_they_are_negotiated(archive):
    add(archive, 1, 1, 2)
    add(archive, 2)
    with calling(archive.port, extended=b"\x01\x00\x01") as association:
        granted = association.acceptor.sop_class_extended
        assert granted == {STUDY: b"\x01\x00\x00", PATIENT: b"\x01\x00\x00"}
        found = matches(association, "IMAGE", AccessionNumber="A1", SOPInstanceUID="")
    assert values(found, "SOPInstanceUID") == ["1.2.1.1.1", "1.2.1.1.2"]


def test_a_date_and_a_time_are_one_range_where_that_is_negotiated(archive):
    for study, (date, time) in enumerate(
        [("20260104", "0900"), ("20260105", "0900"), ("20260106", "0900")], 1
    ):
        add(archive, study, study_date=date, study_time=time)
    asked = {"StudyDate": "20260104-20260106", "StudyTime": "1200-1000", "StudyInstanceUID": ""}
    with calling(archive.port, extended=b"\x00\x01") as association:
        assert values(matches(association, "STUDY", **asked), "StudyInstanceUID") == ["1.2.2", "1.2.3"]
    assert archive.find("STUDY", **asked) == []


def test_keys_that_are_not_supported_are_said_to_be(archive):
    add(archive, 1)
    with calling(archive.port) as association:
        for unsupported in (
            {"PatientComments": "x"},
            {"NumberOfStudyRelatedSeries": "1"},
            {"Modality": "CT"},
        ):
            (pending, match), (last, _) = answers(association, identifier_of("STUDY", {**ALL, **unsupported}))
            assert (pending, last) == (0xFF01, 0x0000)
            assert match.StudyInstanceUID == "1.2.1"


def test_a_query_is_cancelled_between_its_matches(archive):
    for study in range(60):
        add(archive, study)
    with calling(archive.port) as association:
        statuses = []
        responses = association.send_c_find(identifier_of("STUDY", ALL), STUDY, msg_id=7)
        for status, _ in responses:
            if not statuses:
                association.send_c_cancel(7, query_model=STUDY)
            statuses.append(status.Status)
        assert statuses[-1] in {0xFE00, 0x0000}  # it may have been answered before it was cancelled
        assert set(statuses[:-1]) == {0xFF00}
        # What was cancelled says nothing about the next one with its number.
        assert len(matches(association, "STUDY", **ALL)) == 60


def test_an_identifier_without_end_is_refused(archive):
    with calling(archive.port) as association:
        endless = identifier_of("STUDY", {"TextValue": "x" * (2 << 20)})
        ((status, _),) = answers(association, endless)
        assert status == 0xA700


@pytest.mark.parametrize(
    ("character_set", "name", "expected"),
    [
        ("ISO_IR 100", "Müller^Zoë", "ISO_IR 100"),
        ("ISO_IR 192", "Müller^Zoë", "ISO_IR 192"),
        (None, "Müller^Zoë", "ISO_IR 192"),
        ("ISO_IR 100", "Yamada^Tarou=山田^太郎", "ISO_IR 192"),
        ("ISO_IR 192", "Doe^Jane", None),
    ],
)
def test_text_comes_in_the_character_set_of_the_query_or_in_utf_8(archive, character_set, name, expected):
    add(archive, 1, patient_name=name)
    keys = {"StudyInstanceUID": "", "PatientName": name if character_set == "ISO_IR 192" else ""}
    (found,) = archive.find(
        "STUDY", **({"SpecificCharacterSet": character_set} if character_set else {}), **keys
    )
    assert found.get("SpecificCharacterSet") == expected
    assert str(found.PatientName) == name


def test_what_lies_aside_is_not_found_and_a_held_study_is(archive):
    add(archive, 1, 1)
    archive.add(
        ct_header(1, study_instance_uid="1.2.1", series_instance_uid="1.2.1.1", sop_instance_uid="1.2.1.1.1"),
        b"x",
    )
    archive.store.studies.hold(1, "Ada", "look")
    (found,) = archive.find("STUDY", StudyInstanceUID="", NumberOfStudyRelatedInstances="", PatientID="")
    assert (found.NumberOfStudyRelatedInstances, found.PatientID) == (1, "P1")


def report(folder: Path, number: int, code: str) -> bytes:
    """Return a structured report as a file."""
    path, _ = write_instance(folder / f"{number}.dcm", number, sop_class=ComprehensiveSRStorage)
    data_set = dcmread(path)
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = code, "DCM", "a title"
    data_set.ConceptNameCodeSequence = [title]
    data_set.CompletionFlag, data_set.VerificationFlag = "COMPLETE", "UNVERIFIED"
    data_set.ContentDate, data_set.ContentTime = f"2026010{number}", "1200"
    data_set.save_as(path)
    return path.read_bytes()


def test_attributes_of_reports_are_matched_by_their_objects(archive, tmp_path):
    for number, code in enumerate(["126000", "113000"], 1):
        data = report(tmp_path, number, code)
        archive.add(read_header(data), data)
    study, series = derived_uid("test", "study", "1"), derived_uid("test", "series", "1")
    above = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": ""}
    title = Dataset()
    title.CodeValue, title.CodeMeaning = "113000", ""
    (found,) = archive.find("IMAGE", **above, ConceptNameCodeSequence=[title], CompletionFlag="")
    assert found.CompletionFlag == "COMPLETE"
    assert found.ConceptNameCodeSequence[0].CodeMeaning == "a title"
    assert "CodingSchemeDesignator" not in found.ConceptNameCodeSequence[0]
    found = archive.find("IMAGE", **above, ConceptNameCodeSequence=[])
    titles = [item.ConceptNameCodeSequence[0] for item in found]
    assert [(item.CodeValue, item.CodingSchemeDesignator) for item in titles] == [
        ("126000", "DCM"),
        ("113000", "DCM"),
    ]
    assert len(archive.find("IMAGE", **above, ContentDate="20260102-", VerificationFlag="UN*")) == 1
    with calling(archive.port) as association:
        two = identifier_of("IMAGE", {**above, "ConceptNameCodeSequence": [title, title]})
        ((status, _),) = answers(association, two)
        assert status == 0xA900


def findscu(port: int, *keys: str, options: tuple[str, ...] = ("-S",), folder: Path | None = None) -> str:
    command = ["findscu", "-v", *options, "-aet", VIEWER, "-aec", AE_TITLE, "127.0.0.1", str(port)]
    for key in keys:
        command += ["-k", key]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder)
    return run.stdout + run.stderr


def test_dcmtk_reads_the_answers(archive, tmp_path):
    add(archive, 1, patient_name="Müller^Zoë", timezone_offset="+0100")
    add(archive, 2)
    shown = findscu(
        archive.port, "QueryRetrieveLevel=STUDY", "StudyInstanceUID", "PatientName", "ModalitiesInStudy=CT"
    )
    assert re.findall(r"StudyInstanceUID", shown).count("StudyInstanceUID") >= 2
    assert "0x0000" in shown or "Success" in shown
    findscu(
        archive.port,
        "QueryRetrieveLevel=STUDY",
        "StudyInstanceUID=1.2.1",
        "PatientName",
        options=("-S", "-Xs", "found.xml"),
        folder=tmp_path,
    )
    found = ElementTree.parse(tmp_path / "found.xml")
    texts = {element.get("name"): element.text for element in found.iter("element")}
    assert texts["PatientName"] == "Müller^Zoë"
    assert texts["TimezoneOffsetFromUTC"] == "+0100"
    assert texts["RetrieveAETitle"] == AE_TITLE


@pytest.mark.long
def test_dcmtk_cancels(archive):
    for study in range(60):
        add(archive, study)
    shown = findscu(
        archive.port, "QueryRetrieveLevel=STUDY", "StudyInstanceUID", options=("-S", "--cancel", "2")
    )
    assert "Cancel" in shown


@pytest.mark.long
def test_patients_of_injection_strings_are_found_by_them(archive):
    strings = ["'; DROP TABLE studies; --", "%", "_", "[a]", "..", "P\\P"]
    for study, text in enumerate(strings, 1):
        add(archive, study, patient=PatientKey(patient_id=text))
    for study, text in enumerate(strings[:-1], 1):
        assert values(archive.find("STUDY", StudyInstanceUID="", PatientID=text), "StudyInstanceUID") == [
            f"1.2.{study}"
        ]


def test_the_same_association_serves_many_queries(archive):
    add(archive, 1)
    with calling(archive.port) as association:
        for _ in range(5):
            assert len(matches(association, "STUDY", **ALL)) == 1
