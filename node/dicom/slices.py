"""The slices of one series as the selection and the network see them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from node.dicom.codecs import Codecs
from node.dicom.decode import HounsfieldUnits, read_hounsfield
from node.dicom.pixel_file import IN_PROCESS, PixelFile
from node.domain.errors import GeometryError
from node.domain.input_spec import InputSpec
from node.domain.study import Instance, InstanceHeader
from node.domain.wording import tell
from node.imaging.geometry import DisplayOrientation, SlicePlane, display_orientation, slice_plane, stack
from node.imaging.prepare import PreparedSlice, prepare_slice

V_OFFSET = 1024
V_MAX = 4095
"""The model's representation: HU + 1024 in 12 bits, as unsigned CT with intercept -1024 stores it."""


class StoredPixels:
    """The pixel data of one instance, whose attributes are read when a slice first needs them.

    Parameters
    ----------
    path : Path
        PS3.10 file.
    codecs : Codecs, optional
        Who decodes; by default the codecs within this process, which is for files of one's own.
    """

    def __init__(self, path: Path, codecs: Codecs = IN_PROCESS) -> None:
        self.path = path
        self._codecs = codecs

    @cached_property
    def file(self) -> PixelFile:
        """Return the opened pixel data; shared by all frames of the instance."""
        return PixelFile(self.path, self._codecs)


@dataclass(frozen=True, kw_only=True)
class SliceSource:
    """One axial slice: a single-frame image, or one frame of a multi-frame one."""

    header: InstanceHeader
    frame: int
    """Frame number from 1."""
    plane: SlicePlane
    position: float
    """Along the normal of the series, in mm; grows from feet to head."""
    pixels: StoredPixels

    @property
    def path(self) -> Path:
        """Return the PS3.10 file that holds the slice."""
        return self.pixels.path

    @property
    def orientation(self) -> DisplayOrientation:
        """Return how the stored pixels are turned for display."""
        return display_orientation(self.plane)

    @property
    def pixel_spacing(self) -> tuple[float, float]:
        """Return the distance between rows and between columns of `v`, in mm.

        Raises
        ------
        GeometryError
            When PixelSpacing is absent or malformed.
        """
        spacing = self.header.frames[self.frame - 1].pixel_spacing
        if spacing is None:
            raise GeometryError(tell("geometry.no-spacing"))
        return self.orientation.spacing(spacing)

    def hounsfield(self) -> HounsfieldUnits:
        """Return Hounsfield units as stored: int16, shape (Rows, Columns), padding at -1024.

        Raises
        ------
        HounsfieldUnknown, DecodeFailed, TruncatedObject, NotDicom, UnsupportedTransferSyntax
        """
        return read_hounsfield(self.pixels.file, self.frame)

    def v(self) -> NDArray[np.uint16]:
        """Return the slice in the model's representation and in display orientation.

        Returns
        -------
        uint16 array, shape (rows, columns)
            HU + 1024, clipped to 0..4095; columns run to the patient's left, rows to the back.

        Raises
        ------
        HounsfieldUnknown, DecodeFailed, TruncatedObject, NotDicom, UnsupportedTransferSyntax
        """
        return _representation(self.orientation.apply(self.hounsfield()))

    def prepared(self, spec: InputSpec) -> PreparedSlice:
        """Return the network's input.

        Raises
        ------
        HounsfieldUnknown, DecodeFailed, TruncatedObject, NotDicom, UnsupportedTransferSyntax
        """
        return prepare_slice(self.v(), spec)

    def read(self) -> tuple[NDArray[np.uint16], str]:
        """Return `v` and `pixel_digest` of one decoding.

        Raises
        ------
        HounsfieldUnknown, DecodeFailed, TruncatedObject, NotDicom, UnsupportedTransferSyntax
        """
        units = self.hounsfield()
        return _representation(self.orientation.apply(units)), _digest(units)

    def pixel_digest(self) -> str:
        """Return the SHA-256 (hexadecimal) of shape and Hounsfield units, whatever the transfer syntax."""
        return _digest(self.hounsfield())


def _representation(units: NDArray[np.generic]) -> NDArray[np.uint16]:
    return np.clip(units.astype(np.int32) + V_OFFSET, 0, V_MAX).astype(np.uint16)


def _digest(units: HounsfieldUnits) -> str:
    state = hashlib.sha256(b"%d %d " % units.shape)
    state.update(units.astype("<i2", copy=False).tobytes())
    return state.hexdigest()


def slice_sources(
    instances: Sequence[Instance], path_of: Callable[[str], Path], codecs: Codecs
) -> list[SliceSource]:
    """Return every slice of one series, sorted along its normal from feet to head.

    Parameters
    ----------
    instances : sequence of Instance
        Of one series.
    path_of : callable
        Object key to PS3.10 file.
    codecs : Codecs
        Who decodes.

    Raises
    ------
    OrientationUnknown
        When a slice cannot be placed.
    MixedOrientation
        When the slices have no common normal.
    GeometryError
        When there is no slice, or two lie at one position.
    """
    places = [
        (instance.header, StoredPixels(path_of(instance.object_key), codecs), frame)
        for instance in instances
        for frame in range(1, instance.header.number_of_frames + 1)
        if instance.header.frames
    ]
    planes = [
        slice_plane(header.frames[frame - 1].image_position, header.frames[frame - 1].image_orientation)
        for header, _, frame in places
    ]
    volume = stack(planes)
    if volume.duplicates:
        raise GeometryError(tell("geometry.duplicates", pairs=len(volume.duplicates)))
    return [
        SliceSource(
            header=places[index][0],
            frame=places[index][2],
            plane=planes[index],
            position=position,
            pixels=places[index][1],
        )
        for index, position in zip(volume.order, volume.positions, strict=True)
    ]
