"""Tiny files as the data sets hold them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_slice(file: Path, seed: int) -> Path:
    """A 16-bit LZW TIFF with horizontal differencing, HU + 1024."""
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 4096, (16, 16)).astype(np.uint16)
    Image.fromarray(values).save(file, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    return file


def write_picture(file: Path, seed: int, mode: str = "L") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(seed).integers(0, 256, (8, 8)).astype(np.uint8)
    Image.fromarray(grey).convert(mode).save(file)
    return file


def write_table(file: Path, rows: Sequence[Sequence[str]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    quoted = [[f'"{cell}"' if set(cell) & {",", "\n"} else cell for cell in row] for row in rows]
    file.write_text("\n".join(",".join(row) for row in quoted) + "\n", encoding="utf-8")
    return file
