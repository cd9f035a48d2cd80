"""Studies that were removed and come again, through the pipeline: nothing is issued twice under one UID."""

from __future__ import annotations

from datetime import timedelta

import pydicom

from node.domain.result import ResultKind
from node.domain.retention import Answer, Extent, RetentionRule
from node.infer.bundle import Bundle
from node.operate.retention import Retention
from node.run.progress import ScreeningEnd
from node.store.integrity import check
from tests.screening_ground import PACS, Ends, Ground, phantom_series


def retention(ground: Ground, remove: Extent) -> Retention:
    rule = RetentionRule(
        name="old",
        remove=remove,
        older_than=timedelta(days=1),
        answer=Answer.DELIVERED,
        archives=frozenset({"pacs"}),
    )
    return Retention(ground.store, [rule], clock=ground.clock, free_bytes=lambda: 0, most=10)


def delivered(ground: Ground) -> dict[str, str]:
    """Let the archive take what is due; return the digest of each object by its UID."""
    claimed = ground.store.outbox.claim("pacs", limit=50)
    for delivery in claimed:
        ground.store.outbox.delivered(delivery.id, "0000H", "the answer")
    return {item.sop_instance_uid: item.object_key for item in claimed}


def test_a_part_of_removed_images_replaces_no_result(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    ground.store.operations.go_live("pacs", "tester", "test")
    scan = phantom_series(patches=6)
    pipeline = ground.pipeline(tiny_bundle, ends, destinations=(PACS,))
    for count in (len(scan), 1, len(scan) - 1, len(scan)):
        ground.receive(scan[:count])
        ground.settle()
        pipeline.run(ground.claim())
        delivered(ground)
        ground.clock.forward(timedelta(days=2))
        if count == len(scan):
            assert retention(ground, Extent.IMAGES).run_once()
    assert [end for end, _ in ends.ends] == [ScreeningEnd.STORED, *[ScreeningEnd.UNCHANGED] * 3]
    assert "part of the removed images" in ends.ends[1][1]
    assert retention(ground, Extent.STUDY).run_once()
    ground.receive(scan[:1])
    ground.settle()
    pipeline.run(ground.claim())
    assert ends.ends[-1][0] is ScreeningEnd.UNCHANGED
    assert ground.store.screenings.next_version(ground.study().id, "tiny") == 2


def test_a_removed_study_comes_again(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    ground.store.operations.go_live("pacs", "tester", "test")
    scan = phantom_series(patches=6)
    pipeline = ground.pipeline(tiny_bundle, ends, destinations=(PACS,))

    def screened() -> dict[str, str]:
        ground.receive(scan)
        ground.settle()
        pipeline.run(ground.claim())
        return delivered(ground)

    first = screened()
    ground.clock.forward(timedelta(days=2))
    (gone,) = retention(ground, Extent.IMAGES).run_once()
    assert gone.weight.instances == len(scan)
    assert screened() == {}, "the results in force say the same already"
    ground.clock.forward(timedelta(days=2))
    (gone,) = retention(ground, Extent.STUDY).run_once()
    assert gone.weight.instances == len(scan) + len(first)
    assert list(ground.store.files.names()) == []

    second = screened()
    assert [end for end, _ in ends.ends] == [
        ScreeningEnd.STORED,
        ScreeningEnd.UNCHANGED,
        ScreeningEnd.STORED,
    ]
    assert len(second) == len(first)
    assert not set(second) & set(first)
    current = ground.store.screenings.current_version(ground.study().id, "tiny")
    assert current is not None
    assert current.version == 2
    report = pydicom.dcmread(ground.store.files.path(second[current.report_sop_instance_uid]))
    (study,) = report.PredecessorDocumentsSequence
    (item,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID in first
    assert check(ground.store) == []
    kinds = {delivery.kind for delivery in ground.store.outbox.for_study(ground.study().id)}
    assert ResultKind.REPORT in kinds
