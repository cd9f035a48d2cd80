"""The input specification is read strictly and written canonically."""

from __future__ import annotations

import copy
import hashlib
import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.errors import InputSpecError
from node.domain.input_spec import InputSpec, PerImageNormalise, SelectionRule, digest
from node.domain.model import ModelStatus

DOCUMENT = {
    "schema": "groundglass.input_spec/1",
    "model": {"name": "test-lite", "version": 3, "status": "demonstration"},
    "modality": "CT",
    "selection": {
        "rule": "paper",
        "region_rows": [240, 340],
        "region_columns": [120, 370],
        "reference_size": 512,
        "dark_below": 300,
        "body_above_hu": -500,
        "threshold_ratio": [2, 3],
        "minimum_slices": 10,
        "minimum_selected": 5,
        "plausibility": {"minimum_run_share": 0.4, "minimum_dark_area_mm2": 500},
    },
    "input": {
        "kind": "histogram-equalised",
        "size": [256, 256],
        "channels": 3,
        "window": {"center": -600, "width": 1500},
        "lung_box": None,
        "equalise": "global",
        "blur": 3,
        "normalise": {"kind": "per-image", "epsilon": 1e-6},
    },
    "outputs": {
        "probabilities": "p",
        "cam": "c",
        "classes": ["non-covid", "covid"],
        "positive_class": "covid",
    },
    "operating_points": {
        "default": {"slice_threshold": 0.5, "share": [3, 10], "chosen_on": "a", "validated": False},
        "authors-code": {"slice_threshold": 0.5, "share": [1, 10], "chosen_on": "b", "validated": False},
    },
    "active_point": "default",
    "scope": {
        "minimum_age_years": 18,
        "slice_thickness_mm": [0.5, 10],
        "pixel_spacing_mm": [0.4, 1.2],
        "field_of_view_mm": [200, 520],
    },
}


def changed(path, value):
    """Return the document with one value replaced; ``...`` removes the key."""
    document = copy.deepcopy(DOCUMENT)
    part = document
    *parents, last = path.split(".")
    for key in parents:
        part = part[key]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return json.dumps(document)


def key_paths(part, before=""):
    for key, value in part.items():
        yield before + key
        if isinstance(value, dict):
            yield from key_paths(value, f"{before}{key}.")


def test_values_arrive():
    spec = InputSpec.from_json(json.dumps(DOCUMENT))
    assert spec.model.status is ModelStatus.DEMONSTRATION
    assert spec.selection.rule is SelectionRule.PAPER
    assert spec.selection.threshold_ratio == Fraction(2, 3)
    assert spec.input.normalise == PerImageNormalise(epsilon=1e-6)
    assert spec.outputs.positive_index == 1
    assert spec.operating_point.share == Fraction(3, 10)
    assert spec.point("authors-code").share == Fraction(1, 10)


def test_canonical_text_is_stable():
    spec = InputSpec.from_json(json.dumps(DOCUMENT))
    text = spec.to_json()
    assert text.endswith("}\n")
    assert InputSpec.from_json(text) == spec
    assert InputSpec.from_json(text).to_json() == text
    assert digest(text) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "path", [path for path in key_paths(DOCUMENT) if path.count("operating_points.") == 0]
)
def test_every_key_is_needed(path):
    with pytest.raises(InputSpecError, match=path.rpartition(".")[2]):
        InputSpec.from_json(changed(path, ...))


@pytest.mark.parametrize(
    "path",
    [
        "extra",
        "model.extra",
        "selection.extra",
        "selection.plausibility.extra",
        "input.extra",
        "input.window.extra",
        "input.normalise.extra",
        "outputs.extra",
        "scope.extra",
        "operating_points.default.extra",
    ],
)
def test_unknown_keys_are_refused(path):
    with pytest.raises(InputSpecError, match=f"^{path}: unknown key"):
        InputSpec.from_json(changed(path, 1))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", "groundglass.input_spec/2"),
        ("model.version", True),
        ("model.version", 0),
        ("model.status", "certified"),
        ("modality", "MR"),
        ("selection", None),
        ("selection.region_rows", [340, 240]),
        ("selection.region_rows", [0, 513]),
        ("selection.threshold_ratio", [3, 2]),
        ("selection.threshold_ratio", [2, 0]),
        ("selection.dark_below", 300.5),
        ("input.channels", 2),
        ("input.window", None),
        ("input.lung_box", {"margin": 0.1, "air_below_hu": -400, "minimum_area_share": 0, "symmetry": 0}),
        ("input.blur", 4),
        ("input.kind", "ctset-raw"),
        ("input.kind", "lung-window-box"),
        ("input.normalise", {"kind": "fixed", "mean": [0.5], "std": [0.5]}),
        ("input.normalise", {"kind": "fixed", "mean": [0, 0, 0], "std": [1, 1, 0]}),
        ("outputs.positive_class", "pneumonia"),
        ("outputs.classes", ["covid", "covid"]),
        ("operating_points.default.share", [11, 10]),
        ("operating_points.default.slice_threshold", 1.5),
        ("operating_points.default.validated", "no"),
        ("active_point", "other"),
        ("scope.pixel_spacing_mm", [1.2, 0.4]),
        ("scope.minimum_age_years", "18"),
    ],
)
def test_wrong_values_are_refused(path, value):
    with pytest.raises(InputSpecError):
        InputSpec.from_json(changed(path, value))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000])
def test_other_documents_are_refused(text):
    with pytest.raises(InputSpecError):
        InputSpec.from_json(text)


def test_radiographs_have_no_selection():
    document = json.loads(changed("selection", None)) | {"modality": "CR"}
    document["input"]["window"] = None
    spec = InputSpec.from_json(json.dumps(document))
    assert InputSpec.from_json(spec.to_json()) == spec
    with pytest.raises(InputSpecError, match="reads CR"):
        _ = spec.selection


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from(list(key_paths(DOCUMENT))),
)
def test_any_json_value_anywhere_is_read_or_refused(value, path):
    try:
        spec = InputSpec.from_json(changed(path, value))
    except InputSpecError:
        return
    assert InputSpec.from_json(spec.to_json()) == spec
