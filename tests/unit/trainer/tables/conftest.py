"""Tiny data sets in the true layouts, large enough to be fitted and judged on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

RECIPES = Path(__file__).parents[4] / "trainer" / "recipes"
SIDE = 64
POSITIVE = tuple(range(1, 6))
NEGATIVE = tuple(range(146, 156))
SLICES = 12
"""Of a raw series; the lungs close at both ends."""


def chest(openness: float, positive: bool, seed: int) -> NDArray[np.uint16]:
    """HU + 1024 of a body with two lungs; bright spots in them where positive."""
    rng = np.random.default_rng(seed)
    image = np.full((SIDE, SIDE), 30, np.uint16)
    cv2.ellipse(image, (32, 32), (30, 24), 0, 0, 360, 1064, -1)
    for column in (20, 44):
        if openness > 0:
            cv2.ellipse(image, (column, 34), (int(9 * openness), int(13 * openness)), 0, 0, 360, 150, -1)
        if positive:
            cv2.circle(image, (column, 34), 3, 900, -1)
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 4095).astype(np.uint16)


def write_tiff(file: Path, values: NDArray[np.uint16]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(file, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})


def patients() -> list[tuple[str, int, bool]]:
    return [("137covid", number, True) for number in POSITIVE] + [
        ("cdnormal4", number, False) for number in NEGATIVE
    ]


@pytest.fixture
def ctset_root(tmp_path: Path) -> Path:
    """The flat training set: five patients with COVID-19 and ten without, three slices each."""
    root = tmp_path / "flat"
    for group, number, positive in patients():
        for image in range(3):
            name = f"{group}_patient{number}_SR_2_IM{image:05d}.tif"
            write_tiff(root / name, chest(1.0, positive, 100 * number + image))
    return root


@pytest.fixture
def ctset_raw_root(tmp_path: Path) -> Path:
    """Raw series of all patients but one without COVID-19; patient 3 has no SR_2."""
    root = tmp_path / "raw"
    for group, number, positive in patients():
        if number == NEGATIVE[0]:
            continue
        series = "SR_3" if number == 3 else "SR_2"
        for index in range(SLICES):
            openness = 0.0 if index in (0, SLICES - 1) else 1.0 if 2 <= index <= 9 else 0.3
            file = root / group / f"patient{number}" / series / f"IM{index:05d}.tif"
            write_tiff(file, chest(openness, positive, 1000 * number + index))
    return root


@pytest.fixture
def covid_ct_root(tmp_path: Path) -> Callable[[str], Path]:
    """COVID-CT in class folders, parts train and val as the public copy has them."""

    def build(name: str = "covid-ct") -> Path:
        root = tmp_path / name
        for part, count in (("train", 12), ("val", 6)):
            for folder, positive in (("COVID", True), ("NonCOVID", False)):
                for number in range(count):
                    name_of = f"paper{number}-p1-1.png" if positive else f"{number}.png"
                    picture = (chest(1.0, positive, number + 500 * positive) / 8).clip(0, 255)
                    file = root / part / folder / name_of
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture.astype(np.uint8)).save(file)
        return root

    return build


@pytest.fixture
def ct_cov19_root(tmp_path: Path) -> Path:
    root = tmp_path / "ct-cov19"
    for part, count in (("Train", 8), ("Test", 4)):
        for label in ("COV", "Normal", "CAP"):
            for number in range(count):
                picture = (chest(1.0, label == "COV", number + 900 * len(label)) / 8).clip(0, 255)
                file = root / part / label / str(number + 100 * (part == "Test")) / "FILE001.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture.astype(np.uint8)).save(file)
    return root


@pytest.fixture
def short_recipe(tmp_path: Path) -> Callable[..., Path]:
    """A shipped recipe with lines replaced, so that it runs in seconds."""

    def build(name: str, **values: str) -> Path:
        replaced = {
            "net": '"tiny"',
            "epochs": "1",
            "batch": "8",
            "learning_rate": "0.01",
            "size": f"[{SIDE}, {SIDE}]",
            "validation_share": "0.25",
            "minimum_dark_area_mm2": "1",
        } | values
        lines = []
        for line in (RECIPES / f"{name}.toml").read_text(encoding="utf-8").splitlines():
            key = line.partition(" = ")[0]
            lines.append(f"{key} = {replaced[key]}" if key in replaced else line)
        file = tmp_path / f"short-{name}.toml"
        file.write_text("\n".join(lines), encoding="utf-8")
        return file

    return build
