"""A small specification and augmentation that depend on no recipe."""

from __future__ import annotations

from typing import Any

import pytest

from node.domain.input_spec import InputSpec
from trainer.feed.augment import Augmentation
from trainer.feed.specification import specification


@pytest.fixture
def parts() -> dict[str, Any]:
    """A recipe's section ``specification``: 64 pixels, lung box."""
    return {
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
            "plausibility": {"minimum_run_share": 0.5, "minimum_dark_area_mm2": 500},
        },
        "input": {
            "kind": "lung-window-box",
            "size": [64, 64],
            "channels": 3,
            "equalise": "none",
            "window": {"center": -600, "width": 1500},
            "lung_box": {
                "margin": 0.08,
                "air_below_hu": -400,
                "minimum_area_share": 0.01,
                "symmetry": 0.75,
                "minimum_aspect": 0.6,
            },
            "normalise": {"kind": "fixed", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        },
        "outputs": {
            "probabilities": "probabilities",
            "cam": "cam",
            "classes": ["covid", "non-covid"],
            "positive_class": "covid",
        },
        "scope": {
            "minimum_age_years": 18,
            "slice_thickness_mm": [0.5, 10],
            "pixel_spacing_mm": [0.4, 1.1],
            "field_of_view_mm": [220, 550],
        },
    }


@pytest.fixture
def spec(parts: dict[str, Any]) -> InputSpec:
    """The specification of a network in the making."""
    return specification(parts, name="tiny", version=1, status="untrained")


@pytest.fixture
def how() -> Augmentation:
    """Everything varied."""
    return Augmentation(
        zoom=(0.7, 1.2),
        aspect=0.18,
        rotation=12.6,
        shift=0.05,
        flip=0.5,
        tone=1.0,
        contrast=0.0,
        brightness=0.0,
        lung_grey=(40.0, 115.0),
        tissue_grey=(170.0, 250.0),
        gamma=0.2,
        soften=0.4,
        noise=0.05,
        erase=0.25,
    )
