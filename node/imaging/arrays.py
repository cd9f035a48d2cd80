"""Names for the array types that the imaging functions take and give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Stored = NDArray[np.uint16]
"""HU + 1024, clipped to 0..4095."""
Grey = NDArray[np.uint8]
"""8-bit grey values or, with a third axis of 3, red, green and blue."""
Mask = NDArray[np.uint8]
"""0 and 1."""
Real = NDArray[np.float32]
Hounsfield = NDArray[np.int16] | NDArray[np.int32]

Box = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""
