"""One frame of a stored image as a picture, as its own attributes say it is to be seen (PS3.4 N.2)."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from node.dicom.codecs import Codecs, DecodedImage
from node.dicom.decode import stored_words
from node.dicom.elements import Attributes, Element, Wanted
from node.dicom.functional_groups import frames
from node.dicom.part10 import scan
from node.dicom.pixel_file import PixelFile
from node.dicom.radiograph_attributes import WANTED, RadiographTag, greyscale_of, look_up_table
from node.dicom.tags import FUNCTIONAL_GROUPS, Tag
from node.domain.errors import DecodeFailed
from node.imaging.greyscale import LookUpTable, Window
from node.imaging.viewing import Picture, shown_levels

MOST_PIXELS: Final = 1 << 25
"""Of one frame; the largest detectors have 21 million."""
MOST_COLOURED_PIXELS: Final = 1 << 24
MOST_WIDE_PIXELS: Final = 1 << 22
"""Of one frame whose pixels have more than 16 bits: each costs many times its bytes."""
GREY: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})
LUMINANCE: Final = frozenset({"YBR_FULL", "YBR_FULL_422"})
"""Full range, PS3.3 C.7.6.3.1.2; decoders give three samples a pixel of either."""
RED_GREEN_BLUE: Final = frozenset({"RGB", "YBR_RCT", "YBR_ICT"})
"""The last two are undone by the decoder of JPEG 2000 (PS3.5 section 8.2.4)."""
PALETTE: Final = "PALETTE COLOR"


class DisplayTag(IntEnum):
    """Attributes of display beyond those of radiographs, by keyword (PS3.6)."""

    RedPaletteColorLookupTableDescriptor = 0x00281101
    GreenPaletteColorLookupTableDescriptor = 0x00281102
    BluePaletteColorLookupTableDescriptor = 0x00281103
    RedPaletteColorLookupTableData = 0x00281201
    GreenPaletteColorLookupTableData = 0x00281202
    BluePaletteColorLookupTableData = 0x00281203
    FrameVOILUTSequence = 0x00289132
    RepresentativeFrameNumber = 0x00286010


PALETTES: Final = (
    (DisplayTag.RedPaletteColorLookupTableDescriptor, DisplayTag.RedPaletteColorLookupTableData),
    (DisplayTag.GreenPaletteColorLookupTableDescriptor, DisplayTag.GreenPaletteColorLookupTableData),
    (DisplayTag.BluePaletteColorLookupTableDescriptor, DisplayTag.BluePaletteColorLookupTableData),
)
DISPLAY: Final = Wanted(
    values=WANTED.values | frozenset(DisplayTag) - {DisplayTag.FrameVOILUTSequence} | {Tag.Rows},
    sequences=WANTED.sequences | FUNCTIONAL_GROUPS | {DisplayTag.FrameVOILUTSequence},
    largest_value=WANTED.largest_value,
)


class DisplayedImage:
    """One stored image whose frames can be looked at.

    Parameters
    ----------
    path : Path
        PS3.10 file.
    codecs : Codecs
        Who decodes.

    Raises
    ------
    NotDicom, TruncatedObject, ObjectTooLarge
    DecodeFailed
        When the object is no image, or its layout is malformed or beyond the limits.
    UnsupportedTransferSyntax
    """

    def __init__(self, path: Path, codecs: Codecs) -> None:
        self._file = PixelFile(path, codecs)
        layout = self._file.layout
        most = MOST_WIDE_PIXELS if layout.bits_allocated > 16 else MOST_PIXELS
        if self.pixels > (min(most, MOST_COLOURED_PIXELS) if layout.samples > 1 else most):
            raise DecodeFailed(f"{layout.rows} x {layout.columns} pixels are too many for a picture")
        with path.open("rb") as stream:
            self._attributes = scan(stream, DISPLAY).attributes

    @property
    def pixels(self) -> int:
        """Return how many pixels a frame has."""
        return self._file.layout.rows * self._file.layout.columns

    @property
    def number_of_frames(self) -> int:
        """Return how many frames there are."""
        return self._file.layout.number_of_frames

    @property
    def representative(self) -> int:
        """Return the number of the frame that stands for all: the one that the object names, or the first."""
        named = self._attributes.unsigned(DisplayTag.RepresentativeFrameNumber) or 1
        return named if named <= self.number_of_frames else 1

    def picture(self, frame: int, window: Window | None = None) -> Picture:
        """Return a frame as it is to be seen.

        Parameters
        ----------
        frame : int
            Number from 1.
        window : Window, optional
            In place of the window or table that the object names; colours have none.

        Returns
        -------
        uint8 array, shape (rows, columns) or (rows, columns, 3)
            Grey levels, or red, green and blue.

        Raises
        ------
        DecodeFailed, GreyscaleUnknown, TruncatedObject
        """
        decoded = self._file.image(frame)
        if decoded.words.ndim == 3:
            return self._colours(decoded)
        if self._file.layout.photometric_interpretation == PALETTE:
            return self._palette(decoded)
        if decoded.photometric_interpretation not in GREY:
            raise DecodeFailed("the pixels are neither grey nor of colours that are shown here")
        return self._grey(decoded, frame, window)

    def _grey(self, decoded: DecodedImage, frame: int, window: Window | None) -> Picture:
        greyscale = greyscale_of(self._of_frame(frame))
        voi = window if window is not None else greyscale.voi
        ranged = _words_between(decoded.words, signed=self._file.layout.signed)
        table, places = (decoded.words, None) if ranged is None else ranged
        known = stored_words(self._file, table)
        shown = ~known.padded
        if places is not None and voi is None:
            present = np.zeros(len(table), dtype=np.bool_)
            present[places] = True
            shown &= present
        try:
            levels = shown_levels(
                known.stored,
                shown,
                known.padded,
                type(greyscale)(modality=greyscale.modality, voi=voi, inverted=greyscale.inverted),
            )
        except ValueError as error:
            raise DecodeFailed(str(error)) from error
        return levels if places is None else np.asarray(np.take(levels, places), dtype=np.uint8)

    def _of_frame(self, frame: int) -> Attributes:
        """Return the attributes of a frame: those of its functional groups, and those of the object."""
        groups = list(frames(self._attributes, self.number_of_frames))
        elements = dict(self._attributes.elements)
        if frame <= len(groups):
            for sequence in (Tag.PixelValueTransformationSequence, DisplayTag.FrameVOILUTSequence):
                holder = groups[frame - 1].holder(sequence)
                elements |= holder.elements if holder is not None else {}
        return Attributes(elements, self._attributes.encoding, self._attributes.character_set)

    def _palette(self, decoded: DecodedImage) -> Picture:
        tables = [self._table(descriptor, data) for descriptor, data in PALETTES]
        words = _all_words(decoded.words)
        if words is None or self.pixels > MOST_COLOURED_PIXELS:
            raise DecodeFailed(f"{self.pixels} pixels of {decoded.words.itemsize} bytes have no palette")
        stored = stored_words(self._file, words).stored.astype(np.float64)
        planes = [table(stored) / ((1 << table.bits) - 1) for table in tables]
        colours = np.rint(np.stack(planes, axis=-1) * 255).astype(np.uint8)
        return np.asarray(colours[_places(decoded.words)], dtype=np.uint8)

    def _table(self, descriptor: int, data: int) -> LookUpTable:
        found = self._attributes.elements
        empty = Element("", b"")
        item = {
            int(RadiographTag.LUTDescriptor): found.get(descriptor, empty),
            int(RadiographTag.LUTData): found.get(data, empty),
        }
        encoding, character_set = self._attributes.encoding, self._attributes.character_set
        table = look_up_table(Attributes(item, encoding, character_set), signed=self._file.layout.signed)
        if table is None:
            raise DecodeFailed("a palette colour table is absent or malformed (PS3.3 C.7.6.3.1.5)")
        return table

    def _colours(self, decoded: DecodedImage) -> Picture:
        layout = self._file.layout
        words = decoded.words
        if words.shape[2] != 3 or layout.signed or words.dtype.itemsize > 2:
            raise DecodeFailed(f"{words.shape[2]} samples of {layout.bits_stored} bits are no colours")
        if words.dtype.itemsize == 2:
            words = words >> max(layout.bits_stored - 8, 0)
        picture = np.ascontiguousarray(words, dtype=np.uint8)
        if decoded.photometric_interpretation in LUMINANCE:
            blue_last = np.ascontiguousarray(picture[..., [0, 2, 1]])
            return np.asarray(cv2.cvtColor(blue_last, cv2.COLOR_YCrCb2RGB), dtype=np.uint8)
        if decoded.photometric_interpretation in RED_GREEN_BLUE:
            return picture
        raise DecodeFailed("the pixels are of colours that are not shown here")


def _all_words(
    words: NDArray[np.unsignedinteger] | NDArray[np.signedinteger],
) -> NDArray[np.unsignedinteger] | None:
    """Return every word that a pixel may be; None where there are too many of them."""
    size = words.dtype.itemsize
    return None if size > 2 else np.arange(1 << (8 * size), dtype=f"u{size}")


def _words_between(
    words: NDArray[np.unsignedinteger] | NDArray[np.signedinteger], *, signed: bool
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]] | None:
    """Return every word from the least to the greatest, and where each pixel's stands among them.

    A slice of a CT has a few thousand of the 65,536 that its pixels may be. None where there are too many.
    """
    size = words.dtype.itemsize
    if size > 2:
        return None
    numbers = words.view(f"{'i' if signed else 'u'}{size}")
    between = np.arange(int(numbers.min()), int(numbers.max()) + 1).astype(numbers.dtype).view(f"u{size}")
    return between, words.view(f"u{size}") - between[0]  # modulo the words that there are


def _places(words: NDArray[np.unsignedinteger] | NDArray[np.signedinteger]) -> NDArray[np.unsignedinteger]:
    return words.view(f"u{words.dtype.itemsize}")
