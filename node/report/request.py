"""What the builder is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from node.domain.result import Finding, ResultKind, ResultVersion, SliceScore
from node.domain.wording import ENGLISH, Wording
from node.report.content import Reference


@dataclass(frozen=True, kw_only=True)
class Producer:
    """The equipment that makes the objects (PS3.3 C.7.5.1): this installation of the node."""

    manufacturer: str
    software_version: str
    serial_number: str
    station_ae_title: str
    """AE title of the node; written as StationName (0008,1010)."""
    wording: Wording = field(default=ENGLISH, repr=False)
    """The language in which the objects are written; not named in the recipe where it is English."""


@dataclass(frozen=True, kw_only=True)
class HeatmapPicture:
    """One rendered heatmap."""

    slice: SliceScore
    """The slice or radiograph under it."""
    rgb: NDArray[np.uint8]
    """Array of shape (rows, columns, 3); the patient's left is on the right, anterior or the head above."""
    rank: int
    """From 1, the strongest slice first."""
    directions: tuple[str, ...] = ("L", "P")
    """PatientOrientation (0020,0020) of the picture: ("L", "F") for a radiograph, empty where unknown."""


@dataclass(frozen=True, kw_only=True)
class MapSlice:
    """The map of one slice as data."""

    slice: SliceScore
    """The slice or radiograph under it."""
    values: NDArray[np.float32]
    """Array of shape (rows, columns) of the source as it is stored, not turned upright; neither negative nor
    normalised, 0 where the network did not look. That of a slice has the source's own pixel matrix, that of a
    radiograph may have fewer pixels over the same area."""
    rank: int
    """From 1, the strongest slice first; the same as its heatmap's."""


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """All that one result set is made of."""

    finding: Finding
    evidence: Sequence[Dataset]
    """Source instances without pixel data: the whole of the screened series, one of every other series."""
    heatmaps: Sequence[HeatmapPicture]
    maps: Sequence[MapSlice]
    """Of the slices that have heatmaps; empty where none are asked for."""
    summary: NDArray[np.uint8] | None
    """The contact sheet, array of shape (rows, columns, 3); None where none is asked for."""
    key_objects: bool
    """Whether a Key Object Selection is asked for; it is made only where slices are positive."""
    version: int
    """From 1."""
    recipe: str
    """From `node.report.identity.recipe`."""
    predecessor: ResultVersion | None
    """The version that this one replaces."""
    made_at: datetime
    """Aware. Its own zone is the one of ContentDate and ContentTime where the source images carry no
    TimezoneOffsetFromUTC (0008,0201)."""
    producer: Producer
    map_series_bytes: int = 0
    """Largest size of a map that has frames of padding on the slices without values; see
    `node.report.map_padding`."""


@dataclass(frozen=True, kw_only=True)
class BuiltObject:
    """One object that was made."""

    kind: ResultKind
    index: int
    """As in `node.domain.result.ResultObject`."""
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    data: bytes
    """A PS3.10 file."""

    def reference(self, frame: int | None = None) -> Reference:
        """Return a reference to the object, or to one frame of it, counted from 1."""
        return Reference(
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            frames=() if frame is None else (frame,),
        )
