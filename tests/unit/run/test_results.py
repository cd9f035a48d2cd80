"""The recipe of a version: another content never stands under an old UID."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.result import OperatingPoint
from node.report.request import ReportRequest
from node.run.findings import Method
from node.run.results import recipe_in_turn, recipe_of
from tests.unit.report.conftest import SERIES, Case, choice, source

RECIPES = st.sampled_from(["aa", "bb"])


class Told(Method):
    """A method of no kind of image."""

    rule_text = "a rule"

    def __init__(self, request: ReportRequest) -> None:
        object.__setattr__(self, "model", request.finding.model)

    @property
    def point(self) -> OperatingPoint:
        return OperatingPoint(
            name="p", slice_threshold=0.5, share=Fraction(3, 10), chosen_on="nothing", validated=False
        )


def recipe_for(request: ReportRequest, **changes: object) -> str:
    told = {"max_heatmaps": 3, "kinds": (), "kept_aside": 0, "producer": request.producer, **changes}
    return recipe_of(Told(request), request.finding, None, request.evidence, ["1.2.3"], **told)


def with_first(request: ReportRequest, **attributes: object) -> ReportRequest:
    """The same request, of which only the first image was read, with these attributes."""
    first = request.finding.slices[0]
    return replace(request, evidence=[source(first.sop_instance_uid, SERIES, 1, **attributes)])


def with_choice(request: ReportRequest, **changes: object) -> ReportRequest:
    return replace(request, finding=replace(request.finding, choices=(choice(**changes),)))


PLACED = {"ImagePositionPatient": [0, 0, 5], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PLACED, {**PLACED, "ImagePositionPatient": [0, 0, 6]}),
        (PLACED, {**PLACED, "PixelSpacing": [1, 1]}),
        (PLACED, {**PLACED, "FrameOfReferenceUID": "1.2.9"}),
        ({}, {"DeviceSerialNumber": "other"}),
        ({}, {"LossyImageCompression": "01"}),
        ({}, {"StationName": "CT2"}),
    ],
)
def test_what_is_taken_over_of_an_image_decides_the_recipe(
    before: dict[str, object], after: dict[str, object]
) -> None:
    one, other = (with_first(Case().request(), **attributes) for attributes in (before, after))
    assert recipe_for(one) != recipe_for(other)
    assert recipe_for(one) == recipe_for(with_first(Case().request(), **before))


@pytest.mark.parametrize(
    "changes", [{"instance_count": 41}, {"series_number": 9}, {"series_description": "other"}]
)
def test_what_is_said_of_a_series_decides_the_recipe(changes: dict[str, object]) -> None:
    request = Case().request()
    assert recipe_for(with_choice(request)) != recipe_for(with_choice(request, **changes))


def test_two_nodes_never_share_a_recipe() -> None:
    request = Case().request()
    other = replace(request.producer, serial_number="another")
    assert recipe_for(request) != recipe_for(request, producer=other)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(RECIPES, st.booleans()), max_size=6))
def test_no_version_has_the_recipe_of_another_history(steps: list[tuple[str, bool]]) -> None:
    """Its number and its predecessor are part of a version, whatever was screened or withdrawn before it."""
    recipes: list[str] = []
    made: dict[str, tuple[object, ...]] = {}
    history: tuple[object, ...] = ()
    in_force: str | None = None
    for made_by, withdrawn_then in steps:
        found = recipe_in_turn(made_by, recipes, in_force)
        if found == in_force:
            assert history[-1][0] == made_by, "only the same content is in force"
        else:
            assert found not in recipes
            history = (*history, (made_by, in_force is None and bool(recipes)))
            recipes.append(found)
            in_force = found
            assert made.setdefault(found, history) == history
            assert recipe_in_turn(made_by, recipes, in_force) == found
        if withdrawn_then:
            in_force = None


def test_the_first_version_has_the_recipe_it_was_made_by() -> None:
    assert recipe_in_turn("aa", [], None) == "aa"
    assert recipe_in_turn("bb", ["aa"], "aa") != recipe_in_turn("bb", ["aa"], None) != "bb"
