"""Frames of a map on the slices that have none, so that viewers find a whole volume.

OHIF (3.13) lays the first frame of a map over the first slice of its series and so on, and fails where there
are fewer frames than slices; other readers ask for a grid without gaps. A frame that only fills a gap says
nothing of its slice: all of its pixels are padding (PS3.3 C.7.6.24), to which no real-world value belongs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from node.domain.preparation_spec import InputModality
from node.domain.result import SliceScore
from node.report.evidence import Evidence
from node.report.frame_place import place_of
from node.report.map_groups import MapFrame
from node.report.request import ReportRequest

PADDING: Final = -1.0
"""Float Pixel Padding Value (0028,0122). No map has it: class activation is not negative. It is a number,
since viewers take the range of the pixels by comparing them."""
BYTES_A_PIXEL: Final = 4


def padded(request: ReportRequest, frames: Sequence[MapFrame], evidence: Evidence) -> list[MapFrame]:
    """Return the frames of one map with those that only fill its gaps.

    Parameters
    ----------
    request : ReportRequest
    frames : sequence of MapFrame
        With values, all of one size and frame of reference.
    evidence : Evidence

    Returns
    -------
    list of MapFrame
        One for each slice that was looked at; the given ones alone where the map would be larger than asked
        for, or the slices do not lie in one volume of the map's own pixels.
    """
    given, slices = list(frames), request.finding.slices
    first = given[0]
    is_volume = request.finding.modality is InputModality.CT and not first.place.nominal
    if not is_volume or len(slices) * first.values.size * BYTES_A_PIXEL > request.map_series_bytes:
        return given
    present = {(frame.slice.sop_instance_uid, frame.slice.frame) for frame in given}
    missing = (item for item in slices if (item.sop_instance_uid, item.frame) not in present)
    filling = list(_filling(missing, first, evidence))
    return given if None in filling else [*given, *filter(None, filling)]


def _filling(slices: Iterator[SliceScore], like: MapFrame, evidence: Evidence) -> Iterator[MapFrame | None]:
    """Iterate over frames of padding; None for a slice on which none can lie."""
    size = (like.values.shape[0], like.values.shape[1])
    values = np.full(size, PADDING, dtype=np.float32)
    for item in slices:
        place = place_of(evidence.instance(item.sop_instance_uid), item.frame)
        same = place.frame_of_reference_uid == like.place.frame_of_reference_uid and not place.nominal
        if not same or evidence.size(item.sop_instance_uid) != size:
            yield None
        else:
            yield MapFrame(
                slice=item,
                values=values,
                place=place,
                shrunk=(1, 1),
                reference=evidence.frame(item),
                is_padding=True,
            )
