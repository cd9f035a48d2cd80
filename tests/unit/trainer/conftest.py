"""Tiny data sets in the true layouts: lung-like pictures, some with a bright patch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray


def lung_picture(rng: np.random.Generator, positive: bool) -> NDArray[np.uint8]:
    """Return an 8-bit axial picture, 96 x 128: two dark ovals in a bright body, grey patches if positive."""
    image = np.full((96, 128), 20, np.uint8)
    cv2.ellipse(image, (64, 48), (60, 44), 0, 0, 360, 210, -1)
    for centre in (40, 88):
        cv2.ellipse(image, (centre, 48), (18, 32), 0, 0, 360, 70, -1)
        if positive:
            at = (centre + int(rng.integers(-4, 5)), 48 + int(rng.integers(-10, 11)))
            cv2.circle(image, at, 10, 150, -1)
    noise = rng.normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def write_pictures(folder: Path, positive: bool, numbers: range) -> None:
    """Write numbered pictures as the SARS-CoV-2 data set names them."""
    folder.mkdir(parents=True)
    for number in numbers:
        rng = np.random.default_rng([int(positive), number])
        cv2.imwrite(str(folder / f"{number:04d}.png"), lung_picture(rng, positive))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Keep torch from spinning on cores that other tests use."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sars_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SARS-CoV-2 data set of 80 training and 20 held-out pictures."""
    root = tmp_path_factory.mktemp("sars")
    for split, numbers in (("train", range(1, 41)), ("val", range(500, 510))):
        for folder, positive in (("COVID", True), ("non-COVID", False)):
            write_pictures(root / split / folder, positive, numbers)
    return root


@pytest.fixture
def recipe_text() -> Callable[..., str]:
    """The default recipe's text with lines replaced, so that it runs in seconds."""
    text = (Path(__file__).parents[3] / "trainer" / "recipes" / "default.toml").read_text(encoding="utf-8")

    def build(**values: str) -> str:
        lines = []
        for line in text.splitlines():
            key = line.partition(" = ")[0]
            lines.append(f"{key} = {values.pop(key)}" if key in values else line)
        assert not values
        return "\n".join(lines)

    return build


@pytest.fixture
def tiny_recipe(recipe_text: Callable[..., str], tmp_path: Path) -> Path:
    """A recipe of the tiny network: two folds, two epochs, 64 pixels."""
    file = tmp_path / "tiny.toml"
    file.write_text(
        recipe_text(
            name='"tiny"',
            net='"tiny"',
            epochs="2",
            batch="16",
            learning_rate="0.02",
            warm_up_steps="2",
            ema="0.5",
            frozen_stages="1",
            folds="2",
            guard="1",
            size="[64, 64]",
            mixup="0.2",
            label_smoothing="0.05",
            precision='"f32"',
        ),
        encoding="utf-8",
    )
    return file
