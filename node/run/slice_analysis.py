"""What was seen on a series of slices, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.domain.input_spec import WindowSpec
from node.domain.result import Finding
from node.imaging.heatmap import render
from node.imaging.prepare import windowed_by
from node.run.looking import LookedAt
from node.run.results import Picture, caption
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
        place = f"slice {index + 1} of {len(finding.slices)}, position {source.position:.1f} mm"
        rgb = render(
            windowed_by(source.v(), self.window),
            answer.cam,
            answer.box,
            source.pixel_spacing,
            caption(finding, index, image="slice", place=place),
        )
        return Picture(rgb=rgb, directions=("L", "P"))
