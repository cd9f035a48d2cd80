"""Which radiographs are fit, which series is chosen, and the answer."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.decide.radiographs import (
    CR_IMAGE,
    DX_FOR_PRESENTATION,
    DX_FOR_PROCESSING,
    View,
    choose_radiographs,
    decide_radiographs,
    fit_images,
    holds_chest_radiograph,
    names_the_chest,
    unfit_image,
    view_of,
)
from node.decide.series_facts import Criteria, SeriesFacts
from node.domain.network import CapPolicy
from node.domain.radiograph import RadiographView
from node.domain.result import OperatingPoint, Outcome
from node.domain.study import InstanceHeader, SeriesState, Verdict

PA = RadiographView(
    view_position="PA",
    view_code="",
    patient_orientation=("L", "F"),
    presentation_intent="",
    presentation_lut_shape="",
    pixel_spacing=(0.15, 0.15),
    windowed=True,
)
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "for processing": ({"sop_class_uid": DX_FOR_PROCESSING}, {}, "for processing"),
    "for processing by its intent": ({}, {"presentation_intent": "FOR PROCESSING"}, "for processing"),
    "mammogram": ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.2"}, {}, "no radiograph"),
    "secondary capture": ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, {}, "no radiograph"),
    "frames": ({"number_of_frames": 3}, {}, "3 frames"),
    "colours": ({"samples_per_pixel": 3}, {}, "in colours"),
    "palette": ({"photometric_interpretation": "PALETTE COLOR"}, {}, "not monochrome"),
    "polarity": ({}, {"presentation_lut_shape": "INVERSE"}, "polarity unknown"),
    "polarity 1": (
        {"photometric_interpretation": "MONOCHROME1"},
        {"presentation_lut_shape": "IDENTITY"},
        "polarity unknown",
    ),
    "derived": ({"image_type": ("DERIVED", "SECONDARY")}, {}, "derived"),
    "hand": (
        {"body_part_examined": "HAND", "study_description": "", "series_description": ""},
        {},
        "body part HAND",
    ),
    "hand by words": (
        {"body_part_examined": "", "study_description": "XR left hand", "series_description": ""},
        {},
        "body part HAND",
    ),
    "lateral": ({}, {"view_position": "LL"}, "not a frontal view (LL)"),
    "decubitus": ({}, {"view_position": "AP DECUBITUS"}, "not a frontal view"),
    "lateral by its directions": ({}, {"patient_orientation": ("A", "F")}, "not a frontal view"),
    "femur": (
        {"body_part_examined": "FEMUR", "study_description": "", "series_description": ""},
        {},
        "body part FEMUR",
    ),
    "femur by words": (
        {"body_part_examined": "", "study_description": "Femur AP", "series_description": ""},
        {},
        "body part FEMUR",
    ),
    "knee by words, beside a part that says nothing": (
        {"body_part_examined": "unknown", "study_description": "", "series_description": "Knee AP"},
        {},
        "body part KNEE",
    ),
    "a part that is not understood": (
        {"body_part_examined": "XYZ", "study_description": "", "series_description": "AP"},
        {},
        "body part XYZ, not known as the chest",
    ),
    "lateral by its code": ({}, {"view_position": "", "view_code": "399173006"}, "view code 399173006"),
    "lateral by a former code": ({}, {"view_position": "", "view_code": "R-10236"}, "view code R-10236"),
    "lateral by words": ({"series_description": "Chest lat."}, {"view_position": ""}, "not a frontal view"),
}


@pytest.fixture
def header(make_header: Callable[..., InstanceHeader]) -> InstanceHeader:
    return make_header(
        sop_class_uid=CR_IMAGE,
        modality="CR",
        series_description="Chest",
        study_description="Chest PA",
        image_type=("DERIVED", "PRIMARY"),
        frames=(),
    )


@pytest.fixture
def make(header: InstanceHeader, make_facts: Callable[..., SeriesFacts]) -> Callable[..., SeriesFacts]:
    """Return a function that gives a series of radiographs; keywords replace fields of every header."""

    def series(
        count: int = 1, *, number: int = 1, state: SeriesState = SeriesState.COMPLETE, **fields: Any
    ) -> SeriesFacts:
        base = make_facts(1, number=number, state=state, verdict=Verdict.QUIET)
        headers = tuple(
            dataclasses.replace(
                header,
                sop_instance_uid=f"1.2.{number}.{index}",
                series_instance_uid=base.series.series_instance_uid,
                instance_number=index,
                **fields,
            )
            for index in range(1, count + 1)
        )
        return SeriesFacts(dataclasses.replace(base.series, modality="CR"), headers)

    return series


def seen(*series: SeriesFacts, **changed: RadiographView) -> dict[str, RadiographView]:
    """Every image is PA, but those named ``s<series>_<image>``."""
    return {
        item.sop_instance_uid: changed.get("s" + "_".join(item.sop_instance_uid.split(".")[2:]), PA)
        for one in series
        for item in one.headers
    }


def view(position: str = "", **fields: Any) -> RadiographView:
    return dataclasses.replace(PA, view_position=position, **fields)


def test_a_frontal_chest_radiograph_is_fit(header: InstanceHeader) -> None:
    assert unfit_image(header, PA) is None
    digital = dataclasses.replace(header, sop_class_uid=DX_FOR_PRESENTATION, modality="DX")
    assert unfit_image(digital, dataclasses.replace(PA, presentation_intent="FOR PRESENTATION")) is None
    inverse = dataclasses.replace(header, photometric_interpretation="MONOCHROME1")
    assert unfit_image(inverse, dataclasses.replace(PA, presentation_lut_shape="INVERSE")) is None
    assert unfit_image(header, None) == "its attributes cannot be read"


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_not_fit_says_why(header: InstanceHeader, name: str) -> None:
    of_header, of_view, reason = CHANGES[name]
    found = unfit_image(dataclasses.replace(header, **of_header), dataclasses.replace(PA, **of_view))
    assert found is not None
    assert reason in found


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (view("PA"), View.POSTERO_ANTERIOR),
        (view("AP"), View.ANTERO_POSTERIOR),
        (view("AP SUPINE"), View.ANTERO_POSTERIOR),
        (view("", view_code="272479007"), View.POSTERO_ANTERIOR),
        (view("", view_code="399033003"), View.NOT_NAMED),
        (view("", view_code="R-10214"), View.POSTERO_ANTERIOR),
        (view("", view_code="R-10206"), View.ANTERO_POSTERIOR),
        (view("", view_code="OWN-7"), None),
        (view(), View.NOT_NAMED),
        (view("RL"), None),
        (view("PAX"), None),
        (view("PA", patient_orientation=("P", "F")), None),
    ],
)
def test_the_view_is_told_by_what_names_it(
    header: InstanceHeader, shown: RadiographView, expected: View | None
) -> None:
    assert view_of(header, shown) is expected


@pytest.mark.parametrize(
    "words",
    ["CHEST_LAT", "Chest LLAT", "THORAX LL", "Thorax seitl.", "chest obl", "RT DECUB", "Thorax_seitlich"],
)
def test_descriptions_of_other_views_are_understood(header: InstanceHeader, words: str) -> None:
    assert view_of(dataclasses.replace(header, series_description=words), view()) is None


@pytest.mark.parametrize("words", ["Chest bilateral", "Chest PA", "THORAX a.p. liegend", "Chest ballistic"])
def test_other_words_are_not_taken_for_views(header: InstanceHeader, words: str) -> None:
    assert view_of(dataclasses.replace(header, series_description=words), view()) is View.NOT_NAMED


@pytest.mark.parametrize("part", ["", "UNKNOWN", "Other", "TORACE", "CHEST_LUNG"])
def test_a_part_that_says_nothing_may_be_the_chest(header: InstanceHeader, part: str) -> None:
    silent = dataclasses.replace(
        header, body_part_examined=part, study_description="", series_description="AP"
    )
    assert unfit_image(silent, PA) is None


def test_all_frontal_images_of_the_chosen_series_are_fit(
    make: Callable[..., SeriesFacts], criteria: Criteria
) -> None:
    series = make(3)
    views = seen(series, s1_2=view("LL"))
    (choice,) = choose_radiographs([series], views, criteria)
    assert choice.chosen
    assert choice.reason == "Chosen: 2 frontal images (PA, PA); 1 other not scored."
    assert [item.instance_number for item in fit_images(series, views)] == [1, 3]


def test_the_reasons_of_a_refused_series_are_counted(
    make: Callable[..., SeriesFacts], criteria: Criteria
) -> None:
    series = make(3)
    views = seen(series, s1_1=view("LL"), s1_2=view("LL"), s1_3=view("RL"))
    (choice,) = choose_radiographs([series], views, criteria)
    assert not choice.eligible
    assert choice.reason == "Not analysed: 2 x not a frontal view (LL); 1 x not a frontal view (RL)."


@pytest.mark.parametrize(
    ("better", "worse", "difference"),
    [
        ({}, {"state": SeriesState.INCOMPLETE}, "is complete"),
        ({}, {"views": {"s2_1": view("AP")}}, "has the better view"),
        ({"views": {"s1_1": view("AP")}}, {"views": {"s2_1": view()}}, "has the better view"),
        ({"count": 2}, {}, "has more frontal images"),
        ({}, {}, "comes first by its number"),
    ],
)
def test_the_better_series_is_chosen_in_any_order(
    make: Callable[..., SeriesFacts],
    criteria: Criteria,
    better: dict[str, Any],
    worse: dict[str, Any],
    difference: str,
) -> None:
    shown = {**better.pop("views", {}), **worse.pop("views", {})}
    series = [make(number=1, **better), make(number=2, **worse)]
    lenient = dataclasses.replace(criteria, cap_policy=CapPolicy.RUN_AND_FLAG)
    for order in itertools.permutations(series):
        choices = {
            item.series_number: item for item in choose_radiographs(order, seen(*series, **shown), lenient)
        }
        assert choices[1].chosen
        assert not choices[2].chosen
        assert f"but series 1 {difference}." in choices[2].reason


def test_an_open_an_incomplete_and_a_child_s_series_wait_or_are_refused(
    make: Callable[..., SeriesFacts], criteria: Criteria
) -> None:
    refused = {
        "still being received": make(state=SeriesState.RECEIVING),
        "incomplete": make(state=SeriesState.INCOMPLETE),
        "younger than 18": make(patient_age_years=17.9),
    }
    for reason, series in refused.items():
        (choice,) = choose_radiographs([series], seen(series), criteria)
        assert not choice.chosen
        assert reason in choice.reason
    unknown = make(patient_age_years=None)
    assert choose_radiographs([unknown], seen(unknown), criteria)[0].chosen
    strict = dataclasses.replace(criteria, accept_unknown_age=False)
    assert "age is unknown" in choose_radiographs([unknown], seen(unknown), strict)[0].reason


def test_a_ct_series_is_no_radiograph(make_facts: Callable[..., SeriesFacts], criteria: Criteria) -> None:
    (choice,) = choose_radiographs([make_facts(20)], {}, criteria)
    assert choice.reason == "Not analysed: no radiograph."
    assert not holds_chest_radiograph([make_facts(20)])


def test_a_report_is_due_for_the_chest_and_for_what_may_be_it(make: Callable[..., SeriesFacts]) -> None:
    assert holds_chest_radiograph([make()])
    assert holds_chest_radiograph([make(sop_class_uid=DX_FOR_PROCESSING)])
    unnamed = {"body_part_examined": "", "study_description": "", "series_description": ""}
    assert holds_chest_radiograph([make(**unnamed)])
    assert not names_the_chest(make(**unnamed).first)
    assert names_the_chest(make().first)
    assert not holds_chest_radiograph([make(**{**unnamed, "study_description": "XR foot"})])
    assert not holds_chest_radiograph([])


def point(share: Fraction = Fraction(1, 2)) -> OperatingPoint:
    return OperatingPoint(name="p", slice_threshold=0.5, share=share, chosen_on="nothing", validated=False)


@given(n=st.integers(1, 50), k=st.integers(0, 50), share=st.fractions(0, 1, max_denominator=100))
def test_the_share_decides_exactly(n: int, k: int, share: Fraction) -> None:
    k = min(k, n)
    decision = decide_radiographs(k, n, point(share))
    assert (decision.outcome is Outcome.POSITIVE) == (Fraction(k, n) >= share)
    assert "slice" not in decision.reason


@pytest.mark.parametrize(("k", "n"), [(0, 0), (2, 1), (-1, 1)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="impossible"):
        decide_radiographs(k, n, point())
