"""Table 2: augmented slices and the numbers drawn for them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.parity.numbers import DRAWN, SEED, STATED, TURNED, slice_of
from tests.parity.table import Row, Table
from trainer.feed.deep_ct_augment import DeepCtAugmentation, deep_ct_augmented
from trainer.feed.keras_augment import (
    HALF_PIXEL_BEFORE,
    HALF_PIXEL_BEHIND,
    KerasAugmentation,
    KerasTransform,
    draw,
    keras_augmented,
    transformed,
)

Values = NDArray[np.floating[Any]]
TOLERANCE: Final = 4e-3
"""Grey values of 4095: interpolation in single precision rounds to eight times less."""
WHOLE_GREYS: Final = 0.5 + 1e-3
SAME_NUMBERS: Final = 1e-12
SHORT_OF_RANGE: Final = 0.01
"""Share of a range that draws leave out at either end."""


class Stated:
    """Draws that are given."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def uniform(self, low: float, high: float, size: int | None = None) -> float:
        """Hand out the next value."""
        return self.values.pop(0)

    def random(self) -> float:
        """Hand out the next value."""
        return self.values.pop(0)


class Noted:
    """Draws from a seeded stream, noted down as shares of what was asked for, -1 to 1."""

    def __init__(self) -> None:
        self.stream = np.random.RandomState(SEED)
        self.values: list[float] = []

    def uniform(self, low: float, high: float, size: int | None = None) -> float:
        """Draw and note."""
        self.values.append(float(self.stream.uniform(low, high)))
        return self.values[-1]

    def random(self) -> float:
        """Draw."""
        return float(self.stream.random())


def distance(own: Values, other: Any) -> float:
    """Return the largest difference; not a number where the shapes differ."""
    given = np.asarray(other, dtype=np.float64)
    return float(np.abs(own - given).max()) if own.shape == given.shape else float("nan")


def drawn(count: int) -> Values:
    """Return [count, 8]: what images of 512 x 512 draw one after the other."""
    draws = np.random.RandomState(SEED)
    return np.array(
        [dataclasses.astuple(draw(KerasAugmentation(), (512, 512), draws)) for _ in range(count)], dtype=float
    )


def varied(centre: float, rows: int, columns: int, count: int) -> Values:
    """Return one slice, augmented with the numbers of one stream."""
    draws, how = np.random.RandomState(SEED), KerasAugmentation(centre=centre)
    return np.stack([keras_augmented(slice_of(rows, columns), how, draws) for _ in range(count)])


def varied_across(side: int, count: int) -> Values:
    """Return one square slice, augmented as Keras 2.15 does it: columns before rows, then the mirrors."""
    draws, made = np.random.RandomState(SEED), []
    for _ in range(count):
        drawn = draw(KerasAugmentation(), (side, side), draws)
        unmirrored = dataclasses.replace(drawn, flip_horizontal=False, flip_vertical=False)
        moved = transformed(slice_of(side, side).T, unmirrored, HALF_PIXEL_BEFORE).T
        moved = moved[:, ::-1] if drawn.flip_horizontal else moved
        made.append(moved[::-1] if drawn.flip_vertical else moved)
    return np.stack(made)


def stated(rows: int, columns: int) -> Values:
    """Return the stated transforms of a slice."""
    image = slice_of(rows, columns)
    return np.stack([transformed(image, KerasTransform(**one._asdict())) for one in STATED])


def turned(rows: int, columns: int) -> Values:
    """Return Deep-CT-Net's stated transforms of a picture."""
    grey = (slice_of(rows, columns) % 256).astype(np.uint8)
    return np.stack([deep_ct_augmented(grey, DeepCtAugmentation(), Stated(*one)) for one in TURNED]).astype(
        float
    )


def deep_ct_ranges() -> Row:
    """Return how far from the paper's ranges the draws' ends are, as shares of these."""
    noted, how = Noted(), DeepCtAugmentation()
    for _ in range(DRAWN):
        deep_ct_augmented(np.zeros((2, 2), np.uint8), how, noted)
    limits = np.array([15.0, 0.05, 0.05])  # degrees; shares of the rows and of the columns
    shares = np.reshape(noted.values, (DRAWN, 3)) / limits
    ends = np.stack([shares.min(axis=0) + 1, 1 - shares.max(axis=0)])
    found = float(ends.max()) if (ends >= 0).all() else float("nan")
    what = f"deep-ct: {DRAWN} draws, short of the range"
    return Row(what=what, against="15 degrees, 5 %, 5 % either way", found=found, tolerance=SHORT_OF_RANGE)


def rows_of(given: Mapping[str, Any], made: Mapping[str, str]) -> list[Row]:
    """Compare with the answers of one size, an archive's or the kept ones."""
    rows, columns = np.shape(given["stated"])[1:]
    count, size = len(given["keras"]), f"{rows} x {columns}"
    table = []
    for package, slices in (
        ("keras-preprocessing", varied(HALF_PIXEL_BEHIND, rows, columns, count)),
        ("keras", varied_across(columns, count)),
    ):
        against, stream = f"{package} {made[package]}", given[f"{package}-stream"]
        what, found = f"keras: {len(stream)} draws of 8 numbers", distance(drawn(len(stream)), stream)
        table.append(Row(what=what, against=against, found=found, tolerance=SAME_NUMBERS))
        centre = "side / 2 + 0.5" if package == "keras-preprocessing" else "side / 2 - 0.5"
        what, found = f"keras: {count} slices about {centre}", distance(slices, given[package])
        table.append(Row(what=what, against=against, found=found, tolerance=TOLERANCE))
    scipy = f"scipy {made['scipy']}, {size}"
    what, found = f"keras: {len(STATED)} stated transforms", distance(stated(rows, columns), given["stated"])
    table.append(Row(what=what, against=scipy, found=found, tolerance=TOLERANCE))
    what, found = (
        f"deep-ct: {len(TURNED)} stated transforms",
        distance(turned(rows, columns), given["turned"]),
    )
    table.append(Row(what=what, against=scipy, found=found, tolerance=WHOLE_GREYS))
    return table


def table(folder: Path) -> Table:
    """Compare slices of 512 x 512."""
    made = json.loads((folder / "augmentation.json").read_text())["made with"]
    with np.load(folder / "augmentation.npz") as archive:
        given = dict(archive)
    return Table(
        title="2. Augmentation: values 0 to 4095, deep-ct 0 to 255; both sides draw from RandomState(2021)",
        unit="largest difference",
        rows=[*rows_of(given, made), deep_ct_ranges()],
        notes=[
            "draws: rotation, shifts, shear, two zooms, two mirrors; same numbers are the same distribution",
            "Keras 2.15 counts columns before rows: compared with the axes exchanged; on square slices the",
            "distribution is the same",
            "deep-ct results are rounded to whole greys, which alone is half a grey",
        ],
    )
