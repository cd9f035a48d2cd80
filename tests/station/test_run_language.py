"""A study screened in another language: what is decided, drawn and reported is told in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from node.domain.job import Assignment
from node.domain.result import ResultKind
from node.infer.bundle import Bundle
from node.report.identity import SERIES_NUMBERS
from node.run.progress import ScreeningEnd
from tests.radiograph_objects import radiograph_bundle, radiograph_object
from tests.screening_ground import SETTINGS, Ends, Ground, phantom_series
from tests.toy_language import TEXTS, TOY, elements, english_in

IN_TOY = dataclasses.replace(SETTINGS.producer, wording=TOY)
CODED = ("(0008,0100)", "(0008,0102)", "(0008,0119)", "(0020,9056)", "(0040,9210)", "(0008,0116)")
"""Code values, schemes and who is responsible for one, StackID and LUTLabel."""
PICTURES = {SERIES_NUMBERS[kind] for kind in (ResultKind.HEATMAP, ResultKind.SUMMARY)}


def broken(study: Sequence[Dataset]) -> Sequence[Dataset]:
    """Return a study of which one image cannot be decoded."""
    image = study[len(study) // 2]
    image.file_meta.TransferSyntaxUID = RLELossless
    image.PixelData = encapsulate([b"no frame of run lengths"])
    image["PixelData"].is_undefined_length = True
    return study


STUDIES: dict[str, Callable[[], Sequence[Dataset]]] = {
    "positive": lambda: phantom_series(patches=6),
    "undetermined": lambda: phantom_series(slices=48)[:10],
    "too few": lambda: phantom_series()[9:14],
    "radiograph": lambda: [radiograph_object()],
    "broken": lambda: broken(phantom_series(patches=6)),
    "broken radiograph": lambda: broken([radiograph_object()]),
    "child": lambda: [radiograph_object(PatientAge="012Y")],
}


def made(ground: Ground, screening_id: int) -> list[pydicom.Dataset]:
    found = ground.store.screenings.results(screening_id)
    return [pydicom.dcmread(ground.store.files.path(item.object_key)) for item in found]


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_of_a_result_stays_english(
    name: str, ground: Ground, tiny_bundle: Bundle, ends: Ends, tmp_path: Path
) -> None:
    study = STUDIES[name]()
    bundle = radiograph_bundle(tmp_path / "models") if study[0].Modality == "CR" else tiny_bundle
    ground.receive(study)
    ground.settle(bundle.name)
    screening = ground.claim()
    ground.pipeline(bundle, ends).run(screening)
    english = made(ground, screening.id)
    known = ground.study(study[0].StudyInstanceUID)
    ground.store.screenings.requeue(known.id, Assignment(model_name=bundle.name), "tester", "language")
    screening = ground.claim()
    ground.pipeline(bundle, ends, producer=IN_TOY).run(screening)
    assert [end for end, _ in ends.ends] == [ScreeningEnd.STORED] * 2
    other = made(ground, screening.id)
    assert {item.InstanceNumber // 1000 or item.InstanceNumber for item in other} == {2}
    known = " ".join(str(value) for item in study for _, vr, value in elements(item) if vr != "SQ")
    known += f" {bundle.spec} {SETTINGS.producer} {ends.decisions[0].model} Positions without gap."
    for before, after in zip(english, other, strict=True):
        assert (before.SeriesInstanceUID, before.SOPClassUID) == (after.SeriesInstanceUID, after.SOPClassUID)
        assert before.SOPInstanceUID != after.SOPInstanceUID
        for path, vr, said in elements(after):
            if vr in TEXTS and not path.endswith(CODED):
                assert [word for word in english_in(str(said)) if word not in known] == [], path
        if before.SeriesNumber in PICTURES:
            assert not np.array_equal(before.pixel_array, after.pixel_array)
