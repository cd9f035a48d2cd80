"""What the pipeline is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo

from node.domain.network import CapPolicy, Destination
from node.domain.preparation_spec import InputModality
from node.domain.result import Finding, ResultKind
from node.domain.wording import ENGLISH
from node.report.request import Producer
from node.run.retry import RetryPolicy


@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """What the pipeline is told."""

    minimum_slices: int | None
    """Fewest slices of a series; None: what the model asks for."""
    accept_unknown_age: bool
    """Whether a patient of unknown age is analysed."""
    cap_policy: CapPolicy
    """What to do when the best series is incomplete."""
    batch: int
    """Slices in one request to the engine."""
    decoders: int
    """Threads that decode and prepare slices."""
    max_heatmaps: int
    """Most heatmaps of one study, strongest first."""
    parametric_map: bool
    """Whether the maps are made as data, too."""
    map_series_bytes: int
    """Largest map that is filled up with padding to all slices of the series; 0: none is."""
    summary: bool
    """Whether a contact sheet is made."""
    key_objects: bool
    """Whether a Key Object Selection is made."""
    destinations: tuple[Destination, ...]
    """Where results go."""
    producer: Producer
    """What the objects say of this node."""
    retry: RetryPolicy
    zone: tzinfo = UTC
    """In which results state their times where the source names no zone."""

    def kinds_for(self, finding: Finding) -> tuple[str, ...]:
        """Return the kinds of objects asked for beside report and heatmaps; they decide a result set, too.

        How far maps are filled up is said only where it can change one.
        """
        asked = {
            ResultKind.PARAMETRIC_MAP: self.parametric_map,
            ResultKind.SUMMARY: self.summary,
            ResultKind.KEY_OBJECTS: self.key_objects,
        }
        kinds = tuple(kind.value for kind in asked if asked[kind])
        if (language := self.producer.wording.language) != ENGLISH.language:
            kinds = (*kinds, f"in {language}")
        is_volume = finding.modality is InputModality.CT and finding.positive > 0
        if is_volume and self.parametric_map and self.map_series_bytes and self.max_heatmaps:
            return (*kinds, f"maps of series up to {self.map_series_bytes}")
        return kinds
