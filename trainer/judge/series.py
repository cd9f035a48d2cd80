"""Whole series looked at as the node looks at them: ordered, selected, judged fit or not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from node.decide.series_facts import SeriesFacts
from node.dicom.read import read_header
from node.domain.errors import DicomError, GeometryError
from node.domain.input_spec import InputSpec
from node.domain.study import InstanceHeader, Series, SeriesState, Verdict
from node.imaging.selection import (
    Plausibility,
    dark_count,
    lungs_close_at_both_ends,
    plausibility,
    select,
)
from trainer.cases.case import Case
from trainer.errors import PictureError
from trainer.feed.images import HOUNSFIELD

DICOM: Final = frozenset({"dicom", "dicom-labelled"})
"""Sources with headers, by which the node chooses among a study's series."""
ASSUMED_SPACING_MM: Final = 0.7
"""Where a set gives no PixelSpacing: the median of COVID-CTset's headers. Only the smallest area of dark that
a selected slice must have depends on it."""
NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When a slice from a folder arrived; nothing is decided by it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LookedSeries:
    """One series after every slice was counted."""

    name: str
    """SeriesInstanceUID, or what stands in its place."""
    study: str
    """StudyInstanceUID; the patient where studies are not known."""
    patient: str
    """`Case.group`."""
    cases: tuple[Case, ...]
    """Every slice, along the normal where positions are known, else by number."""
    kept: tuple[int, ...]
    """Indices of the slices with open lungs; all of a series that is too short to select in."""
    plausibility: Plausibility
    whole: bool
    """The lungs close at both ends."""
    facts: SeriesFacts | None
    """For the node's choice; None without headers."""

    @property
    def selected(self) -> tuple[Case, ...]:
        """The slices with open lungs."""
        return tuple(self.cases[index] for index in self.kept)

    @property
    def positive(self) -> bool:
        """Whether the set labels it as positive."""
        return any(case.positive for case in self.cases)


def in_series(case: Case) -> bool:
    """Whether slices have yet to be selected around this one."""
    return case.whole_series or case.source == "dicom"


def look_at_series(cases: Sequence[Case], spec: InputSpec) -> list[LookedSeries]:
    """Select the open-lung slices of every whole series; slices are decoded one by one and let go.

    Parameters
    ----------
    cases : sequence of Case
        Of one source; images that belong to no whole series are passed over.
    spec : InputSpec

    Returns
    -------
    list of LookedSeries
        By patient and series.

    Raises
    ------
    PictureError
        A slice cannot be read, or the model reads radiographs.
    """
    members: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        if in_series(case):
            members.setdefault((case.group, case.series or case.group), []).append(case)
    if members and spec.ct_selection is None:
        raise PictureError(f"{spec.model.name} reads {spec.modality}: it takes no series of CT slices")
    return [_look(name, members[patient, name], spec) for patient, name in sorted(members)]


def _look(name: str, members: Sequence[Case], spec: InputSpec) -> LookedSeries:
    headers = [_header(case) for case in members] if members[0].source in DICOM else []
    order, area = _order(members, headers)
    cases = tuple(members[index] for index in order)
    counts = [dark_count(HOUNSFIELD[case.source](case), spec.selection) for case in cases]
    selection = select([item.count for item in counts], spec.selection)
    too_short = len(cases) < spec.selection.minimum_slices
    whole = lungs_close_at_both_ends(selection, len(cases))
    return LookedSeries(
        name=name,
        study=headers[0].study_instance_uid if headers else members[0].group,
        patient=members[0].group,
        cases=cases,
        kept=tuple(range(len(cases))) if too_short else selection.kept,
        plausibility=plausibility(selection, counts, area, spec.selection),
        whole=whole,
        facts=_facts(headers, whole) if headers else None,
    )


def _header(case: Case) -> InstanceHeader:
    try:
        return read_header(case.image)
    except DicomError as error:
        raise PictureError(f"{case.image}: {error}") from error


def _order(members: Sequence[Case], headers: Sequence[InstanceHeader]) -> tuple[Sequence[int], float]:
    """Return the order along the normal, or by number, and the area of a pixel in mm²."""
    if not headers:
        numbers = [_number(case) for case in members]
        return sorted(range(len(members)), key=lambda index: numbers[index]), ASSUMED_SPACING_MM**2
    spacing = headers[0].frames[0].pixel_spacing if headers[0].frames else None
    rows, columns = spacing or (ASSUMED_SPACING_MM, ASSUMED_SPACING_MM)
    try:
        return _facts(headers, whole=False).volume.order, rows * columns
    except GeometryError:  # the node's choice says why such a series is not fit
        return range(len(members)), rows * columns


def _number(case: Case) -> tuple[int, str]:
    """Return the last number in a file's name, so that slice 10 comes after slice 9."""
    numbers = re.findall(r"\d+", case.image.stem)
    return int(numbers[-1]) if numbers else 0, case.image.name


def _facts(headers: Sequence[InstanceHeader], whole: bool) -> SeriesFacts:
    """Return a series from a folder as the node knows one: all there, complete by geometry or by quiet."""
    first = headers[0]
    series = Series(
        id=0,
        study_id=0,
        series_instance_uid=first.series_instance_uid,
        modality=first.modality,
        series_number=first.series_number,
        series_description=first.series_description,
        state=SeriesState.COMPLETE,
        verdict=Verdict.GEOMETRY if whole else Verdict.QUIET,
        verdict_reason="",
        instance_count=len(headers),
        first_arrival_at=NEVER,
        last_arrival_at=NEVER,
        calling_ae_title="",
        not_before=None,
    )
    return SeriesFacts(series=series, headers=tuple(headers))
