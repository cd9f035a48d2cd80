"""The PNG contact sheet: the heatmaps that arrived, or the selected slices when no slice was positive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

TILE = 320  # pixels
COLUMNS = 4
MAX_TILES = 40
LABEL_HEIGHT = 20
TITLE_HEIGHT = 64
MARGIN = 8
BACKGROUND, INK, FAINT = (16, 16, 16), (240, 240, 240), (170, 170, 170)
WINDOW_CENTER, WINDOW_WIDTH = -600.0, 1500.0  # HU; the usual lung window

BANNER = "AI, research use, not for diagnosis"

Pixels = NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture of the sheet."""

    pixels: Pixels
    """Array, shape (rows, columns) or (rows, columns, 3)."""
    label: str


def heatmap_tile(path: Path, label: str) -> Tile:
    """Return a heatmap as it arrived (true-colour Secondary Capture)."""
    return Tile(pixels=np.asarray(pydicom.dcmread(path).pixel_array, dtype=np.uint8), label=label)


def slice_tile(v: NDArray[np.uint16], label: str) -> Tile:
    """Return a CT slice in the lung window.

    Parameters
    ----------
    v : uint16 array, shape (rows, columns)
        HU + 1024, in display orientation.
    label : str
    """
    low = WINDOW_CENTER - WINDOW_WIDTH / 2
    scaled = (v.astype(np.float32) - 1024.0 - low) / WINDOW_WIDTH * 255.0
    return Tile(pixels=np.clip(np.rint(scaled), 0, 255).astype(np.uint8), label=label)


def write_sheet(path: Path, title: str, tiles: Sequence[Tile]) -> None:
    """Write the contact sheet.

    Parameters
    ----------
    path : Path
        PNG file.
    title : str
        What is shown; stands above the pictures.
    tiles : sequence of Tile
        At most ``MAX_TILES`` are shown; the title says when there are more.
    """
    shown = list(tiles[:MAX_TILES])
    if len(tiles) > len(shown):
        title += f" (the first {len(shown)} of {len(tiles)})"
    columns = min(COLUMNS, max(len(shown), 2))
    rows = -(-len(shown) // columns)
    width = MARGIN + columns * (TILE + MARGIN)
    height = TITLE_HEIGHT + rows * (TILE + LABEL_HEIGHT + MARGIN)
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    draw.text((MARGIN, 8), _fitted(draw, title, font, width - 2 * MARGIN), INK, font)
    draw.text((MARGIN, 34), BANNER, FAINT, font)
    for index, tile in enumerate(shown):
        x = MARGIN + index % columns * (TILE + MARGIN)
        y = TITLE_HEIGHT + index // columns * (TILE + LABEL_HEIGHT + MARGIN)
        picture = Image.fromarray(tile.pixels).convert("RGB")
        picture.thumbnail((TILE, TILE))
        sheet.paste(picture, (x, y))
        draw.text((x, y + TILE + 2), _fitted(draw, tile.label, font, TILE), FAINT, font)
    sheet.save(path)


def _fitted(draw: ImageDraw.ImageDraw, text: str, font: Font, width: int) -> str:
    """Return ``text``, shortened until it fits."""
    while draw.textlength(text, font) > width and len(text) > 4:
        text = text[:-4] + "..."
    return text
