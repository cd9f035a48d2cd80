"""Results of a screening, found and sent as the images are."""

from __future__ import annotations

import pytest
from pydicom import dcmread

from node.decide.matching import criterion_of
from node.domain.query import Level
from node.domain.result import RESULT_MODALITIES
from node.infer.bundle import Bundle
from tests.screening_ground import Ends, Ground, phantom_series


@pytest.mark.long
def test_every_kind_of_result_is_found_by_what_stands_in_it(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series(patches=6))
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends).run(screening)
    made = ground.store.screenings.results(screening.id)
    read = {item.kind: dcmread(ground.store.files.path(item.object_key)) for item in made}
    assert {kind: data_set.Modality for kind, data_set in read.items()} == {
        kind: RESULT_MODALITIES[kind] for kind in read
    }
    assert len(read) == len(RESULT_MODALITIES) - 1  # nothing was withdrawn
    study = {"StudyInstanceUID": criterion_of("UI", ground.study().study_instance_uid)}
    wanted = frozenset({"SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "Modality", "InstanceNumber"})
    pages = ground.store.matches.find(Level.IMAGE, study, wanted)
    found = {candidate.values["SOPInstanceUID"]: candidate.values for page in pages for candidate in page}
    for data_set in read.values():
        values = found[data_set.SOPInstanceUID]
        assert {keyword: str(data_set[keyword].value) for keyword in wanted} == values
    (page,) = ground.store.matches.find(Level.STUDY, study, frozenset({"ModalitiesInStudy"}))
    assert set(page[0].values["ModalitiesInStudy"]) == {values["Modality"] for values in found.values()}
