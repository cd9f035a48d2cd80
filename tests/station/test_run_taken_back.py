"""A model or a setting that was changed and taken back: the last version is the last word."""

from __future__ import annotations

import itertools

import pydicom
from pydicom.dataset import Dataset

from node.domain.job import Assignment
from node.domain.result import ResultKind
from node.infer.bundle import Bundle
from node.run.progress import ScreeningEnd
from tests.screening_ground import Ends, Ground, phantom_series


def delivered(ground: Ground) -> list[str]:
    """Let the archive take what is due; return the UIDs of the reports among it."""
    claimed = ground.store.outbox.claim("pacs", limit=50)
    for delivery in claimed:
        ground.store.outbox.delivered(delivery.id, "0000H", "the answer")
    return [item.sop_instance_uid for item in claimed if item.kind == ResultKind.REPORT]


def report(ground: Ground, sop_instance_uid: str) -> Dataset:
    (key,) = {
        item.object_key
        for item in ground.store.outbox.for_study(ground.study().id)
        if item.sop_instance_uid == sop_instance_uid
    }
    return pydicom.dcmread(ground.store.files.path(key))


def test_what_comes_into_force_again_is_sent_as_a_version_of_its_own(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.store.operations.go_live("pacs", "tester", "test")
    ground.receive(phantom_series(patches=6))
    ground.settle()
    first = ground.pipeline(tiny_bundle, ends)
    changed = ground.pipeline(tiny_bundle, ends, max_heatmaps=1)
    sent: list[str] = []
    for pipeline in (first, changed, first, first, changed, changed):
        if sent:
            ground.store.screenings.requeue(
                ground.study().id, Assignment(model_name="tiny"), "tester", "taken back"
            )
        pipeline.run(ground.claim())
        sent += delivered(ground)
    stored, same = ScreeningEnd.STORED, ScreeningEnd.UNCHANGED
    assert [end for end, _ in ends.ends] == [stored, stored, stored, same, stored, same]
    assert len(set(sent)) == len(sent) == 4
    for before, after in itertools.pairwise(sent):
        (study,) = report(ground, after).PredecessorDocumentsSequence
        (item,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert item.ReferencedSOPInstanceUID == before
    current = ground.store.screenings.current_version(ground.study().id, "tiny")
    assert current is not None
    assert (current.version, current.report_sop_instance_uid) == (4, sent[-1])
