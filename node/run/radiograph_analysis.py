"""What was seen on a series of radiographs, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from node.decide.radiographs import VIEW_NAMES, View, view_of
from node.dicom.radiograph import RadiographSource
from node.domain.result import Finding
from node.domain.study import InstanceHeader
from node.imaging.arrays import Box, Grey
from node.imaging.frontal import frontal_orientation
from node.imaging.heatmap import render
from node.imaging.prepare import resized
from node.run.results import Picture, caption
from node.run.scoring import Scored

LARGEST_SIDE: Final = 1024
"""Pixels of the longer side of the radiograph in a heatmap; a map of few cells needs no more."""
UPRIGHT: Final = ("L", "F")


@dataclass(frozen=True, kw_only=True)
class RadiographAnalysis:
    """What was seen on a series of radiographs."""

    headers: tuple[InstanceHeader, ...]
    """Of every image of the series, by InstanceNumber."""
    sources: tuple[RadiographSource, ...]
    """Those that are fit for the model, in that order."""
    pixel_digests: tuple[str, ...]
    """One for each source."""
    scored: tuple[Scored, ...]
    """One for each source."""

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """For each image: SOPInstanceUID with frame number, and the digest of its pixels where scored."""
        digests = {
            source.header.sop_instance_uid: digest
            for source, digest in zip(self.sources, self.pixel_digests, strict=True)
        }
        uids = [header.sop_instance_uid for header in self.headers]
        return tuple((f"{uid}:1", digests.get(uid, "")) for uid in uids)

    def picture(self, finding: Finding, index: int) -> Picture:
        """Render the heatmap of a scored radiograph.

        Raises
        ------
        DicomError
            The image cannot be decoded again.
        """
        uid = finding.slices[index].sop_instance_uid
        place = next(i for i, item in enumerate(self.sources) if item.header.sop_instance_uid == uid)
        source, answer = self.sources[place], self.scored[place]
        view = VIEW_NAMES[view_of(source.header, source.view) or View.NOT_NAMED]
        grey, box, spacing = _reduced(source, answer.box)
        rgb = render(
            grey,
            answer.cam,
            box,
            spacing,
            caption(
                finding, index, image="radiograph", place=f"image {place + 1} of {len(self.sources)}, {view}"
            ),
        )
        known = frontal_orientation(source.view.patient_orientation) is not None
        return Picture(rgb=rgb, directions=UPRIGHT if known else ())


def _reduced(source: RadiographSource, box: Box) -> tuple[Grey, Box, tuple[float, float] | None]:
    """Return a radiograph small enough for a heatmap, with the box and the spacing that belong to it."""
    grey = source.picture()
    rows, columns = grey.shape
    factor = min(1.0, LARGEST_SIDE / max(rows, columns))
    size = (max(1, round(rows * factor)), max(1, round(columns * factor)))
    small = np.rint(resized(grey.astype(np.float32), size)).astype(np.uint8)
    down, across = size[0] / rows, size[1] / columns
    scaled = (round(box[0] * down), round(box[1] * down), round(box[2] * across), round(box[3] * across))
    spacing = source.pixel_spacing
    return small, scaled, None if spacing is None else (spacing[0] / down, spacing[1] / across)
