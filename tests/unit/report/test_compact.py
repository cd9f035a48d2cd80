from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydicom
import pytest

from node.domain.errors import NotAReport
from node.domain.result import Outcome, ResultKind, Withdrawal
from node.report.build import build_results
from node.report.compact import message_about
from node.report.rejection import RejectionRequest, build_rejection
from node.report.request import BuiltObject
from tests.unit.report.conftest import CASES, MADE_AT, STUDY, Case, model, read, results


def told(item: BuiltObject, folder: Path, *, identifiers: bool = False) -> dict[str, Any]:
    path = folder / "object.dcm"
    path.write_bytes(item.data)
    message = message_about(path, identifiers=identifiers)
    told = json.loads(message.body)
    assert told["event"] == message.event
    assert item.sop_instance_uid in message.key
    return told


def report(name: str) -> BuiltObject:
    return next(item for item in results(name) if item.kind is ResultKind.REPORT)


@pytest.mark.parametrize("name", CASES)
def test_a_report_is_told_in_short(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    finding = case.request().finding
    said = told(report(name), tmp_path)
    assert (said["event"], said["schema"], said["study_instance_uid"]) == ("result", 1, STUDY)
    assert said["outcome"] == finding.outcome.value
    assert said["run_outcome"] == finding.run_outcome.value
    assert said["model"]["name"] == finding.model.name
    assert said["model"]["status"] == finding.model.status.value
    assert said["model"]["version"].startswith("1+abab")
    assert said["object"]["version"] == case.version
    assert said["object"]["sop_instance_uid"] == report(name).sop_instance_uid
    assert bool(said["object"]["replaces_sop_instance_uids"]) == (case.version > 1)
    assert said["operating_point_validated"] is case.validated
    assert "not a diagnosis" in said["title"].lower()
    assert "not a diagnosis" in said["notice"].lower()
    assert [item["sop_instance_uid"] for item in said["positive_images"]] == [
        item.sop_instance_uid for item in finding.slices if item.positive
    ]
    if finding.slices:
        assert said["numbers"]["received"] == finding.received
        assert said["numbers"]["selected"] == finding.selected


def test_the_numbers_are_the_report_s(tmp_path: Path) -> None:
    said = told(report("positive"), tmp_path)
    finding = CASES["positive"].request().finding
    assert said["numbers"]["positive"] == 8
    assert said["numbers"]["positive_share"] == pytest.approx(finding.ratio, abs=1e-6)
    assert said["numbers"]["mean_score"] == pytest.approx(finding.mean_probability, abs=1e-6)
    assert said["numbers"]["image_threshold"] == 0.5
    scores = [item.probability for item in finding.slices if item.positive]
    assert [item["score"] for item in said["positive_images"]] == pytest.approx(scores, abs=1e-6)
    heatmaps = {item.sop_instance_uid for item in results("positive") if item.kind is ResultKind.HEATMAP}
    assert {item["heatmap_sop_instance_uid"] for item in said["positive_images"]} - {None} == heatmaps


@pytest.mark.parametrize(
    ("zone", "moment"), [(None, "2026-03-04T23:30:05"), ("+0530", "2026-03-05T05:00:05+05:30")]
)
def test_the_time_is_told_with_the_zone_that_the_images_name(
    tmp_path: Path, zone: str | None, moment: str
) -> None:
    case = Case(heatmaps=0, source={"TimezoneOffsetFromUTC": zone})
    item = next(item for item in build_results(case.request()) if item.kind is ResultKind.REPORT)
    assert told(item, tmp_path)["object"]["made_at"] == moment


def test_a_frame_of_an_enhanced_image_is_named(tmp_path: Path) -> None:
    said = told(report("multi-frame"), tmp_path)
    assert [item["frame"] for item in said["positive_images"]] == list(range(11, 19))


def test_no_patient_is_named_unless_asked_for(tmp_path: Path) -> None:
    silent = json.dumps(told(report("positive"), tmp_path))
    for text in ("Doe", "Jane", "P-17", "A-4711", "19610203", "Roe"):
        assert text not in silent
    asked = told(report("positive"), tmp_path, identifiers=True)
    assert asked["identifiers"] == {
        "patient_id": "P-17",
        "issuer_of_patient_id": "HOSPITAL",
        "accession_number": "A-4711",
    }
    assert "Doe" not in json.dumps(asked)


@pytest.mark.parametrize("title", Withdrawal)
def test_a_withdrawal_names_what_it_withdraws(tmp_path: Path, title: Withdrawal) -> None:
    withdrawn = [read(item) for item in results("positive")]
    note = build_rejection(
        RejectionRequest(
            withdrawn=withdrawn,
            title=title,
            reason="another patient, Doe^Jane",
            version=1,
            model=model(),
            made_at=MADE_AT,
            producer=Case().request().producer,
        )
    )
    said = told(note, tmp_path)
    assert (said["event"], said["title"]) == ("withdrawn", title.value)
    assert said["withdrawn_sop_instance_uids"] == sorted(str(item.SOPInstanceUID) for item in withdrawn)
    assert "Doe" not in json.dumps(said)  # what an operator wrote stays in the note


def test_of_anything_else_nothing_is_told(tmp_path: Path) -> None:
    heatmap = next(item for item in results("positive") if item.kind is ResultKind.HEATMAP)
    with pytest.raises(NotAReport):
        told(heatmap, tmp_path)
    (tmp_path / "text").write_text("no DICOM")
    with pytest.raises(NotAReport):
        message_about(tmp_path / "text", identifiers=False)


def test_a_report_of_another_maker_is_none(tmp_path: Path) -> None:
    path = tmp_path / "other.dcm"
    path.write_bytes(report("positive").data)
    other = pydicom.dcmread(path)
    del other.ContentSequence
    other.save_as(path)
    with pytest.raises(NotAReport):
        message_about(path, identifiers=False)


def test_every_outcome_is_among_the_cases() -> None:
    assert {case.outcome for case in CASES.values()} == set(Outcome)
