"""Series to judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from node.decide.series_facts import Criteria, SeriesFacts
from node.domain.input_spec import ScopeSpec
from node.domain.network import CapPolicy
from node.domain.study import InstanceHeader, Series, SeriesState, Verdict


@pytest.fixture
def criteria() -> Criteria:
    return Criteria(
        minimum_slices=10,
        scope=ScopeSpec(
            minimum_age_years=18,
            slice_thickness_mm=(0.5, 10),
            pixel_spacing_mm=(0.4, 1.1),
            field_of_view_mm=(200, 520),
        ),
        cap_policy=CapPolicy.SKIP_AND_NOTIFY,
    )


@pytest.fixture
def make_facts(make_header: Callable[..., InstanceHeader]) -> Callable[..., SeriesFacts]:
    """Return a function that gives a series.

    ``step`` is the distance of its slices, ``frame`` replaces fields of every slice's geometry, ``state`` and
    ``verdict`` are the series' own; every other keyword replaces a field of every header.
    """

    def make(
        count: int = 20,
        *,
        step: float = 5.0,
        frame: dict[str, Any] | None = None,
        state: SeriesState = SeriesState.COMPLETE,
        verdict: Verdict = Verdict.GEOMETRY,
        number: int = 2,
        **fields: Any,
    ) -> SeriesFacts:
        uid = f"1.2.3.{number}"
        headers = []
        for index in range(count):
            header = make_header(index + 1, series_instance_uid=uid, series_number=number, **fields)
            geometry = {
                "image_position": (-180.0, -180.0, index * step),
                "slice_thickness": step,
                **(frame or {}),
            }
            frames = tuple(dataclasses.replace(item, **geometry) for item in header.frames)
            headers.append(dataclasses.replace(header, frames=frames))
        return SeriesFacts(_series(uid, number, headers, state, verdict), tuple(headers))

    return make


def _series(
    uid: str, number: int, headers: list[InstanceHeader], state: SeriesState, verdict: Verdict
) -> Series:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Series(
        id=number,
        study_id=1,
        series_instance_uid=uid,
        modality=headers[0].modality if headers else "CT",
        series_number=number,
        series_description=headers[0].series_description if headers else "",
        state=state,
        verdict=Verdict.CAP if state is SeriesState.INCOMPLETE else verdict,
        verdict_reason="nothing more for 1800 s",
        instance_count=len(headers),
        first_arrival_at=now,
        last_arrival_at=now,
        calling_ae_title="CT1",
        not_before=None,
    )
