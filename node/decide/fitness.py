"""Why a series is not fit for the model: one question after another, the plainest first.

Whatever would have to be assumed (the orientation, the rescale, a slice that is missing) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from node.decide.body_part import other_body_part
from node.decide.scope import out_of_scope
from node.decide.series_facts import CT_SOP_CLASSES, Criteria, SeriesFacts
from node.domain.errors import GeometryError
from node.domain.network import CapPolicy
from node.domain.study import SeriesState
from node.domain.wording import reason_of, tell
from node.imaging.geometry import odd_ones

LOCALIZERS = re.compile(r"\b(LOCALI[SZ]ER|TOPOGRAM|SCOUT|SURVIEW|SCANOGRAM|SCANO)\b")
"""Names that manufacturers give to the overview image, in SeriesDescription."""
REFORMATS = frozenset({"MPR", "MIP", "MINIP", "CPR", "VRT", "SSD", "PROJECTION IMAGE", "VOLUME RENDERED"})
"""Values of ImageType from the third on that name a reformat (PS3.3 C.8.16.1.3 and common practice)."""
ATTENUATION = re.compile(r"ATTENUATION|\bCT ?AC\b|\bAC ?CT\b|\bAC[_-]CT\b|\bCT[_-]AC\b|\bCTAC\b")
GANTRY_TILT_DEGREES = 0.5
"""Less is rounding; the node does not resample sheared volumes."""
HOUNSFIELD_BITS = 16
"""CT images have 16 bits allocated (PS3.3 C.8.2.1.1.4); 8 bits are a screen copy."""

Question = Callable[[SeriesFacts, Criteria], str | None]


def unfit(facts: SeriesFacts, criteria: Criteria) -> str | None:
    """Return why a series is not fit, a part of a sentence; None when it is fit.

    Parameters
    ----------
    facts : SeriesFacts
    criteria : Criteria
    """
    for question in QUESTIONS:
        reason = question(facts, criteria)
        if reason is not None:
            return reason
    return None


def _not_ct(facts: SeriesFacts, _: Criteria) -> str | None:
    if not facts.headers:
        return tell("unfit.nothing-stored")
    if facts.first.modality != "CT":
        modality = facts.first.modality
        return tell("unfit.modality", modality=modality) if modality else tell("unfit.modality-unknown")
    if any(header.sop_class_uid not in CT_SOP_CLASSES for header in facts.headers):
        return tell("unfit.not-all-ct")
    return None


def _copy(facts: SeriesFacts, _: Criteria) -> str | None:
    if any(header.samples_per_pixel not in {1, None} for header in facts.headers):
        return tell("unfit.colour")
    if any(header.bits_allocated not in {HOUNSFIELD_BITS, None} for header in facts.headers):
        return tell("unfit.bits", bits=facts.first.bits_allocated)
    return None


def _localizer(facts: SeriesFacts, _: Criteria) -> str | None:
    if any("LOCALIZER" in map(str.upper, header.image_type) for header in facts.headers):
        return tell("unfit.localizer")
    if LOCALIZERS.search(facts.first.series_description.upper()):
        return tell("unfit.localizer-described")
    return None


def _derived(facts: SeriesFacts, _: Criteria) -> str | None:
    for header in facts.headers:
        values = tuple(value.upper() for value in header.image_type)
        if values[:2] == ("DERIVED", "SECONDARY"):
            return tell("unfit.derived")
        if REFORMATS.intersection(values[2:]):
            return tell("unfit.reformatted")
    if ATTENUATION.search(facts.first.series_description.upper()):
        return tell("unfit.attenuation")
    return None


def _other_part(facts: SeriesFacts, _: Criteria) -> str | None:
    part = other_body_part(facts.first)
    return tell("unfit.body-part", part=part) if part is not None else None


def still_open(facts: SeriesFacts, criteria: Criteria) -> str | None:
    """Return why a series must not be looked at yet or as it is, None when it may be."""
    series = facts.series
    if series.state is SeriesState.RECEIVING:
        return tell("unfit.receiving")
    if series.state is SeriesState.INCOMPLETE and criteria.cap_policy is CapPolicy.SKIP_AND_NOTIFY:
        return tell("unfit.incomplete", reason=series.verdict_reason or tell("unfit.no-evidence"))
    return None


def _no_plane(facts: SeriesFacts, _: Criteria) -> str | None:
    if len(facts.frames) != facts.slice_count:
        return tell("unfit.groups")
    try:
        planes = facts.planes
    except GeometryError as error:
        return tell("unfit.orientation", reason=reason_of(error))
    upright = sum(not plane.axial for plane in planes)
    return tell("unfit.not-axial", count=upright, slices=len(planes)) if upright else None


def _too_few(facts: SeriesFacts, criteria: Criteria) -> str | None:
    if facts.slice_count < criteria.minimum_slices:
        return tell("unfit.too-few", count=facts.slice_count, needed=criteria.minimum_slices)
    return None


def _mixed(facts: SeriesFacts, _: Criteria) -> str | None:
    odd = odd_ones(facts.planes)
    if odd:
        return tell("unfit.mixed-orientation", count=len(odd), slices=facts.slice_count)
    matrices = {(header.rows, header.columns) for header in facts.headers}
    if len(matrices) > 1:
        sizes = ", ".join(sorted(f"{rows} x {columns}" for rows, columns in matrices))
        return tell("unfit.mixed-matrix", matrices=sizes)
    spacings = {frame.pixel_spacing for frame in facts.frames}
    if None in spacings:
        return tell("unfit.spacing")
    if len(spacings) > 1:
        return tell("unfit.mixed-spacing", count=len(spacings))
    if len({header.frame_of_reference_uid for header in facts.headers}) > 1:
        return tell("unfit.mixed-frames-of-reference")
    return None


def _not_hounsfield(facts: SeriesFacts, _: Criteria) -> str | None:
    unknown = sum(not header.rescale_known for header in facts.headers)
    if unknown:
        return tell("unfit.rescale", count=unknown, images=len(facts.headers))
    return None


def _tilted(facts: SeriesFacts, _: Criteria) -> str | None:
    tilts = [abs(header.gantry_tilt) for header in facts.headers if header.gantry_tilt is not None]
    tilt = max(tilts, default=0.0)
    if tilt > GANTRY_TILT_DEGREES:
        return tell("unfit.tilt", degrees=tilt)
    if facts.volume.sheared:
        return tell("unfit.sheared", degrees=facts.volume.tilt_degrees)
    return None


def _not_uniform(facts: SeriesFacts, _: Criteria) -> str | None:
    volume = facts.volume
    if volume.duplicates:
        return tell("unfit.duplicates", pairs=len(volume.duplicates))
    if volume.gaps:
        missing = sum(gap.missing for gap in volume.gaps)
        return tell("unfit.gaps", missing=missing, gaps=len(volume.gaps))
    if not volume.uniform:
        return tell("unfit.not-uniform")
    return None


def _scope(facts: SeriesFacts, criteria: Criteria) -> str | None:
    return out_of_scope(
        facts.headers,
        criteria.scope,
        slice_thickness=facts.thickness,
        accept_unknown_age=criteria.accept_unknown_age,
    )


QUESTIONS: tuple[Question, ...] = (
    _not_ct,
    _copy,
    _localizer,
    _derived,
    _other_part,
    still_open,
    _no_plane,
    _too_few,
    _mixed,
    _not_hounsfield,
    _tilted,
    _not_uniform,
    _scope,
)
