"""DICOM slices through the node's own decoding, selection and preparation; for evaluation only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from node.dicom.read import read_header
from node.dicom.slices import SliceSource, StoredPixels
from node.domain.errors import DicomError, GeometryError
from node.domain.input_spec import InputSpec
from node.imaging.geometry import slice_plane
from node.imaging.prepare import prepare_slice
from node.imaging.selection import dark_count, select
from trainer.cases.case import Case
from trainer.errors import EmptyClass, PictureError


def open_lung_tensors(cases: Sequence[Case], spec: InputSpec) -> tuple[list[Case], NDArray[np.float32]]:
    """Select the open-lung slices of every series and prepare them, exactly as the node does.

    A series with fewer slices than the specification's minimum is taken whole: nothing can be selected in it.

    Parameters
    ----------
    cases : sequence of Case
        Of kind ``dicom``, one a slice.
    spec : InputSpec

    Returns
    -------
    cases : list of Case
        The selected ones.
    tensors : float32 array, shape (cases, channels, rows, columns)

    Raises
    ------
    PictureError
        A slice cannot be decoded or placed.
    EmptyClass
        No slice was selected.
    """
    series: dict[str, list[Case]] = {}
    for case in cases:
        series.setdefault(case.group, []).append(case)
    selected = [case for members in series.values() for case in _selected(members, spec)]
    if not selected:
        raise EmptyClass("no slice with open lungs was found in the DICOM folder")
    return selected, np.stack([prepare_slice(slice_values(case), spec).tensor for case in selected])


def _selected(members: list[Case], spec: InputSpec) -> Iterator[Case]:
    if len(members) < spec.selection.minimum_slices:
        yield from members
        return
    counts = [dark_count(slice_values(case), spec.selection).count for case in members]
    for index in select(counts, spec.selection).kept:
        yield members[index]


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
