"""One radiograph as a reader and the network see it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.dicom.codecs import Codecs
from node.dicom.decode import decode_stored
from node.dicom.pixel_file import PixelFile
from node.dicom.radiograph_attributes import greyscale_of, read_attributes, view_of
from node.domain.errors import DecodeFailed
from node.domain.input_spec import InputSpec
from node.domain.radiograph import DisplayShutter, RadiographView
from node.domain.study import InstanceHeader
from node.domain.wording import tell
from node.imaging.arrays import Box
from node.imaging.frontal import frontal_orientation
from node.imaging.geometry import DisplayOrientation
from node.imaging.greyscale import grey_levels
from node.imaging.prepare import PreparedSlice, prepare_picture
from node.imaging.shutter import box_of, shown_within

MOST_PIXELS: Final = 1 << 25
"""Of one image; the largest flat detectors have about 19 million."""
LEAST_SHOWN: Final = 64
"""Rows and columns that a display shutter leaves of a chest at least; a network would answer for one pixel as
certainly."""
AS_STORED: Final = DisplayOrientation(transposed=False, rows_reversed=False, columns_reversed=False)


def read_view(path: Path) -> RadiographView:
    """Read what a stored radiograph says of itself beyond the index.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    """
    return view_of(read_attributes(path))


@dataclass(frozen=True, kw_only=True)
class RadiographSource:
    """One frontal radiograph: a single-frame grey image."""

    header: InstanceHeader
    path: Path
    """PS3.10 file."""
    view: RadiographView
    codecs: Codecs
    """Who decodes."""
    frame: int = 1

    @cached_property
    def orientation(self) -> DisplayOrientation:
        """Return how the stored pixels are turned for display; as they lie where that is not known."""
        return frontal_orientation(self.view.patient_orientation) or AS_STORED

    @property
    def pixel_spacing(self) -> tuple[float, float] | None:
        """Return the distance between rows and between columns as displayed, in mm; None where unknown."""
        spacing = self.view.pixel_spacing
        return None if spacing is None else self.orientation.spacing(spacing)

    @property
    def pixel_sides(self) -> tuple[float, float] | None:
        """Return height and width of a displayed pixel, in mm where known, else in proportion alone."""
        sides = self.view.pixel_spacing or self.view.pixel_aspect
        return None if sides is None else self.orientation.spacing(sides)

    def picture(self) -> NDArray[np.uint8]:
        """Return the image as a reader sees it: what its display shutter hides is black.

        Returns
        -------
        uint8 array, shape (rows, columns)
            Bright where dense; columns run to the patient's left, rows to the feet.

        Raises
        ------
        DecodeFailed, GreyscaleUnknown, TruncatedObject, NotDicom, UnsupportedTransferSyntax
        """
        file = PixelFile(self.path, self.codecs)
        layout = file.layout
        if layout.samples != 1 or layout.rows * layout.columns > MOST_PIXELS:
            raise DecodeFailed(
                f"{layout.rows} x {layout.columns} pixels of {layout.samples} samples are no radiograph's"
            )
        greyscale = greyscale_of(read_attributes(self.path))
        decoded = decode_stored(file, self.frame)
        padded = decoded.padded
        if self.view.shutter is not None:
            padded = padded | ~self._shown((layout.rows, layout.columns), self.view.shutter)
        try:
            grey = grey_levels(decoded.stored, padded, greyscale)
        except ValueError as error:
            raise DecodeFailed(str(error)) from error
        return np.asarray(self.orientation.apply(grey), dtype=np.uint8)

    def pixel_digest(self) -> str:
        """Return the SHA-256 (hexadecimal) of shape and grey levels, whatever the transfer syntax."""
        grey = self.picture()
        state = hashlib.sha256(b"%d %d " % grey.shape)
        state.update(grey.tobytes())
        return state.hexdigest()

    def prepared(self, spec: InputSpec) -> PreparedSlice:
        """Return the network's input: of an image with a display shutter the part that it shows.

        Pixels that are not square need no resampling before: rows and columns are each brought to the size
        of the input.

        Parameters
        ----------
        spec : InputSpec
            Of a model that reads radiographs.

        Raises
        ------
        DecodeFailed, GreyscaleUnknown, TruncatedObject, NotDicom, UnsupportedTransferSyntax
        """
        grey = self.picture()
        shutter = self.view.shutter
        if shutter is None:
            return prepare_picture(grey, spec)
        stored = (
            (grey.shape[1], grey.shape[0]) if self.orientation.transposed else (grey.shape[0], grey.shape[1])
        )
        box = box_of(np.asarray(self.orientation.apply(self._shown(stored, shutter)), dtype=np.bool_))
        if box is None or min(box[1] - box[0], box[3] - box[2]) < LEAST_SHOWN:
            raise DecodeFailed(tell("unread.shutter"))
        return _placed(prepare_picture(grey[box[0] : box[1], box[2] : box[3]], spec), box)

    def _shown(self, shape: tuple[int, int], shutter: DisplayShutter) -> NDArray[np.bool_]:
        """Return which of the stored pixels the shutter shows."""
        return shown_within(shape, shutter, self.view.pixel_spacing or self.view.pixel_aspect or (1.0, 1.0))


def _placed(prepared: PreparedSlice, box: Box) -> PreparedSlice:
    """Return what was prepared of a part of the picture, with its place in the whole."""
    first_row, last_row, first_column, last_column = prepared.box
    place = (first_row + box[0], last_row + box[0], first_column + box[2], last_column + box[2])
    return replace(prepared, box=place)
