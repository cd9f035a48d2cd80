"""A whole input specification and a small phantom."""

from __future__ import annotations

import json

import cv2
import pytest
from hypothesis import settings

from node.domain.input_spec import InputSpec
from node.imaging.phantom import ThoraxPhantom
from node.imaging.prepare import hu_to_stored

# A busy machine is no failure: arrays have no deadline, the whole suite has one.
settings.register_profile("imaging", deadline=None)
settings.load_profile("imaging")

DOCUMENT = {
    "schema": "groundglass.input_spec/1",
    "model": {"name": "test-lite", "version": 1, "status": "untrained"},
    "modality": "CT",
    "selection": {
        "rule": "in-body",
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
        "kind": "lung-window-box",
        "size": [224, 224],
        "channels": 3,
        "window": {"center": -600, "width": 1500},
        "lung_box": {
            "margin": 0.08,
            "air_below_hu": -400,
            "minimum_area_share": 0.008,
            "symmetry": 0.7,
            "minimum_aspect": 0.62,
        },
        "equalise": "none",
        "blur": None,
        "normalise": {"kind": "fixed", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    },
    "outputs": {
        "probabilities": "probabilities",
        "cam": "cam",
        "classes": ["covid", "non-covid"],
        "positive_class": "covid",
    },
    "operating_points": {
        "default": {"slice_threshold": 0.5, "share": [3, 10], "chosen_on": "nothing", "validated": False}
    },
    "active_point": "default",
    "scope": {
        "minimum_age_years": 18,
        "slice_thickness_mm": [0.5, 10],
        "pixel_spacing_mm": [0.4, 1.2],
        "field_of_view_mm": [200, 520],
    },
}


def spec_with(**parts):
    """Return the specification with keys of its part ``input`` or ``selection`` replaced."""
    document = json.loads(json.dumps(DOCUMENT))
    for part, keys in parts.items():
        document[part].update(keys)
    return InputSpec.from_json(json.dumps(document))


@pytest.fixture(scope="session")
def spec_of():
    return spec_with


@pytest.fixture(scope="session")
def spec():
    return spec_with()


@pytest.fixture(scope="session")
def raw_spec():
    return spec_with(
        input={
            "kind": "ctset-raw",
            "size": [512, 512],
            "channels": 1,
            "window": None,
            "lung_box": None,
            "normalise": {"kind": "none"},
        }
    )


@pytest.fixture(scope="session")
def equalised_spec():
    return spec_with(
        input={
            "kind": "histogram-equalised",
            "size": [256, 256],
            "lung_box": None,
            "equalise": "global",
            "blur": 3,
            "normalise": {"kind": "per-image", "epsilon": 1e-6},
        }
    )


@pytest.fixture(scope="session")
def phantom():
    return ThoraxPhantom(seed=0, slices=40, rows=256)


@pytest.fixture(scope="session")
def stored(phantom):
    """Every slice of the phantom as HU + 1024, from the feet to the head."""
    cv2.setNumThreads(1)
    return [hu_to_stored(item.hu) for item in phantom]
