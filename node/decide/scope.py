"""Whether a series lies within what the model was made for."""

from __future__ import annotations

from collections.abc import Sequence

from node.domain.input_spec import ScopeSpec
from node.domain.study import InstanceHeader
from node.domain.wording import tell


def out_of_scope(
    headers: Sequence[InstanceHeader],
    scope: ScopeSpec,
    *,
    slice_thickness: float | None,
    accept_unknown_age: bool = True,
) -> str | None:
    """Return why a series is out of the model's scope, None when it is within.

    Parameters
    ----------
    headers : sequence of InstanceHeader
        Of every image of the series; none is missing its pixel spacing.
    scope : ScopeSpec
        Of the model's input specification; closed intervals.
    slice_thickness : float, optional
        SliceThickness, else the distance between slices, in mm.
    accept_unknown_age : bool
        Whether a patient of unknown age is analysed.
    """
    return out_of_age(headers, scope, accept_unknown=accept_unknown_age) or _sizes(
        headers, scope, slice_thickness
    )


def out_of_age(headers: Sequence[InstanceHeader], scope: ScopeSpec, *, accept_unknown: bool) -> str | None:
    """Return why the patient is out of the model's scope by age, None when within."""
    ages = [header.patient_age_years for header in headers if header.patient_age_years is not None]
    if not ages:
        return None if accept_unknown else tell("unfit.age-unknown")
    if min(ages) < scope.minimum_age_years:
        return tell("unfit.age", years=scope.minimum_age_years)
    return None


def _sizes(headers: Sequence[InstanceHeader], scope: ScopeSpec, slice_thickness: float | None) -> str | None:
    spacing = [frame.pixel_spacing for header in headers for frame in header.frames if frame.pixel_spacing]
    sizes = [
        extent
        for header in headers
        for frame in header.frames[:1]
        if frame.pixel_spacing
        for extent in (
            (header.rows or 0) * frame.pixel_spacing[0],
            (header.columns or 0) * frame.pixel_spacing[1],
        )
    ]
    return (
        _outside("unfit.thickness", [slice_thickness] if slice_thickness else [], scope.slice_thickness_mm)
        or _outside(
            "unfit.pixel-spacing", [value for pair in spacing for value in pair], scope.pixel_spacing_mm
        )
        or _outside("unfit.field-of-view", sizes, scope.field_of_view_mm)
    )


def _outside(key: str, values: Sequence[float], interval: tuple[float, float]) -> str | None:
    low, high = interval
    wrong = [value for value in values if not low <= value <= high]
    if not wrong:
        return None
    return tell(key, value=wrong[0], low=low, high=high)
