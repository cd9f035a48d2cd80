"""The measurement groups: numbers, findings and what viewers need of them."""

import pytest

from node.report import codes
from node.report.build import build_results
from node.report.reading import Node
from tests.unit.report.conftest import CASES, SCOUT, SERIES, Case, built, groups_of, nodes, read

COVID = "840544004"


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


@pytest.mark.parametrize("number", ["0", "1"])
def test_the_only_frame_of_an_image_is_not_named(number, errors_of):
    """Some scanners write NumberOfFrames into images of one frame, of a class that has no frames."""
    request = Case().request()
    for instance in request.evidence:
        instance.NumberOfFrames = number
    report = build_results(request)[-1]
    assert not [item for item in read(report).iterall() if item.keyword == "ReferencedFrameNumber"]
    assert errors_of(report) == []


def test_frames_of_a_multi_frame_instance_are_named():
    report = built("multi-frame")
    study, first = groups_of(report)[:2]
    (reference,) = study.all(codes.SOURCE_OF_MEASUREMENT)
    frames = reference.item.ReferencedSOPSequence[0].ReferencedFrameNumber
    assert list(frames) == list(range(11, 31))
    assert first.first(codes.SOURCE_OF_MEASUREMENT).item.ReferencedSOPSequence[0].ReferencedFrameNumber == 11
