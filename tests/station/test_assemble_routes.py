"""Where real objects of a study lead it."""

from __future__ import annotations

import copy

import pytest
from pydicom.dataset import Dataset

from node.assemble.routes import StudyRouter
from node.decide.routing import Route, Routing
from node.domain.errors import UnknownSubject
from tests.radiograph_objects import digital_object
from tests.screening_ground import Ground, phantom_series

ROUTES = (
    Route(modality="DX", station_name="BEDSIDE", model="bedside"),
    Route(modality="CT", body_part_examined="CHEST", ae_title="OTHER", model="other"),
)
ROUTING = Routing(ct_model="ct", radiograph_model="cxr", routes=ROUTES)


def radiograph(ct: Dataset, **attributes: str) -> Dataset:
    """Return a radiograph of the same study."""
    made = digital_object()
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(made, keyword, copy.copy(getattr(ct, keyword)))
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def led_to(ground: Ground) -> list[str]:
    router = StudyRouter(ground.store, ROUTING)
    found = router.assign(ground.study())
    assert found == router.assign_row(ground.study().id)
    return [item.model_name for item in found]


def test_a_study_is_led_by_what_its_objects_say(ground: Ground) -> None:
    series = phantom_series()[:2]
    ground.receive(series)
    assert led_to(ground) == ["ct"], "the route for CT asks for another sender"
    ground.receive([radiograph(series[0])])
    assert led_to(ground) == ["ct", "cxr"]


def test_a_station_has_a_model_of_its_own(ground: Ground) -> None:
    series = phantom_series()[:1]
    ground.receive([*series, radiograph(series[0], StationName="bedside")])
    assert led_to(ground) == ["ct", "bedside"]


def test_there_must_be_a_study(ground: Ground) -> None:
    with pytest.raises(UnknownSubject):
        StudyRouter(ground.store, ROUTING).assign_row(7)
