"""What was seen on a series of radiographs, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from node.decide.radiographs import VIEW_NAMES, View, view_of
from node.decide.shown import on_sheet
from node.dicom.pixel_file import PixelFile
from node.dicom.radiograph import RadiographSource
from node.domain.result import Finding
from node.domain.study import InstanceHeader
from node.domain.wording import Wording
from node.imaging.arrays import Box, Grey, Real
from node.imaging.contact_sheet import ContactSheet, SheetTile, contact_sheet
from node.imaging.frontal import frontal_orientation
from node.imaging.heatmap import cell_mm, mapped, place_cam, render, squared
from node.imaging.prepare import resized
from node.report.picture_text import (
    NO_SIDES,
    heatmap_caption,
    is_flagged,
    map_strength,
    radiograph_place,
    sheet_text,
    sides,
    tile_label,
)
from node.run.results import Picture
from node.run.scoring import Scored

LARGEST_SIDE: Final = 1024
"""Pixels of the longer side of the radiograph in a heatmap; a map of few cells needs no more. Where pixels
are not square the picture is larger by their proportions."""
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
    words: Wording
    """The language of the pictures."""

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
        place = self._place(finding, index)
        source, answer = self.sources[place], self.scored[place]
        grey, box, pixel = _reduced(source, answer.box)
        grid = (answer.cam.shape[0], answer.cam.shape[1])
        known = _is_upright(source)
        caption = heatmap_caption(
            self.words,
            finding,
            index,
            place=self._named(place),
            grid=grid,
            cell_mm=None if pixel is None or source.pixel_spacing is None else cell_mm(box, grid, pixel),
            sides=sides(self.words) if known else NO_SIDES,
        )
        rgb = render(grey, answer.cam, box, caption, pixel)
        return Picture(rgb=rgb, directions=UPRIGHT if known else ())

    def activation(self, finding: Finding, index: int) -> Real:
        """Return the class activation map of a scored radiograph, laid over its pixels as they are stored.

        It has as many pixels as the heatmap shows of the radiograph.

        Raises
        ------
        DicomError
            The file cannot be read again.
        """
        place = self._place(finding, index)
        source, answer = self.sources[place], self.scored[place]
        layout, turned = PixelFile(source.path).layout, source.orientation
        stored = (layout.columns, layout.rows) if turned.transposed else (layout.rows, layout.columns)
        shape, box = _fitted(stored, answer.box)
        return np.asarray(turned.restore(place_cam(answer.cam, box, shape)), dtype=np.float32)

    def sheet(self, finding: Finding) -> Grey | None:
        """Return the contact sheet.

        Raises
        ------
        DicomError
            An image cannot be decoded again.
        """
        shown = on_sheet(finding)
        tiles = [self._tile(finding, index, rank) for rank, index in enumerate(shown, start=1)]
        return contact_sheet(
            ContactSheet(
                text=sheet_text(self.words, finding, len(shown)),
                flagged=is_flagged(finding),
                scout=None,
                tiles=tiles,
            )
        )

    def _tile(self, finding: Finding, index: int, rank: int) -> SheetTile:
        place = self._place(finding, index)
        source, answer, item = self.sources[place], self.scored[place], finding.slices[index]
        grey, box, pixel = _reduced(source, answer.box)
        coloured = mapped(grey, answer.cam, box, map_strength(finding, index)) if item.positive else None
        return SheetTile(
            picture=squared(grey if coloured is None else coloured, pixel),
            label=tile_label(self.words, finding, index, rank, is_mapped=coloured is not None),
            detail=self._named(place),
            positive=item.positive,
            mapped=coloured is not None,
            sides=sides(self.words) if _is_upright(source) else NO_SIDES,
        )

    def _place(self, finding: Finding, index: int) -> int:
        """Return where a scored image of the finding stands among the sources."""
        uid = finding.slices[index].sop_instance_uid
        return next(i for i, item in enumerate(self.sources) if item.header.sop_instance_uid == uid)

    def _named(self, place: int) -> str:
        source = self.sources[place]
        view = view_of(source.header, source.view)
        name = VIEW_NAMES[View.NOT_NAMED if view is None else view]
        return radiograph_place(self.words, place + 1, len(self.sources), name)


def _is_upright(source: RadiographSource) -> bool:
    """Whether the patient's sides are known: then the image was set upright."""
    return frontal_orientation(source.view.patient_orientation) is not None


def _reduced(source: RadiographSource, box: Box) -> tuple[Grey, Box, tuple[float, float] | None]:
    """Return a radiograph small enough for a heatmap, with its box and the height and width of a pixel."""
    grey = source.picture()
    rows, columns = grey.shape
    size, scaled = _fitted((rows, columns), box)
    small = np.rint(resized(grey.astype(np.float32), size)).astype(np.uint8)
    pixel = source.pixel_sides
    return (
        small,
        scaled,
        None if pixel is None else (pixel[0] * rows / size[0], pixel[1] * columns / size[1]),
    )


def _fitted(shape: tuple[int, int], box: Box) -> tuple[tuple[int, int], Box]:
    """Return the size of a radiograph (rows, columns) in a heatmap, and the box that belongs to it."""
    rows, columns = shape
    factor = min(1.0, LARGEST_SIDE / max(rows, columns))
    size = (max(1, round(rows * factor)), max(1, round(columns * factor)))
    down, across = size[0] / rows, size[1] / columns
    return size, (round(box[0] * down), round(box[1] * down), round(box[2] * across), round(box[3] * across))
