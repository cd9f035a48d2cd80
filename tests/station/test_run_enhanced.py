"""Enhanced CT: one multi-frame instance is screened as the same slices sent one by one."""

from __future__ import annotations

import pydicom

from node.dicom.write import PhantomLabels
from node.dicom.write_enhanced import enhanced_phantom
from node.domain.result import ResultKind
from node.imaging.phantom import ThoraxPhantom
from node.infer.bundle import Bundle
from tests.screening_ground import Ends, Ground, phantom_series


def test_a_multi_frame_instance_gives_the_answer_of_its_slices(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    labels = PhantomLabels(identity="enhanced", patient_id="OTHER")
    ground.receive(phantom_series(labels=PhantomLabels(identity="single")))
    ground.receive([enhanced_phantom(ThoraxPhantom(slices=24, rows=256), labels)])
    ground.settle()
    pipeline = ground.pipeline(tiny_bundle, ends)
    screenings = [ground.claim(), ground.claim()]
    for screening in screenings:
        pipeline.run(screening)
    single, multi = sorted(
        ends.decisions, key=lambda item: item.series_instance_uid == labels.series_instance_uid
    )
    assert [item.frame for item in multi.slices] == list(range(1, 25))
    assert len({item.sop_instance_uid for item in multi.slices}) == 1
    assert [(item.dark_count, item.probability) for item in multi.slices] == [
        (item.dark_count, item.probability) for item in single.slices
    ]
    assert multi.outcome is single.outcome

    screening = next(item for item in screenings if item.study_instance_uid == labels.study_instance_uid)
    results = ground.store.screenings.results(screening.id)
    heatmaps = [item for item in results if item.kind is ResultKind.HEATMAP]
    positive = {item.frame for item in multi.slices if item.positive}
    frames = {
        int(
            pydicom.dcmread(ground.store.files.path(item.object_key))
            .SourceImageSequence[0]
            .ReferencedFrameNumber
        )
        for item in heatmaps
    }
    assert len(heatmaps) == len(frames) == min(3, len(positive))
    assert frames <= positive
