"""Reports about radiographs: their own words, no axial positions, and no error by the validators."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from node.domain.model import ModelStatus
from node.domain.preparation_spec import InputModality
from node.domain.result import Outcome, RunOutcome, SliceScore
from node.domain.study import Verdict
from node.report import codes
from node.report.build import BuiltObject, ReportRequest, build_results
from node.report.reading import Node
from node.report.render import WIDTH, report_text
from tests.unit.report.conftest import SERIES, Case, choice, groups_of, nodes, read, source

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
UIDS = [f"{SERIES}.{number}" for number in (1, 2, 3)]
SCREENED = choice(
    modality="CR",
    series_description="Chest",
    instance_count=3,
    verdict=Verdict.QUIET,
    verdict_reason="released, 120 s quiet",
    reason="Chosen: 2 frontal images (PA, PA); 1 other not scored.",
)
REFUSED = replace(SCREENED, chosen=False, eligible=False, reason="Not analysed: not a frontal view (LL).")
ANY_SLICE = re.compile(r"slice|\bCT\b|\d mm\b", re.IGNORECASE)


def images(*scores: float | None, sop_class: str) -> tuple[SliceScore, ...]:
    return tuple(
        SliceScore(
            sop_class_uid=sop_class,
            sop_instance_uid=uid,
            frame=1,
            instance_number=number,
            position=0.0,
            dark_count=0,
            selected=score is not None,
            probability=score,
            positive=score is not None and score >= 0.5,
        )
        for number, (uid, score) in enumerate(zip(UIDS, scores, strict=True), 1)
    )


def request(
    *scores: float | None,
    outcome: Outcome = Outcome.POSITIVE,
    status: ModelStatus = ModelStatus.UNTRAINED,
    sop_class: str = CR,
    directions: tuple[str, ...] = ("L", "F"),
    **attributes: object,
) -> ReportRequest:
    """Return a request about three radiographs, of which those without a score are lateral."""
    base = Case(outcome=outcome, status=status, count=4, positive=1, heatmaps=1).request()
    analysed = outcome is not Outcome.NOT_ANALYSED
    shown = images(*scores, sop_class=sop_class) if analysed else ()
    finding = replace(
        base.finding,
        modality=InputModality.CR,
        run_outcome=RunOutcome.SUCCEEDED if analysed else RunOutcome.NOT_ATTEMPTED,
        reason="The share of positive images decides.",
        warnings=(),
        choices=(SCREENED if analysed else REFUSED,),
        series_instance_uid=SERIES if analysed else None,
        selection_rule="every frontal image",
        selection_threshold="",
        slices=shown,
        model=replace(base.finding.model, name="deep-cxr-net"),
    )
    fields = {
        "SOPClassUID": sop_class,
        "Modality": "CR" if sop_class == CR else "DX",
        "FrameOfReferenceUID": None,
        "StudyDescription": "Chest",
        **attributes,
    }
    return replace(
        base,
        finding=finding,
        evidence=[source(uid, SERIES, number, **fields) for number, uid in enumerate(UIDS, 1)],
        heatmaps=[
            replace(base.heatmaps[0], slice=item, rank=rank, directions=directions)
            for rank, item in enumerate((item for item in shown if item.positive), 1)
        ],
    )


REQUESTS = {
    "positive": request(0.9, 0.2, None),
    "two positive": request(0.9, 0.7, None),
    "one image": request(0.9, None, None),
    "negative": request(0.1, 0.2, None, outcome=Outcome.NEGATIVE),
    "not analysed": request(None, None, None, outcome=Outcome.NOT_ANALYSED),
    "demonstration": request(0.9, 0.2, None, status=ModelStatus.DEMONSTRATION),
    "validated": request(0.9, 0.2, None, status=ModelStatus.VALIDATED),
    "digital": request(0.9, 0.2, None, sop_class=DX),
    "orientation unknown": request(0.9, 0.2, None, directions=()),
    "lossy": request(
        0.9,
        0.2,
        None,
        LossyImageCompression="01",
        LossyImageCompressionRatio=2,
        LossyImageCompressionMethod="ISO_14495_1",
    ),
}


def report_of(name: str) -> Dataset:
    return read(build_results(REQUESTS[name])[-1])


@pytest.mark.parametrize("name", REQUESTS)
def test_the_validators_find_no_error(
    name: str, errors_of: Callable[[BuiltObject], list[str]], tmp_path: Path
) -> None:
    made = build_results(REQUESTS[name])
    for item in made:
        assert errors_of(item) == []
    path = tmp_path / "report.dcm"
    path.write_bytes(made[-1].data)
    done = subprocess.run(["dsrdump", "+Pl", path], capture_output=True, text=True, check=True)
    assert "Imaging Measurement Report" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("name", REQUESTS)
def test_nothing_is_said_of_slices(name: str) -> None:
    made = [read(item) for item in build_results(REQUESTS[name])]
    said = [report_text(made[-1])]
    said += [f"{node.text} {node.concept}" for node in nodes(Node(made[-1]))]
    for heatmap in made[:-1]:
        said += [str(heatmap.ImageComments), str(heatmap.DerivationDescription), heatmap.SeriesDescription]
    for text in said:
        assert not ANY_SLICE.search(text.replace("GG-", "")), text


@pytest.mark.parametrize("name", REQUESTS)
def test_the_procedure_is_radiography(name: str) -> None:
    procedure = Node(report_of(name)).first(codes.PROCEDURE_REPORTED)
    assert (procedure.code, procedure.text) == ("43468-8", "XR unspecified body region")


def test_the_source_s_own_procedure_goes_before_it() -> None:
    own = Dataset()
    own.CodeValue, own.CodingSchemeDesignator, own.CodeMeaning = "XCH2", "99HOSPITAL", "Chest in two planes"
    report = read(build_results(request(0.9, 0.2, None, ProcedureCodeSequence=[own]))[-1])
    assert Node(report).first(codes.PROCEDURE_REPORTED).code == "XCH2"


def test_the_numbers_count_images() -> None:
    study, *single = groups_of(report_of("positive"))
    counted = codes.COUNTED[InputModality.CR]
    found = {
        field.name: study.first(getattr(counted, field.name)).text for field in dataclasses.fields(counted)
    }
    assert found == {
        "received": "3",
        "selected": "2",
        "positive": "1",
        "ratio": "0.5",
        "share_threshold": "0.3",
        "threshold": "0.5",
        "mean_score": "0.55",
        "highest_score": "0.9",
        "heatmap": "",
    }
    [group] = single
    assert group.first(codes.TRACKING_IDENTIFIER).text == "AI radiograph 1"
    assert group.first(codes.CERTAINTY_OF_FINDING).text == "90.0"
    assert group.first(codes.SOURCE_OF_MEASUREMENT).instance == UIDS[0]
    assert group.all(counted.heatmap)
    sources = {node.instance for node in study.all(codes.SOURCE_OF_MEASUREMENT)}
    assert sources == set(UIDS[:2])


def test_the_concepts_of_slices_and_of_radiographs_differ() -> None:
    every = [
        getattr(counted, field.name).value
        for counted in codes.COUNTED.values()
        for field in dataclasses.fields(counted)
    ]
    assert len(set(every)) == len(every)


def test_the_library_names_the_modality_and_no_frame_of_reference() -> None:
    for name, code in (("positive", "CR"), ("digital", "DX")):
        group = Node(report_of(name)).first(codes.IMAGE_LIBRARY).first(codes.IMAGE_LIBRARY_GROUP)
        assert group.first(codes.MODALITY).code == code
        assert not group.all(codes.FRAME_OF_REFERENCE_UID)


def test_only_what_is_fit_for_the_model_is_called_a_chest() -> None:
    """A refused series may show a knee, and stands in the library because the report lists it."""
    for name, expected in (("positive", ["51185008"]), ("not analysed", [])):
        group = Node(report_of(name)).first(codes.IMAGE_LIBRARY).first(codes.IMAGE_LIBRARY_GROUP)
        assert group.all(codes.SOURCE)
        assert [node.code for node in group.all(codes.TARGET_REGION)] == expected


def test_the_status_stands_in_title_and_descriptions() -> None:
    for name, word in (("positive", "UNTRAINED MODEL: "), ("demonstration", "DEMONSTRATION MODEL: ")):
        made = [read(item) for item in build_results(REQUESTS[name])]
        title = Node(made[-1]).first(codes.DOCUMENT_TITLE).text
        assert (
            title == f"{word}AI screening of chest radiographs for COVID-19. Research use, not a diagnosis."
        )
        assert all(item.SeriesDescription.startswith(word) for item in made)
        # Both series of a study's CT have the same numbers and stand beside these.
        assert all("radiographs" in item.SeriesDescription for item in made)
        assert all(len(item.SeriesDescription) <= 64 for item in made)
    plain = Node(report_of("validated")).first(codes.DOCUMENT_TITLE).text
    assert plain.startswith("AI screening of chest radiographs")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("positive", "1 of 2 frontal images reach the threshold (50.0 %)."),
        ("one image", "1 of 1 frontal image reaches the threshold (100.0 %)."),
        ("not analysed", "NOT ANALYSED: the images were not analysed; COVID-19 not excluded."),
    ],
)
def test_the_summary_counts_images(name: str, sentence: str) -> None:
    assert Node(report_of(name)).first(codes.SUMMARY).text.endswith(sentence)


def test_a_heatmap_is_directed_as_its_radiograph() -> None:
    assert read(build_results(REQUESTS["positive"])[0]).PatientOrientation == ["L", "F"]
    unknown = read(build_results(REQUESTS["orientation unknown"])[0])
    assert "PatientOrientation" in unknown
    assert not unknown.PatientOrientation


def test_the_text_has_a_table_of_images() -> None:
    shown = report_text(report_of("two positive"))
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert "Positive images (2)" in shown
    assert re.search(r"AI radiograph 2 +70.0 % +Yes +" + re.escape(UIDS[1]), shown)
    assert "No image reaches the threshold." in report_text(report_of("negative"))
    assert "Positive" not in report_text(report_of("not analysed"))
