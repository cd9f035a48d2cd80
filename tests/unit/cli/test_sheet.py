"""The contact sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from node.cli.demo.sheet import COLUMNS, MAX_TILES, TILE, Tile, slice_tile, write_sheet


def tile(value: int = 200) -> Tile:
    return Tile(pixels=np.full((512, 400, 3), value, dtype=np.uint8), label="instance 1")


@pytest.mark.parametrize(("count", "rows"), [(0, 0), (1, 1), (COLUMNS, 1), (COLUMNS + 1, 2)])
def test_the_sheet_has_a_place_for_every_picture(tmp_path: Path, count: int, rows: int) -> None:
    path = tmp_path / "sheet.png"
    write_sheet(path, "A title", [tile()] * count)
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
        assert rows * TILE <= sheet.height < (rows + 1) * TILE
        bright = int((np.asarray(sheet) == 200).all(axis=2).sum())
    assert bright >= count * 250 * TILE * 0.99


def test_there_is_an_end_to_the_pictures(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    write_sheet(path, "x" * 500, [tile()] * (MAX_TILES + 5))
    with Image.open(path) as sheet:
        assert sheet.height < (MAX_TILES // COLUMNS + 1) * (TILE + 50)


def test_a_slice_is_shown_in_the_lung_window() -> None:
    v = np.array([[0, 1024 - 1350, 1024 - 600, 1024 + 150, 4095]]).clip(0).astype(np.uint16)
    assert slice_tile(v, "").pixels.tolist() == [[55, 55, 128, 255, 255]]
