from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from node.infer.bundle import Bundle, load_bundle
from tests.model_folder import write_model_folder


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def chest_slice(lung_hu: int, side: int = 128) -> NDArray[np.uint16]:
    """An ellipse of tissue with two round lungs, HU + 1024."""
    rows, columns = np.mgrid[0:side, 0:side] / side - 0.5
    v = np.zeros((side, side), dtype=np.uint16)
    v[(rows / 0.35) ** 2 + (columns / 0.45) ** 2 < 1] = 1064
    for centre in (-0.2, 0.2):
        v[(rows / 0.22) ** 2 + ((columns - centre) / 0.13) ** 2 < 1] = lung_hu + 1024
    return v


@pytest.fixture(scope="session")
def golden_slices() -> list[NDArray[np.uint16]]:
    return [chest_slice(-860), chest_slice(-700), chest_slice(-560)]


@pytest.fixture
def folder(tmp_path: Path, golden_slices: list[NDArray[np.uint16]]) -> Path:
    return write_model_folder(tmp_path, golden_slices)


@pytest.fixture
def bundle(folder: Path) -> Bundle:
    return load_bundle(folder)


Rewrite = Callable[[Path, str, str], None]


@pytest.fixture
def rewrite() -> Rewrite:
    def change(path: Path, old: str, new: str) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change
