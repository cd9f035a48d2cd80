"""DICOM slices through the node's own decoding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from node.dicom.read import read_header
from node.dicom.slices import SliceSource, StoredPixels
from node.domain.errors import DicomError, GeometryError
from node.imaging.geometry import slice_plane
from trainer.cases.case import Case
from trainer.errors import PictureError


def slice_values(case: Case) -> NDArray[np.uint16]:
    """Return one slice as HU + 1024 in display orientation, uint16, shape (rows, columns).

    Raises
    ------
    PictureError
        It cannot be decoded or placed; the message is the node's.
    """
    try:
        header = read_header(case.image)
        geometry = header.frames[0]
        plane = slice_plane(geometry.image_position, geometry.image_orientation)
        source = SliceSource(
            header=header, frame=1, plane=plane, position=plane.position[2], pixels=StoredPixels(case.image)
        )
        return source.v()
    except (DicomError, GeometryError, IndexError) as error:
        raise PictureError(f"{case.image}: {error}") from error
