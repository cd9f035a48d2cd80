from __future__ import annotations

from node.domain.delivery import Outlet
from node.domain.result import ResultKind


def kinds_for(ward, destination):
    return [item.kind for item in ward.store.outbox.for_study(1) if item.destination == destination]


def finish(ward, finding, *outlets):
    ward.add(1)
    ward.settle()
    screening = ward.claim()
    assert ward.store.screenings.finish(
        screening.id,
        finding,
        recipe="recipe-1",
        version=1,
        results=ward.results("recipe-1"),
        outlets=outlets,
    )


def test_a_destination_gets_the_kinds_that_it_takes_and_no_others(ward, make_finding):
    finish(
        ward,
        make_finding(),
        Outlet(name="pacs", leaves=True),
        Outlet(name="ris", leaves=True, kinds=frozenset({ResultKind.REPORT, ResultKind.REJECTION})),
        Outlet(name="nobody", leaves=False, kinds=frozenset({ResultKind.REJECTION})),
    )
    assert kinds_for(ward, "pacs") == [ResultKind.HEATMAP, ResultKind.HEATMAP, ResultKind.REPORT]
    assert kinds_for(ward, "ris") == [ResultKind.REPORT]
    assert kinds_for(ward, "nobody") == []


def test_a_release_brings_no_other_kinds(ward, make_finding):
    finish(ward, make_finding())
    taken = {ResultKind.REPORT, ResultKind.REJECTION}
    assert ward.store.outbox.release(1, "ris", "Ada", "wanted", kinds=taken) == 1
    assert ward.store.outbox.release(1, "ris", "Ada", "wanted", kinds=taken) == 0
    assert kinds_for(ward, "ris") == [ResultKind.REPORT]
