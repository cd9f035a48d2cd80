"""The contact sheet of a screening: made of what was seen, whatever came out."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from node.decide.shown import on_sheet, strongest
from node.domain.result import Outcome, ResultKind
from node.imaging.lettering import BLUE, ORANGE
from node.infer.bundle import Bundle
from tests.radiograph_objects import chest, radiograph_bundle, radiograph_object
from tests.screening_ground import Ends, Ground, phantom_series

ONLY = {"parametric_map": False, "key_objects": False}


def sheets(ground: Ground, screening_id: int) -> list[pydicom.Dataset]:
    return [
        pydicom.dcmread(ground.store.files.path(item.object_key))
        for item in ground.store.screenings.results(screening_id)
        if item.kind is ResultKind.SUMMARY
    ]


def rows_in(page: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    return int((page == colour).all(axis=2).any(axis=1).sum())


def test_a_positive_study_shows_its_strongest_slices_under_maps(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series(patches=6))
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends, **ONLY).run(screening)
    [finding] = ends.decisions
    [sheet] = sheets(ground, screening.id)
    page = sheet.pixel_array
    assert page.shape[1:] == (1024, 3)
    assert rows_in(page, ORANGE) > 60
    assert rows_in(page, BLUE) > 20
    shown = {finding.slices[index].sop_instance_uid for index in strongest(finding, 6)}
    assert {item.ReferencedSOPInstanceUID for item in sheet.SourceImageSequence} == shown
    hues = np.ptp(page[-60:].astype(int), axis=2)
    assert hues.max() > 100


def test_a_study_too_short_to_decide_on_shows_what_was_seen(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series(slices=48)[:10])
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends, **ONLY).run(screening)
    [finding] = ends.decisions
    assert finding.outcome is Outcome.UNDETERMINED
    assert not finding.positive
    [sheet] = sheets(ground, screening.id)
    assert rows_in(sheet.pixel_array, ORANGE) == 0
    assert len(sheet.SourceImageSequence) == len(on_sheet(finding)) > 0


def test_without_the_setting_or_without_an_analysis_there_is_none(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series())
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends, **ONLY, summary=False).run(screening)
    assert ends.decisions[0].outcome is not Outcome.NOT_ANALYSED
    assert sheets(ground, screening.id) == []


def test_a_series_that_is_not_analysed_has_none(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    ground.receive(phantom_series()[:4])
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends, **ONLY).run(screening)
    assert ends.decisions[0].outcome is Outcome.NOT_ANALYSED
    assert [item.kind for item in ground.store.screenings.results(screening.id)] == [ResultKind.REPORT]


@pytest.mark.parametrize("opacities", [8, 0])
def test_radiographs_are_shown_without_a_z_axis(
    ground: Ground, ends: Ends, tmp_path_factory: pytest.TempPathFactory, opacities: int
) -> None:
    bundle = radiograph_bundle(tmp_path_factory.mktemp("models"))
    ground.receive([radiograph_object(chest(opacities))])
    ground.settle(bundle.name)
    screening = ground.claim()
    ground.pipeline(bundle, ends, **ONLY).run(screening)
    [finding] = ends.decisions
    [sheet] = sheets(ground, screening.id)
    page = sheet.pixel_array
    assert rows_in(page, BLUE) == 0
    assert (rows_in(page, ORANGE) > 0) == (finding.outcome is Outcome.POSITIVE)
    [source] = sheet.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == finding.slices[0].sop_instance_uid
