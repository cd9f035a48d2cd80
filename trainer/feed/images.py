"""The image of a case, whatever it is stored as, on its way into the node's preparation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.input_spec import InputKind, InputSpec
from node.imaging.prepare import frame, to_tensor, windowed
from node.imaging.selection import dark_count, select
from trainer.cases.case import Case
from trainer.errors import EmptyClass, PictureError
from trainer.feed.pictures import grey_picture
from trainer.feed.slices import slice_values
from trainer.feed.tiff_slices import tiff_slice

Image = NDArray[np.uint8] | NDArray[np.uint16]
THREADS: Final = 4
"""Slices of a whole series that are read side by side."""

HOUNSFIELD: Final[Mapping[str, Callable[[Case], NDArray[np.uint16]]]] = MappingProxyType(
    {
        "dicom": slice_values,
        "dicom-labelled": slice_values,
        "covid-ctset": lambda case: tiff_slice(case.image),
    }
)
"""Source whose images hold HU -> how they are read as HU + 1024. All others are pictures of 8 bits."""


def image_of(case: Case, spec: InputSpec) -> Image:
    """Read an image as the model's framing takes it.

    Returns
    -------
    uint8 or uint16 array, shape (rows, columns)
        A picture as it is, a CT slice in the model's window, or HU + 1024 for a model that reads these.

    Raises
    ------
    PictureError
        It cannot be read, or the model reads HU and the picture has none.
    """
    raw = spec.input.kind is InputKind.CTSET_RAW
    read = HOUNSFIELD.get(case.source)
    if read is None:
        if raw:
            raise PictureError(
                f"{spec.model.name} reads HU + 1024, which the pictures of {case.source} do not have; "
                "use a data set of CT slices"
            )
        return grey_picture(case.image)
    values = read(case)
    if raw:
        return values
    if spec.input.window is None:
        raise PictureError(f"{spec.model.name} has no CT window; it reads no slices of {case.source}")
    return np.asarray(windowed(values, spec), dtype=np.uint8)


def framed_image(case: Case, spec: InputSpec) -> Image:
    """Return the part of an image that the network sees, not yet resized, shape (rows, columns).

    Raises
    ------
    PictureError
    """
    framed = frame(image_of(case, spec), spec).image
    return framed if framed.flags.c_contiguous else framed.copy()


def prepared_image(case: Case, spec: InputSpec) -> NDArray[np.float32]:
    """Return an image as the network's input, shape (channels, rows, columns).

    Raises
    ------
    PictureError
    """
    return np.asarray(to_tensor(framed_image(case, spec), spec), dtype=np.float32)


def open_lung_cases(cases: Sequence[Case], spec: InputSpec) -> list[Case]:
    """Leave out the slices of whole series on which the lungs are not open, by the model's selection.

    A series with fewer slices than the selection's minimum stays as it is: nothing can be selected in it.
    Images that were chosen already stay.

    Raises
    ------
    PictureError
        A slice cannot be read, or the model selects no slices since it reads radiographs.
    EmptyClass
        No slice of any series is left.
    """
    series: dict[tuple[str, str | None], list[Case]] = {}
    for case in cases:
        if case.whole_series:
            series.setdefault((case.group, case.series), []).append(case)
    if series and spec.ct_selection is None:
        raise PictureError(f"{spec.model.name} reads {spec.modality}: it takes no series of CT slices")
    dropped = {case.image for members in series.values() for case in _closed(members, spec)}
    left = [case for case in cases if case.image not in dropped]
    if cases and not left:
        raise EmptyClass("no slice with open lungs was found in any series")
    return left


def _closed(members: list[Case], spec: InputSpec) -> list[Case]:
    if len(members) < spec.selection.minimum_slices:
        return []
    with ThreadPoolExecutor(THREADS) as pool:
        counts = list(pool.map(partial(_dark, spec=spec), members))
    kept = set(select(counts, spec.selection).kept)
    return [case for index, case in enumerate(members) if index not in kept]


def _dark(case: Case, spec: InputSpec) -> int:
    return dark_count(HOUNSFIELD[case.source](case), spec.selection).count
