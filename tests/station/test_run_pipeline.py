"""Screenings from claim to outbox: real store, real engine, phantom series."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from node.dicom.write import PhantomLabels
from node.domain.delivery import DeliveryState
from node.domain.job import Assignment
from node.domain.model import ModelStatus
from node.domain.network import CapPolicy
from node.domain.result import Outcome, ResultKind, RunOutcome
from node.infer.bundle import Bundle, load_bundle
from node.report.identity import SERIES_NUMBERS
from node.run.progress import ScreeningEnd, Stage
from tests.model_folder import TinyNet, phantom_slices, tiny_spec, write_model_folder
from tests.screening_ground import Ends, Ground, deliveries, of_kind, phantom_series

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
ONCE = (ResultKind.PARAMETRIC_MAP, ResultKind.SUMMARY, ResultKind.REPORT, ResultKind.KEY_OBJECTS)


def other_bundle(folder: Path, **changes: Any) -> Bundle:
    """A second version of the tiny model."""
    spec = tiny_spec()
    net = changes.pop("net", TinyNet())
    parameters = changes.pop("parameters", None)
    model = dataclasses.replace(spec.model, **changes.pop("model", {}))
    spec = dataclasses.replace(spec, model=model, **changes)
    return load_bundle(
        write_model_folder(folder, phantom_slices(), net=net, spec=spec, parameters=parameters)
    )


def objects(ground: Ground, screening_id: int) -> list[Dataset]:
    return [
        pydicom.dcmread(ground.store.files.path(item.object_key))
        for item in ground.store.screenings.results(screening_id)
    ]


def test_a_phantom_study_gets_a_report_and_heatmaps(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    ground.store.operations.go_live("pacs", "tester", "test")
    ground.receive(phantom_series(patches=6))
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends).run(screening)

    assert [end for end, _ in ends.ends] == [ScreeningEnd.STORED]
    finding = ground.store.screenings.finding(screening.id)
    assert ends.decisions == [finding]
    assert finding.outcome is Outcome.POSITIVE
    assert finding.run_outcome is RunOutcome.SUCCEEDED
    assert finding.received == 24
    assert 3 <= finding.selected < 24
    assert 0 < finding.positive <= finding.selected
    assert [item.probability is not None for item in finding.slices] == [
        item.selected for item in finding.slices
    ]
    assert all(item.positive == ((item.probability or 0) >= 0.5) for item in finding.slices)
    assert [item.position for item in finding.slices] == sorted(item.position for item in finding.slices)

    made = objects(ground, screening.id)
    once = [SERIES_NUMBERS[kind] for kind in ONCE]
    heatmaps = [SERIES_NUMBERS[ResultKind.HEATMAP]] * min(3, finding.positive)
    assert [item.SeriesNumber for item in made] == heatmaps + once
    assert {item.StudyInstanceUID for item in made} == {screening.study_instance_uid}
    assert deliveries(ground) == {
        ("pacs", DeliveryState.PENDING): len(made),
        ("demo", DeliveryState.WITHHELD): len(made),
    }
    assert set(ground.store.screenings.stage_seconds(screening.id)) == {stage.value for stage in Stage}
    assert ends.advances[Stage.SELECT][-1] == (24, 24)
    assert ends.advances[Stage.INFER][-1] == (finding.selected, finding.selected)
    assert ground.store.screenings.claim("worker", lease=timedelta(minutes=1)) is None


def test_heatmaps_show_the_strongest_slices(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    ground.receive(phantom_series(patches=6))
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends, max_heatmaps=2).run(screening)
    finding = ends.decisions[0]
    strongest = sorted(
        (item for item in finding.slices if item.positive), key=lambda item: -(item.probability or 0)
    )[:2]
    made = objects(ground, screening.id)
    heatmaps = of_kind(made, ResultKind.HEATMAP)
    assert [item.SourceImageSequence[0].ReferencedSOPInstanceUID for item in heatmaps] == [
        item.sop_instance_uid for item in strongest
    ]
    [as_data] = of_kind(made, ResultKind.PARAMETRIC_MAP)
    sources = [
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for frame in as_data.PerFrameFunctionalGroupsSequence
    ]
    assert sources == [item.sop_instance_uid for item in finding.slices]
    positions = [
        frame.PlanePositionSequence[0].ImagePositionPatient[2]
        for frame in as_data.PerFrameFunctionalGroupsSequence
    ]
    assert positions == pytest.approx([item.position for item in finding.slices])
    shown = [uid for uid, values in zip(sources, as_data.pixel_array, strict=True) if values.max() > 0]
    assert sorted(shown) == sorted(item.sop_instance_uid for item in strongest)


def test_only_what_is_asked_for_is_made(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    ground.receive(phantom_series(patches=6))
    ground.settle()
    without = {"parametric_map": False, "summary": False, "key_objects": False}
    ground.pipeline(tiny_bundle, ends, **without).run(ground.claim())
    first = ground.store.screenings.current_version(ground.study().id, "tiny")
    assert first is not None
    ground.store.screenings.requeue(ground.study().id, Assignment(model_name="tiny"), "tester", "all of it")
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends).run(screening)
    kinds = [item.kind for item in ground.store.screenings.results(screening.id)]
    assert {*kinds} == {*ResultKind} - {ResultKind.REJECTION}
    now = ground.store.screenings.current_version(ground.study().id, "tiny")
    assert now is not None
    assert (first.version, now.version) == (1, 2)
    assert first.recipe != now.recipe


def test_the_same_study_screened_again_makes_nothing_new(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series())
    ground.settle()
    pipeline = ground.pipeline(tiny_bundle, ends)
    pipeline.run(ground.claim())
    before = deliveries(ground)
    ground.store.screenings.requeue(ground.study().id, Assignment(model_name="tiny"), "tester", "again")
    second = ground.claim()
    pipeline.run(second)
    assert [end for end, _ in ends.ends] == [ScreeningEnd.STORED, ScreeningEnd.UNCHANGED]
    assert deliveries(ground) == before
    assert ground.store.screenings.results(second.id) == []
    version = ground.store.screenings.current_version(ground.study().id, "tiny")
    assert version is not None
    assert version.version == 1


def test_a_late_slice_makes_version_2_with_its_predecessor(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    series = phantom_series()
    ground.receive(series[:-1])
    ground.settle()
    pipeline = ground.pipeline(tiny_bundle, ends)
    pipeline.run(ground.claim())
    first = ground.store.screenings.current_version(ground.study().id, "tiny")
    assert first is not None
    ground.receive(series[-1:])
    ground.settle()
    second = ground.claim()
    pipeline.run(second)
    current = ground.store.screenings.current_version(ground.study().id, "tiny")
    assert current is not None
    assert (first.version, current.version) == (1, 2)
    assert current.report_series_instance_uid == first.report_series_instance_uid
    [report] = of_kind(objects(ground, second.id), ResultKind.REPORT)
    predecessor = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == first.report_sop_instance_uid
    counts = deliveries(ground)
    assert counts[("pacs", DeliveryState.CANCELLED)] > 0
    assert counts[("pacs", DeliveryState.WITHHELD)] == len(objects(ground, second.id))


def test_after_a_withdrawal_the_same_content_gets_other_uids(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series())
    ground.settle()
    pipeline = ground.pipeline(tiny_bundle, ends)
    first = ground.claim()
    pipeline.run(first)
    kept = ground.store.screenings.results(first.id)
    corrected = phantom_series()
    for item in corrected:
        item.OtherPatientIDs = "not copied into results"
    ground.receive(corrected)
    for aside in ground.store.asides.to_compare():
        ground.store.asides.correction(aside.id, ["OtherPatientIDs"])
    ground.store.asides.confirm_correction(ground.study().id, "tester", "it was wrong")
    ground.settle()
    last = ground.claim()
    pipeline.run(last)
    assert [end for end, _ in ends.ends] == [ScreeningEnd.STORED] * 2
    current = ground.store.screenings.current_version(ground.study().id, "tiny")
    assert current is not None
    assert current.version == 2
    issued = ground.store.screenings.results(last.id)
    assert len(issued) == len(kept)
    assert not {item.sop_instance_uid for item in issued} & {item.sop_instance_uid for item in kept}


def test_other_weights_make_another_version(
    ground: Ground, tiny_bundle: Bundle, ends: Ends, tmp_path: Path
) -> None:
    ground.receive(phantom_series())
    ground.settle()
    ground.pipeline(tiny_bundle, ends).run(ground.claim())
    ground.store.screenings.requeue(ground.study().id, Assignment(model_name="tiny"), "tester", "new weights")
    other = other_bundle(tmp_path / "other", net=TinyNet(bias=-40.0), model={"version": 2})
    screening = ground.claim()
    ground.pipeline(other, ends).run(screening)
    finding = ground.store.screenings.finding(screening.id)
    assert finding.outcome is Outcome.NEGATIVE
    assert finding.model.version == 2
    kinds = [item.kind for item in ground.store.screenings.results(screening.id)]
    assert kinds == [ResultKind.SUMMARY, ResultKind.REPORT]


def test_a_study_without_chest_ct_sends_nothing(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    series = phantom_series()
    for item in series:
        item.BodyPartExamined = "KNEE"
        item.SeriesDescription = "Knee left"
        item.StudyDescription = "Knee"
    ground.receive(series)
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends).run(screening)
    assert [end for end, _ in ends.ends] == [ScreeningEnd.NOTHING_TO_SEND]
    assert ground.store.screenings.finding(screening.id).outcome is Outcome.NOT_ANALYSED
    assert deliveries(ground) == {}


def test_too_few_slices_are_not_analysed_and_reported(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series()[9:14])
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends).run(screening)
    finding = ground.store.screenings.finding(screening.id)
    assert (finding.outcome, finding.run_outcome) == (Outcome.NOT_ANALYSED, RunOutcome.NOT_ATTEMPTED)
    assert "too few slices: 5, at least 10 needed" in finding.reason
    assert [item.SOPClassUID for item in objects(ground, screening.id)] == [COMPREHENSIVE_3D_SR]


def test_a_lowered_minimum_gives_an_answer_that_says_how_little_it_rests_on(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series()[12:13])
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends, minimum_slices=1).run(screening)
    finding = ground.store.screenings.finding(screening.id)
    assert finding.outcome in (Outcome.POSITIVE, Outcome.NEGATIVE)
    assert any("rests on 1 slice;" in warning for warning in finding.warnings)


def test_an_unknown_age_is_told_or_out_of_scope_by_setting(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    series = phantom_series()
    for item in series:
        item.PatientAge = item.PatientBirthDate = ""
    ground.receive(series)
    ground.settle()
    ground.pipeline(tiny_bundle, ends).run(ground.claim())
    assert any("age is unknown" in warning for warning in ends.decisions[-1].warnings)
    ground.store.screenings.requeue(
        ground.study().id, Assignment(model_name="tiny"), "a radiographer", "stricter"
    )
    ground.pipeline(tiny_bundle, ends, accept_unknown_age=False).run(ground.claim())
    assert ends.decisions[-1].outcome is Outcome.NOT_ANALYSED
    assert "age is unknown" in ends.decisions[-1].reason


def test_slices_without_lungs_are_undetermined(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    abdomen = phantom_series(slices=48)[:10]
    ground.receive(abdomen)
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends).run(screening)
    finding = ground.store.screenings.finding(screening.id)
    assert finding.outcome is Outcome.UNDETERMINED
    assert finding.positive == 0
    assert all(item.probability is None for item in finding.slices)
    kinds = [item.kind for item in ground.store.screenings.results(screening.id)]
    assert kinds == [ResultKind.SUMMARY, ResultKind.REPORT]


def test_a_broken_slice_gives_way_to_the_next_series(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    good = phantom_series(PhantomLabels(series_number=3, convolution_kernel="B30f"))
    broken = phantom_series(PhantomLabels(series_number=2))
    broken[7].PixelData = broken[7].PixelData[:1000]
    ground.receive([*broken, *good])
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends).run(screening)
    finding = ground.store.screenings.finding(screening.id)
    assert finding.series_instance_uid == PhantomLabels(series_number=3).series_instance_uid
    reasons = {item.series_number: item for item in finding.choices}
    assert not reasons[2].eligible
    assert reasons[2].reason.startswith("Not analysed: ")
    assert finding.received == 24


def test_a_broken_slice_in_the_only_series_is_not_analysed(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    series = phantom_series()
    series[7].PixelData = series[7].PixelData[:1000]
    ground.receive(series)
    ground.settle()
    screening = ground.claim()
    ground.pipeline(tiny_bundle, ends).run(screening)
    finding = ground.store.screenings.finding(screening.id)
    assert (finding.outcome, finding.run_outcome) == (Outcome.NOT_ANALYSED, RunOutcome.FAILED)
    assert finding.slices == ()
    assert [end for end, _ in ends.ends] == [ScreeningEnd.STORED]


def test_an_incomplete_series_is_skipped_or_flagged_by_policy(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series())
    ground.settle(incomplete=[2])
    ground.pipeline(tiny_bundle, ends).run(ground.claim())
    ground.store.screenings.requeue(ground.study().id, Assignment(model_name="tiny"), "tester", "run it")
    ground.pipeline(tiny_bundle, ends, cap_policy=CapPolicy.RUN_AND_FLAG).run(ground.claim())
    skipped, flagged = ends.decisions
    assert skipped.outcome is Outcome.NOT_ANALYSED
    assert flagged.run_outcome is RunOutcome.PARTIALLY_SUCCEEDED
    assert any("incomplete" in warning for warning in flagged.warnings)


def test_a_demonstration_model_is_withheld_where_it_is_not_accepted(
    ground: Ground, ends: Ends, tmp_path: Path
) -> None:
    for name in ("pacs", "demo"):
        ground.store.operations.go_live(name, "tester", "test")
    point = dataclasses.replace(tiny_spec().operating_point, validated=False, share=Fraction(1, 10))
    bundle = other_bundle(
        tmp_path / "demonstration",
        model={"status": ModelStatus.DEMONSTRATION},
        operating_points=(point,),
        parameters={"source_probe": "the model can tell the data sources apart"},
    )
    ground.receive(phantom_series())
    ground.settle()
    ground.pipeline(bundle, ends).run(ground.claim())
    count = len(ends.decisions[0].warnings)
    assert count >= 3
    assert set(deliveries(ground)) == {
        ("pacs", DeliveryState.WITHHELD),
        ("demo", DeliveryState.PENDING),
    }


def test_the_order_of_arrival_does_not_matter(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> None:
    ground.receive(phantom_series())
    shuffled = phantom_series(PhantomLabels(identity="second", patient_id="OTHER"))
    ground.receive(shuffled[::-2] + shuffled[::2] if len(shuffled) % 2 == 0 else shuffled[::-1])
    ground.settle()
    pipeline = ground.pipeline(tiny_bundle, ends)
    for _ in range(2):
        pipeline.run(ground.claim())
    first, second = ends.decisions
    assert [item.probability for item in first.slices] == [item.probability for item in second.slices]


def test_a_mirrored_series_is_set_upright_and_says_so(
    ground: Ground, tiny_bundle: Bundle, ends: Ends
) -> None:
    ground.receive(phantom_series())
    turned = phantom_series(PhantomLabels(identity="prone", patient_id="OTHER"))
    for item in turned:
        pixels = item.pixel_array[::-1, ::-1]
        item.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
        item.ImagePositionPatient = [-float(v) for v in item.ImagePositionPatient[:2]] + [
            item.ImagePositionPatient[2]
        ]
        item.PixelData = pixels.tobytes()
    ground.receive(turned)
    ground.settle()
    pipeline = ground.pipeline(tiny_bundle, ends)
    for _ in range(2):
        pipeline.run(ground.claim())
    turned_uid = turned[0].SeriesInstanceUID
    upright, corrected = sorted(ends.decisions, key=lambda item: item.series_instance_uid == turned_uid)
    assert [item.probability for item in upright.slices] == [item.probability for item in corrected.slices]
    assert any("set upright" in warning for warning in corrected.warnings)
