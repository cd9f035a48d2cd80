"""Which models screen a study, by modality and by the site's rules."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.decide.routing import KINDS, Route, Routing, SeriesSource, Shadow, model_reference
from node.domain.job import ACTIVE_VERSION, Assignment, Purpose
from node.domain.preparation_spec import InputModality

WORDS = ["CHEST", "chest ", "ABDOMEN", "ROOM1", "Room1", "MOBILE", ""]
MODELS = st.sampled_from(["a", "b", "c", "d"])
SOURCES = st.builds(
    SeriesSource,
    modality=st.sampled_from(["CT", "CR", "DX", "dx", "SR", "KO", "MR"]),
    body_part_examined=st.sampled_from(WORDS),
    station_name=st.sampled_from(WORDS),
    ae_title=st.sampled_from(WORDS),
)
CRITERIA = st.none() | st.sampled_from(WORDS[:-1])
ROUTES = st.builds(
    Route,
    modality=st.sampled_from(sorted(KINDS)),
    model=MODELS,
    body_part_examined=CRITERIA,
    station_name=CRITERIA,
    ae_title=CRITERIA,
)
SHADOWS = st.builds(
    Shadow,
    model_name=MODELS,
    model_version=st.integers(ACTIVE_VERSION, 2),
    modality=st.sampled_from(InputModality),
)
ROUTINGS = st.builds(
    Routing,
    ct_model=MODELS,
    radiograph_model=st.none() | MODELS,
    routes=st.lists(ROUTES, max_size=4).map(tuple),
    shadows=st.lists(SHADOWS, max_size=3).map(tuple),
)
CT = SeriesSource(modality="CT", body_part_examined="CHEST", station_name="CT1", ae_title="GATE")
DX = dataclasses.replace(CT, modality="DX", station_name="XRAY1")
DOSE = dataclasses.replace(CT, modality="SR")


def reports(assignments: tuple[Assignment, ...]) -> list[str]:
    return [item.model_name for item in assignments if item.purpose is Purpose.REPORT]


@given(ROUTINGS, st.lists(SOURCES, max_size=5))
def test_every_study_gets_an_answer_and_nothing_twice(routing: Routing, sources: list[SeriesSource]) -> None:
    found = routing.assign(sources)
    assert 1 <= len(reports(found)) <= 2
    assert len(set(found)) == len(found)
    assert set(found) <= set(routing.assignments), "what is not known at the start is not kept ready"
    assert all(item.model_version == ACTIVE_VERSION for item in found if item.purpose is Purpose.REPORT)


@given(ROUTINGS, st.lists(SOURCES, max_size=5), st.randoms())
def test_the_order_of_the_series_does_not_matter(
    routing: Routing, sources: list[SeriesSource], random: Random
) -> None:
    shuffled = list(sources)
    random.shuffle(shuffled)
    assert routing.assign(shuffled) == routing.assign(sources)


@given(ROUTINGS, st.lists(SOURCES, min_size=1, max_size=5))
def test_the_first_route_that_matches_counts(routing: Routing, sources: list[SeriesSource]) -> None:
    for kind in InputModality:
        if not any(KINDS.get(source.modality.upper()) is kind for source in sources):
            continue
        matching = [
            route.model
            for route in routing.routes
            if KINDS[route.modality] is kind and any(map(route.matches, sources))
        ]
        default = routing.ct_model if kind is InputModality.CT else routing.radiograph_model
        expected = matching[0] if matching else default
        assert expected is None or expected in reports(routing.assign(sources))


@given(ROUTINGS, st.lists(SOURCES, max_size=5))
def test_a_shadow_never_replaces_a_report(routing: Routing, sources: list[SeriesSource]) -> None:
    without = dataclasses.replace(routing, shadows=())
    assert reports(routing.assign(sources)) == reports(without.assign(sources))


@given(SOURCES, ROUTES)
def test_case_and_blanks_do_not_count(source: SeriesSource, route: Route) -> None:
    louder = {name: f" {value.upper()} " for name, value in vars(source).items()}
    assert route.matches(source) == route.matches(SeriesSource(**louder))


def test_a_study_with_ct_and_radiographs_goes_to_both() -> None:
    routing = Routing(ct_model="ct", radiograph_model="cxr")
    assert reports(routing.assign([DOSE, DX, CT])) == ["ct", "cxr"]
    assert reports(routing.assign([DX])) == ["cxr"]
    assert reports(routing.assign([DOSE])) == ["ct"], "closed without results, as it ever was"


def test_radiographs_are_left_alone_by_default() -> None:
    routing = Routing(ct_model="ct", radiograph_model=None)
    assert reports(routing.assign([DX, CT])) == ["ct"]
    assert reports(routing.assign([DX])) == ["ct"], "the model for CT closes the study"


def test_a_route_leads_one_room_elsewhere() -> None:
    route = Route(modality="DX", station_name="xray1", model="bedside")
    routing = Routing(ct_model="ct", radiograph_model="cxr", routes=(route,))
    assert reports(routing.assign([DX])) == ["bedside"]
    other = dataclasses.replace(DX, station_name="XRAY10")
    assert reports(routing.assign([other])) == ["cxr"], "a name is compared as a whole"
    assert reports(routing.assign([dataclasses.replace(DX, modality="CR")])) == ["cxr"]


def test_a_shadow_scores_what_it_reads() -> None:
    shadow = Shadow(model_name="ct2", model_version=3, modality=InputModality.CT)
    routing = Routing(ct_model="ct", radiograph_model="cxr", shadows=(shadow,))
    assert routing.assign([CT])[1:] == (
        Assignment(model_name="ct2", model_version=3, purpose=Purpose.SHADOW),
    )
    assert routing.assign([DX]) == (Assignment(model_name="cxr"),)


def test_the_reporting_model_is_no_shadow_of_itself() -> None:
    same = Shadow(model_name="ct", model_version=ACTIVE_VERSION, modality=InputModality.CT)
    later = dataclasses.replace(same, model_version=2)
    routing = Routing(ct_model="ct", radiograph_model=None, shadows=(same, later))
    assert [item.model_version for item in routing.assign([CT])] == [ACTIVE_VERSION, 2]


@pytest.mark.parametrize("text", ["", ":1", "a:", "a:0", "a:1:2", "../a", "a:-1", "a b", "a:01", "a\n"])
def test_what_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NAME:VERSION"):
        model_reference(text)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True), st.integers(1, 999_999))
def test_a_reference_is_read_back(name: str, version: int) -> None:
    assert model_reference(name) == (name, ACTIVE_VERSION)
    assert model_reference(f"{name}:{version}") == (name, version)
