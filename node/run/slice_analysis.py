"""What was seen on a series of slices, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from node.decide.shown import on_sheet
from node.domain.input_spec import WindowSpec
from node.domain.result import Finding
from node.domain.wording import Wording
from node.imaging.arrays import Grey, Real
from node.imaging.contact_sheet import ContactSheet, SheetTile, around_body, contact_sheet
from node.imaging.heatmap import cell_mm, mapped, place_cam, render, squared
from node.imaging.prepare import windowed_by
from node.imaging.scout import Level, Scout
from node.report.picture_text import (
    heatmap_caption,
    is_flagged,
    map_strength,
    scout_text,
    sheet_text,
    sides,
    slice_place,
    tile_label,
)
from node.run.looking import LookedAt
from node.run.results import Picture
from node.run.scoring import Scored

DISPLAY_WINDOW = WindowSpec(center=-600, width=1500)
"""Grey levels under the heatmap of a model that has no window of its own: the usual lung window."""


@dataclass(frozen=True, kw_only=True)
class SliceAnalysis:
    """What was seen on a series of slices."""

    looked: LookedAt
    scored: Sequence[Scored]
    """One for each kept slice; empty when the selection is not plausible."""
    window: WindowSpec
    """Under the heatmaps."""
    body_above_hu: int
    """Tissue is above this."""
    words: Wording
    """The language of the pictures."""

    @property
    def inputs(self) -> tuple[tuple[str, str], ...]:
        """For each slice: SOPInstanceUID with frame number, and the digest of its pixels."""
        return tuple(
            (f"{source.header.sop_instance_uid}:{source.frame}", digest)
            for source, digest in zip(self.looked.sources, self.looked.pixel_digests, strict=True)
        )

    def picture(self, finding: Finding, index: int) -> Picture:
        """Render the heatmap of a scored slice."""
        source = self.looked.sources[index]
        answer = self.scored[self.looked.kept.index(index)]
        grid = (answer.cam.shape[0], answer.cam.shape[1])
        caption = heatmap_caption(
            self.words,
            finding,
            index,
            place=slice_place(self.words, finding, index, says_from_where=True),
            grid=grid,
            cell_mm=cell_mm(answer.box, grid, source.pixel_spacing),
            sides=sides(self.words),
        )
        grey = windowed_by(source.v(), self.window)
        rgb = render(grey, answer.cam, answer.box, caption, source.pixel_spacing)
        return Picture(rgb=rgb, directions=("L", "P"))

    def activation(self, finding: Finding, index: int) -> Real:  # noqa: ARG002 -- as `Analysis` has it
        """Return the class activation map of a scored slice, laid over its stored pixels."""
        source = self.looked.sources[index]
        answer = self.scored[self.looked.kept.index(index)]
        layout, turned = source.pixels.file.layout, source.orientation
        shape = (layout.columns, layout.rows) if turned.transposed else (layout.rows, layout.columns)
        return np.asarray(turned.restore(place_cam(answer.cam, answer.box, shape)), dtype=np.float32)

    def sheet(self, finding: Finding) -> Grey | None:
        """Return the contact sheet.

        Raises
        ------
        DicomError
            A slice cannot be decoded again.
        """
        shown = on_sheet(finding)
        tiles = [self._tile(finding, index, rank) for rank, index in enumerate(shown, start=1)]
        return contact_sheet(
            ContactSheet(
                text=sheet_text(self.words, finding, len(shown)),
                flagged=is_flagged(finding),
                scout=self._scout(finding, shown) if len(finding.slices) > 1 else None,
                tiles=tiles,
            )
        )

    def _tile(self, finding: Finding, index: int, rank: int) -> SheetTile:
        item, source = finding.slices[index], self.looked.sources[index]
        v = source.v()
        grey, coloured = windowed_by(v, self.window), None
        if item.positive:
            answer = self.scored[self.looked.kept.index(index)]
            coloured = mapped(grey, answer.cam, answer.box, map_strength(finding, index))
        top, bottom, left, right = around_body(v, self.body_above_hu)
        picture = (grey if coloured is None else coloured)[top:bottom, left:right]
        return SheetTile(
            picture=squared(picture, source.pixel_spacing),
            label=tile_label(self.words, finding, index, rank, is_mapped=coloured is not None),
            detail=slice_place(self.words, finding, index),
            positive=item.positive,
            mapped=coloured is not None,
            sides=sides(self.words),
        )

    def _scout(self, finding: Finding, shown: Sequence[int]) -> Scout:
        """Return the series along z: with its scores, or with what the slices were selected by."""
        tags = {index: str(rank) for rank, index in enumerate(shown, start=1)}
        scored, point = bool(finding.scored), finding.operating_point
        highest = 1.0 if scored else float(max(1, *(item.dark_count for item in finding.slices)))
        threshold = None if point is None else point.slice_threshold
        return Scout(
            levels=[
                Level(
                    position=item.position,
                    profile=profile,
                    value=item.probability if scored else float(item.dark_count),
                    selected=item.selected,
                    positive=item.positive,
                    tag=tags.get(index, ""),
                )
                for index, (item, profile) in enumerate(
                    zip(finding.slices, self.looked.profiles, strict=True)
                )
            ],
            column_mm=self.looked.sources[0].pixel_spacing[1],
            threshold=threshold if scored else float(self.looked.threshold),
            highest=highest,
            text=scout_text(self.words, finding),
        )
