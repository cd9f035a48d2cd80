"""Which series is screened, and the reason given for each."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest

from node.decide.choice import choose, holds_chest_ct
from node.decide.series_facts import Criteria, SeriesFacts
from node.domain.network import CapPolicy
from node.domain.study import SeriesState, Verdict

Make = Callable[..., SeriesFacts]


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"modality": "MR", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}, "modality MR, not CT"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, "not all instances are CT images"),
        ({"samples_per_pixel": 3}, "colour images, made for the screen"),
        ({"bits_allocated": 8}, "8 bits a pixel do not hold Hounsfield units"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer images"),
        ({"series_description": "Topogram 0.6 T20f"}, "localizer images by their description"),
        ({"image_type": ("DERIVED", "SECONDARY", "MPR")}, "derived images"),
        ({"image_type": ("DERIVED", "PRIMARY", "MIP")}, "reformatted images"),
        ({"series_description": "CTAC 3.75"}, "attenuation correction"),
        ({"body_part_examined": "ABDOMEN", "study_description": ""}, "body part ABDOMEN, not the chest"),
        ({"state": SeriesState.RECEIVING}, "still being received"),
        ({"state": SeriesState.INCOMPLETE}, "incomplete: nothing more for 1800 s"),
        ({"frame": {"image_orientation": None}}, "orientation unknown"),
        ({"frame": {"image_position": None}}, "orientation unknown"),
        ({"number_of_frames": 2}, "functional groups do not describe every frame"),
        ({"frame": {"image_orientation": (1, 0, 0, 0, 0, -1)}}, "not axial: 20 of 20 slices"),
        ({"frame": {"image_orientation": (0, 1, 0, 0, 0, -1)}}, "not axial: 20 of 20 slices"),
        ({"count": 5}, "too few slices: 5, at least 10 needed"),
        ({"count": 1}, "too few slices: 1, at least 10 needed"),
        ({"frame": {"pixel_spacing": None}}, "pixel spacing unknown"),
        ({"rescale_known": False}, "Hounsfield units unknown: no rescale to HU in 20 of 20 images"),
        ({"gantry_tilt": -12.0}, "gantry tilt of 12 degrees"),
        ({"frame": {"image_position": (0.0, 0.0, 7.0)}}, "duplicated positions: 19 pairs"),
        ({"patient_age_years": 12.0}, "out of the model's scope: the patient is younger than 18 years"),
        ({"step": 12.0}, "out of the model's scope: slice thickness 12 mm"),
        ({"frame": {"pixel_spacing": (0.2, 0.2)}}, "out of the model's scope: pixel spacing 0.2 mm"),
        ({"rows": 128, "columns": 128}, "out of the model's scope: field of view 89.6 mm"),
    ],
)
def test_what_is_not_fit_is_refused_with_the_reason(
    make_facts: Make, criteria: Criteria, keywords: dict[str, object], reason: str
) -> None:
    (choice,) = choose([make_facts(**keywords)], criteria)
    assert not choice.chosen
    assert not choice.eligible
    assert choice.reason.startswith("Not analysed: ")
    assert reason in choice.reason


def _with_frame(facts: SeriesFacts, index: int, **fields: object) -> SeriesFacts:
    headers = list(facts.headers)
    frame = dataclasses.replace(headers[index].frames[0], **fields)
    headers[index] = dataclasses.replace(headers[index], frames=(frame,))
    return SeriesFacts(facts.series, tuple(headers))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image_orientation": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)}, "mixed orientation: 1 of 20"),
        ({"pixel_spacing": (0.8, 0.8)}, "mixed pixel spacing"),
        ({"image_position": (-180.0, -180.0, 51.0)}, "slice spacing is not uniform"),
        ({"image_position": (-180.0, -180.0, 55.0)}, "duplicated positions: 1 pairs"),
        ({"image_position": (-180.0, -180.0, 200.0)}, "missing positions"),
    ],
)
def test_one_slice_that_does_not_fit(
    make_facts: Make, criteria: Criteria, fields: dict[str, object], reason: str
) -> None:
    (choice,) = choose([_with_frame(make_facts(), 10, **fields)], criteria)
    assert not choice.eligible
    assert reason in choice.reason


def test_a_missing_slice_is_counted(make_facts: Make, criteria: Criteria) -> None:
    facts = make_facts()
    without = SeriesFacts(facts.series, facts.headers[:7] + facts.headers[9:])
    assert "missing positions: about 2 slices in 1 gaps" in choose([without], criteria)[0].reason


def test_sheared_positions_are_a_tilted_gantry(make_facts: Make, criteria: Criteria) -> None:
    facts = make_facts()
    for index in range(len(facts.headers)):
        facts = _with_frame(facts, index, image_position=(-180.0, -180.0 + index, 5.0 * index))
    assert "tilted gantry" in choose([facts], criteria)[0].reason


def test_other_mixtures(make_facts: Make, criteria: Criteria) -> None:
    facts = make_facts()
    for fields, reason in (
        ({"rows": 256}, "mixed matrix"),
        ({"frame_of_reference_uid": "1.9"}, "mixed frames of reference"),
    ):
        headers = (*facts.headers[:-1], dataclasses.replace(facts.headers[-1], **fields))
        assert reason in choose([SeriesFacts(facts.series, headers)], criteria)[0].reason


def test_settings_widen_what_is_accepted(make_facts: Make, criteria: Criteria) -> None:
    few = dataclasses.replace(criteria, minimum_slices=1)
    assert choose([make_facts(1)], few)[0].chosen
    flagged = dataclasses.replace(criteria, cap_policy=CapPolicy.RUN_AND_FLAG)
    assert choose([make_facts(state=SeriesState.INCOMPLETE)], flagged)[0].chosen
    strict = dataclasses.replace(criteria, accept_unknown_age=False)
    unknown = make_facts(patient_age_years=None)
    assert choose([unknown], criteria)[0].chosen
    assert "age is unknown" in choose([unknown], strict)[0].reason


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        ({"convolution_kernel": "LUNG"}, {"convolution_kernel": "STANDARD"}, "kernel nearer to the lungs"),
        ({"convolution_kernel": "BONE"}, {"convolution_kernel": "STANDARD"}, "kernel nearer to the lungs"),
        ({"step": 5.0}, {"step": 1.0, "count": 100}, "slice thickness nearer"),
        (
            {"count": 40, "verdict": Verdict.QUIET},
            {"count": 20, "verdict": Verdict.QUIET, "convolution_kernel": "LUNG"},
            "covers more of the chest",
        ),
        ({}, {"count": 60, "verdict": Verdict.QUIET, "convolution_kernel": "LUNG"}, "covers more of the"),
        ({"convolution_kernel": "LUNG"}, {"count": 60}, "kernel nearer to the lungs"),
        ({"count": 20}, {"count": 19}, "has more slices"),
        ({}, {}, "comes first by its number"),
        ({}, {"state": SeriesState.INCOMPLETE, "convolution_kernel": "LUNG"}, "is complete"),
    ],
)
def test_the_better_series_is_chosen(
    make_facts: Make, criteria: Criteria, better: dict[str, object], worse: dict[str, object], why: str
) -> None:
    flagged = dataclasses.replace(criteria, cap_policy=CapPolicy.RUN_AND_FLAG)
    first, second = make_facts(number=2, **better), make_facts(number=3, **worse)
    chosen, other = choose([first, second], flagged)
    assert chosen.chosen
    assert chosen.reason.startswith("Chosen: ")
    assert not other.chosen
    assert other.eligible
    assert "series 2" in other.reason
    assert why in other.reason


def test_the_order_given_does_not_matter(make_facts: Make, criteria: Criteria) -> None:
    series = [
        make_facts(number=2, step=1.0, count=100),
        make_facts(number=3, convolution_kernel="LUNG"),
        make_facts(number=4, convolution_kernel="LUNG"),
        make_facts(number=5, modality="SR"),
    ]
    expected = {choice.series_number: choice for choice in choose(series, criteria)}
    assert [number for number, choice in expected.items() if choice.chosen] == [3]
    for order in itertools.permutations(series):
        assert {choice.series_number: choice for choice in choose(order, criteria)} == expected


def test_nothing_to_choose_from(criteria: Criteria, make_facts: Make) -> None:
    assert choose([], criteria) == ()
    empty = SeriesFacts(make_facts().series, ())
    assert "no instance of it is stored" in choose([empty], criteria)[0].reason


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({}, True),
        ({"count": 1}, True),
        ({"body_part_examined": ""}, True),
        ({"body_part_examined": "ABDOMEN", "study_description": ""}, False),
        ({"body_part_examined": "ABDOMEN", "study_description": "CT Chest/Abdomen"}, True),
        (
            {
                "body_part_examined": "ABDOMEN",
                "series_description": "Abdomen Pelvis 5.0",
                "study_description": "CT Chest/Abdomen",
            },
            False,
        ),
        ({"body_part_examined": "ABDOMEN", "series_description": "Thorax Abdomen"}, True),
        ({"modality": "MR", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}, False),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.88.67"}, False),
    ],
)
def test_whether_a_report_is_due(make_facts: Make, keywords: dict[str, object], expected: bool) -> None:
    assert (
        holds_chest_ct([make_facts(number=9, modality="SR", sop_class_uid="1.2"), make_facts(**keywords)])
        is expected
    )
    assert not holds_chest_ct([])
