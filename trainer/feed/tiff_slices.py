"""CT slices stored as 16-bit TIFF, as COVID-CTset has them: HU + 1024 in 12 bits, 0 to 4095.

Files are LZW-compressed with horizontal differencing (TIFF 6.0, sections 13 and 14), in either byte order.
What was scaled or clipped on the way is refused: the value says what is lung only while it is HU + 1024.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from trainer.errors import PictureError

HIGHEST: Final = 4095
"""BitsStored 12 of the scanner that the set comes from."""
HIGHEST_OF_8_BITS: Final = 255
LARGEST_FILE: Final = 64 * 2**20
"""Bytes; 512 x 512 slices of 16 bits have half a million."""
LARGEST_SIDE: Final = 4096

PHOTOMETRIC, SAMPLES, SAMPLE_FORMAT = 262, 277, 339  # TIFF 6.0, section 8 and section 19
BLACK_IS_ZERO: Final = 1
FLOAT: Final = 3

DAMAGE: Final = (
    *(OSError, ValueError, SyntaxError, KeyError, TypeError, Image.DecompressionBombError),
    UserWarning,  # where the interpreter makes errors of warnings; threads cannot silence them one by one
)
"""What Pillow raises for a file that is none, or is damaged."""
SIXTEEN_BITS: Final = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})


def tiff_slice(file: Path) -> NDArray[np.uint16]:
    """Read one slice.

    Parameters
    ----------
    file : Path

    Returns
    -------
    uint16 array, shape (rows, columns)
        HU + 1024, native byte order.

    Raises
    ------
    PictureError
        The file is missing, too large, damaged or no TIFF; or its values are not HU + 1024: floating point,
        8 bits, clipped at 255, inverted, or above 4095.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise PictureError(f"{file} has more than {LARGEST_FILE} bytes; no CT slice has")
        with Image.open(file, formats=("TIFF",)) as image:
            _require_sixteen_bits(file, image)
            values = np.array(image)
    except DAMAGE as error:
        raise PictureError(f"{file} cannot be read as TIFF ({error}); fetch it again or remove it") from error
    _require_range(file, values)
    return values.astype(np.uint16)


def _require_sixteen_bits(file: Path, image: Image.Image) -> None:
    tags: Any = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if image.mode == "F" or FLOAT in np.atleast_1d(tags.get(SAMPLE_FORMAT, 1)):
        raise PictureError(
            f"{file} holds floating-point values, perhaps divided by the maximum of the image (0 to 1); the "
            "scale of every slice is then another one and HU are lost. Use the set's unsigned 16-bit files"
        )
    if image.mode not in SIXTEEN_BITS or tags.get(SAMPLES, 1) != 1:
        raise PictureError(
            f"{file} is of mode {image.mode}; wanted is one sample of 16 bits, unsigned (HU + 1024). A file "
            "converted to 8 bits has lost them: use the original"
        )
    if tags.get(PHOTOMETRIC, BLACK_IS_ZERO) != BLACK_IS_ZERO:
        raise PictureError(f"{file} is stored inverted (PhotometricInterpretation is not BlackIsZero)")
    if max(image.size) > LARGEST_SIDE:
        raise PictureError(f"{file} has {image.size[0]} x {image.size[1]} pixels; no CT slice has so many")


def _require_range(file: Path, values: NDArray[Any]) -> None:
    highest = int(values.max())
    if highest <= HIGHEST_OF_8_BITS:
        raise PictureError(
            f"{file} has no value above {highest}: it went through 8 bits and is clipped there, or holds "
            "nothing. Use the file as the set has it, 0 to 4095"
        )
    if highest > HIGHEST:
        raise PictureError(
            f"{file} has values up to {highest}; HU + 1024 ends at {HIGHEST}. It was scaled to 16 bits, or "
            "holds signed values: use the file as the set has it"
        )
