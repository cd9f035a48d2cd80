"""Reading one 8-bit picture."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.errors import PictureError

EIGHT_BIT_MODES: Final = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
LARGEST_FILE: Final = 64 * 2**20
"""Bytes; a slice picture has a few hundred thousand."""


def grey_picture(file: Path) -> NDArray[np.uint8]:
    """Read an 8-bit picture as grey, shape (rows, columns).

    Raises
    ------
    PictureError
        The file is missing, empty, too large, no image, or has more than 8 bits a sample.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise PictureError(f"{file} has more than {LARGEST_FILE} bytes; no slice picture has")
        with Image.open(file) as image:
            if image.mode not in EIGHT_BIT_MODES:
                raise PictureError(f"{file} is of mode {image.mode}; this network reads pictures of 8 bits")
            return np.array(image.convert("L"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"{file} cannot be read as an image ({error}); remove it or repair it") from error
