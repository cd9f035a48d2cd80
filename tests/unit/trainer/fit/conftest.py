"""Recipes that are fitted in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainer.fit.recipe import Recipe, read_recipe


@pytest.fixture
def split_recipe(tiny_recipe: Path) -> Callable[..., Recipe]:
    """The tiny recipe without folds, the best epoch kept; keywords replace parts of its schedule."""
    read = read_recipe(tiny_recipe)

    def build(**values: Any) -> Recipe:
        without = {"folds": 0, "guard": 0, "whole_seeds": (), "validation_share": 0.25, "keep": "best"}
        still = {"ema": 0.0, "mixup": 0.0, "dropout": 0.0, "label_smoothing": 0.0}
        return replace(read, schedule=replace(read.schedule, **(without | still | values)))

    return build
