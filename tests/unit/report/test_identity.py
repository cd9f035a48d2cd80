import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.identity import is_valid_uid
from node.domain.result import ResultKind
from node.report.identity import (
    MAX_HEATMAPS,
    SERIES_NUMBERS,
    SOP_CLASSES,
    RecipeParts,
    algorithm_version,
    device_uid,
    instance_number,
    recipe,
    result_series_uid,
    result_uid,
    tracking_uid,
)
from tests.unit.report.conftest import model

PARTS = RecipeParts(
    inputs=(("1.2.3", "aa"), ("1.2.4", "bb")),
    attributes="cc",
    places="ff",
    choices=("1.2 chosen geometry", "1.3 refused quiet"),
    selection_rule="in-body",
    operating_point="screening 0.5 3/10",
    spec_sha256="dd",
    weights_sha256="ee",
    engine="openvino",
    engine_version="2026.0",
    precision="f32",
    max_heatmaps=10,
    kinds=("summary",),
    producer="this node",
    builder_version="2",
)


@pytest.mark.parametrize("field", [item.name for item in dataclasses.fields(RecipeParts)])
def test_every_part_decides_the_recipe(field):
    changed = {
        "inputs": (("1.2.3", "aa"), ("1.2.4", "bc")),
        "choices": ("1.2 chosen quiet", "1.3 refused quiet"),
        "max_heatmaps": 11,
        "kinds": ("key-objects", "summary"),
    }
    other = dataclasses.replace(PARTS, **{field: changed.get(field, "other")})
    assert recipe(other) != recipe(PARTS)


def test_the_order_of_inputs_and_choices_does_not_matter():
    turned = dataclasses.replace(PARTS, inputs=PARTS.inputs[::-1], choices=PARTS.choices[::-1])
    assert recipe(turned) == recipe(PARTS)


def test_the_recipe_is_for_ever():
    assert recipe(PARTS) == "9686bd05f0f33345bdfd750eca7b303a29073468369fbe5a3eff12e0ec08c04f"


@settings(deadline=None, max_examples=50)
@given(st.text(), st.text(), st.integers(0, 10**6), st.text())
def test_uids_are_valid_and_follow_from_their_parts(study, name, index, digest):
    series = result_series_uid(study, name, ResultKind.REPORT)
    uid = result_uid(series, ResultKind.REPORT, index, digest)
    assert is_valid_uid(series)
    assert is_valid_uid(uid)
    assert uid == result_uid(series, ResultKind.REPORT, index, digest)
    assert uid != result_uid(series, ResultKind.HEATMAP, index, digest)
    assert series != result_series_uid(study, name, ResultKind.HEATMAP)
    assert tracking_uid(study, name, "study") != tracking_uid(study, name, "1.2#1")


def test_the_device_changes_with_the_weights():
    assert device_uid(model(weights="ab")) == device_uid(model(weights="ab"))
    assert device_uid(model(weights="ab")) != device_uid(model(weights="ac"))
    assert algorithm_version(model(weights="ab")) == "1+abababababab"


def test_instance_numbers_never_meet():
    numbers = {
        instance_number(ResultKind.HEATMAP, version, rank)
        for version in range(1, 4)
        for rank in (1, 2, MAX_HEATMAPS)
    }
    assert len(numbers) == 9
    maps = [
        instance_number(ResultKind.PARAMETRIC_MAP, version, index) for version in (1, 2) for index in (0, 1)
    ]
    assert maps == [1, 1001, 2, 2001]
    for kind in (ResultKind.REPORT, ResultKind.SUMMARY, ResultKind.KEY_OBJECTS):
        assert [instance_number(kind, version, 0) for version in (1, 2)] == [1, 2]
    assert [instance_number(ResultKind.REJECTION, version, version) for version in (1, 2)] == [1, 2]


def test_every_kind_has_a_number_and_a_class():
    assert {*SERIES_NUMBERS} == {*SOP_CLASSES} == {*ResultKind}
    assert len({*SERIES_NUMBERS.values()}) == len(ResultKind)
