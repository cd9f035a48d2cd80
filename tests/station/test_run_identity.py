"""Which objects a study gets: the same ones for the same content, never an old UID for another.

Whole screenings on a real store: replays, withdrawals with their rejection notes, and corrections at every
moment at which they may come.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from sqlalchemy import text

from node.dicom.write import PhantomLabels
from node.domain.delivery import DeliveryState
from node.domain.input_spec import SelectionRule
from node.domain.job import Assignment
from node.domain.model import Precision
from node.domain.result import ResultKind, Withdrawal
from node.domain.study import Intake, StudyState
from node.infer.bundle import Bundle, load_bundle
from node.run.pipeline import Pipeline
from node.run.progress import ScreeningEnd
from node.run.withdrawing import Withdrawing
from tests.model_folder import phantom_slices, tiny_spec, write_model_folder
from tests.screening_ground import SETTINGS, Ends, Ground, phantom_series

MODEL = Assignment(model_name="tiny")
ADA = {"by": "Ada", "reason": "another patient lay on the table"}
DECLARED_TIMES = {
    "ContentDate",
    "ContentTime",
    "InstanceCreationDate",
    "InstanceCreationTime",
    "ContributionDateTime",
    "ObservationDateTime",
    "DateOfSecondaryCapture",
    "TimeOfSecondaryCapture",
}
"""What two makings of one recipe may differ in; the conformance statement names them."""


def made(ground: Ground, screening_id: int) -> list[Dataset]:
    return [
        pydicom.dcmread(ground.store.files.path(item.object_key))
        for item in ground.store.screenings.results(screening_id)
    ]


def uids(data_sets: Iterable[Dataset]) -> set[str]:
    return {str(item.SOPInstanceUID) for item in data_sets}


def without_times(data_set: Dataset) -> Dataset:
    for element in data_set.iterall():
        if element.keyword in DECLARED_TIMES:
            element.value = None
    return data_set


def differing(one: Dataset, other: Dataset, path: str = "") -> list[str]:
    """Return where two data sets differ, by keyword."""
    found = []
    for tag in sorted({*one.keys(), *other.keys()}):
        here = f"{path}/{pydicom.datadict.keyword_for_tag(tag)}"
        left, right = one.get(tag), other.get(tag)
        if left is None or right is None:
            found.append(here)
        elif left.VR == "SQ" and len(left.value) == len(right.value):
            for first, second in zip(left.value, right.value, strict=True):
                found.extend(differing(first, second, here))
        elif left.value != right.value:
            found.append(here)
    return found


def run(ground: Ground, pipeline: Pipeline) -> list[Dataset]:
    screening = ground.claim()
    pipeline.run(screening)
    return made(ground, screening.id)


def again(ground: Ground, pipeline: Pipeline) -> list[Dataset]:
    ground.store.screenings.requeue(ground.study().id, MODEL, "tester", "again")
    return run(ground, pipeline)


def notes(ground: Ground) -> list[Dataset]:
    """Make the rejection notes that are due, and return them all."""
    withdrawing(ground).run_once()
    made = [item for item in ground.store.outbox.for_study(ground.study().id) if item.kind == "rejection"]
    withdrawn = ground.store.withdrawals.for_study(ground.study().id)
    assert [item.note for item in withdrawn if item.note] == [item.sop_instance_uid for item in made]
    return [pydicom.dcmread(ground.store.files.path(item.object_key)) for item in made]


def withdrawing(ground: Ground) -> Withdrawing:
    return Withdrawing(ground.store, producer=SETTINGS.producer, zone=UTC, made=lambda: None)


def let_leave(ground: Ground, count: int = 100) -> None:
    """Let deliveries to the demonstration's PACS be accepted."""
    for item in ground.store.outbox.claim("demo", limit=count):
        ground.store.outbox.accepted(item.id, "0000H")


@pytest.fixture
def screened(ground: Ground, tiny_bundle: Bundle, ends: Ends) -> tuple[Ground, Pipeline, list[Dataset]]:
    """Return a ground with a positive study whose results are on their way to one PACS."""
    ground.store.operations.go_live("demo", "tester", "test")
    ground.receive(phantom_series(patches=6))
    ground.settle()
    pipeline = ground.pipeline(tiny_bundle, ends, max_heatmaps=1)
    return ground, pipeline, run(ground, pipeline)


def corrected(**attributes: Any) -> list[Dataset]:
    series = phantom_series(patches=6)
    for item in series:
        for keyword, value in attributes.items():
            setattr(item, keyword, value)
    return series


def compare(ground: Ground) -> None:
    for aside in ground.store.asides.to_compare():
        ground.store.asides.correction(aside.id)


def test_lost_results_are_made_again_equal_but_for_the_declared_times(screened) -> None:
    ground, pipeline, first = screened
    with ground.store.database.write() as connection:
        for table in ("deliveries", "version_objects", "result_objects", "result_versions"):
            connection.execute(text(f"DELETE FROM {table}"))
    ground.clock.forward(datetime(2026, 5, 5, tzinfo=UTC) - datetime(2026, 1, 1, tzinfo=UTC))
    second = again(ground, pipeline)
    assert len(second) == len(first) > 4
    for before, after in zip(first, second, strict=True):
        assert before.ContentDate != after.ContentDate
        assert differing(without_times(before), without_times(after)) == []


@pytest.mark.long
@pytest.mark.parametrize("changes", [{"max_heatmaps": 2}, {"parametric_map": False}, {"minimum_slices": 11}])
def test_another_setting_makes_another_version_under_other_uids(
    screened, tiny_bundle: Bundle, ends: Ends, changes: dict[str, Any]
) -> None:
    ground, _, first = screened
    second = again(ground, ground.pipeline(tiny_bundle, ends, **{"max_heatmaps": 1, **changes}))
    assert second
    assert not uids(first) & uids(second)
    current = ground.store.screenings.current_version(ground.study().id, "tiny")
    assert current is not None
    assert current.version == 2


POINT = tiny_spec().operating_points[0]
SELECTION = tiny_spec().selection


@pytest.mark.long
@pytest.mark.parametrize(
    ("precision", "changes"),
    [
        (Precision.F32, {"operating_points": (dataclasses.replace(POINT, slice_threshold=0.4),)}),
        (Precision.F32, {"operating_points": (dataclasses.replace(POINT, share=Fraction(2, 5)),)}),
        (Precision.F32, {"ct_selection": dataclasses.replace(SELECTION, rule=SelectionRule.PAPER)}),
        (Precision.BF16, {}),
    ],
    ids=["threshold", "share", "rule", "precision"],
)
def test_another_threshold_rule_or_precision_makes_another_version_under_other_uids(
    screened, tmp_path: Path, ends: Ends, precision: Precision, changes: dict[str, Any]
) -> None:
    ground, _, first = screened
    bundle = load_bundle(write_model_folder(tmp_path, phantom_slices(), spec=tiny_spec(**changes)))
    second = again(ground, ground.pipeline(bundle, ends, precision=precision, max_heatmaps=1))
    assert second
    assert not uids(first) & uids(second)
    report = next(item for item in second if item.Modality == "SR")
    (predecessor,) = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert predecessor.ReferencedSOPInstanceUID in uids(first)


def test_what_was_withdrawn_is_rejected_and_never_issued_again(screened) -> None:
    ground, pipeline, first = screened
    let_leave(ground)
    study = ground.study()
    ground.store.withdrawals.withdraw(study.id, title=Withdrawal.PATIENT_SAFETY, **ADA)
    (note,) = notes(ground)
    assert note.Modality == "KO"
    assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
    assert (note.PatientID, note.StudyInstanceUID) == (first[0].PatientID, first[0].StudyInstanceUID)
    referenced = {
        str(item.ReferencedSOPInstanceUID)
        for evidence in note.CurrentRequestedProcedureEvidenceSequence
        for series in evidence.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert referenced == uids(first)
    (claimed,) = ground.store.outbox.claim("demo", limit=10)
    assert (claimed.kind, claimed.sop_instance_uid) == (ResultKind.REJECTION, note.SOPInstanceUID)

    second = again(ground, pipeline)
    assert not uids(second) & uids(first)
    assert not any("PredecessorDocumentsSequence" in item for item in second)
    assert again(ground, pipeline) == [], "it is in force"

    ground.store.withdrawals.withdraw(study.id, title=Withdrawal.QUALITY, **ADA)
    third = again(ground, pipeline)
    assert not uids(third) & (uids(first) | uids(second))


def test_a_note_that_a_stop_kept_from_being_written_is_the_same_one(screened) -> None:
    ground, _, _ = screened
    let_leave(ground, count=1)
    ground.store.withdrawals.withdraw(ground.study().id, title=Withdrawal.QUALITY, **ADA)
    maker = withdrawing(ground)
    (item,) = ground.store.withdrawals.to_note()
    lost = maker._build(item)
    ground.clock.forward(datetime(2026, 5, 5, tzinfo=UTC) - datetime(2026, 1, 1, tzinfo=UTC))
    assert maker.run_once() == 1
    assert maker.run_once() == 0
    (kept,) = [item for item in ground.store.outbox.for_study(ground.study().id) if item.kind == "rejection"]
    assert (kept.sop_instance_uid, kept.object_key) == (lost.sop_instance_uid, lost.object_key)


@pytest.mark.long
def test_a_withdrawn_object_that_cannot_be_read_stops_no_other_note(screened, caplog) -> None:
    ground, _, _ = screened
    let_leave(ground)
    ground.receive(phantom_series(PhantomLabels(identity="other")))
    ground.store.withdrawals.withdraw(ground.study().id, title=Withdrawal.QUALITY, **ADA)
    (item,) = ground.store.withdrawals.to_note()
    ground.store.files.path(item.objects[0].object_key).unlink()
    assert withdrawing(ground).run_once() == 0
    assert "cannot be made" in caplog.text
    assert len(ground.store.withdrawals.to_note()) == 1, "it is tried again"


def test_what_an_operator_put_right_stands_in_every_object(screened) -> None:
    ground, pipeline, first = screened
    let_leave(ground)
    values = {"PatientID": "P-9", "PatientName": "山田^太郎", "PatientBirthDate": "", "AccessionNumber": "A5"}
    ground.store.overrides.correct(ground.study().id, values, **ADA)
    (note,) = notes(ground)
    assert note.PatientID == first[0].PatientID, "the note is filed where the withdrawn objects lie"
    ground.settle()
    second = run(ground, pipeline)
    assert len(second) == len(first)
    for item in second:
        assert (item.PatientID, item.PatientName, item.AccessionNumber) == ("P-9", "山田^太郎", "A5")
        assert not item.PatientBirthDate
        assert item.StudyInstanceUID == first[0].StudyInstanceUID
        assert item.SpecificCharacterSet == "ISO_IR 192"
    assert not uids(second) & uids(first)

    late = phantom_series(slices=25)[-1]
    late.StudyInstanceUID = first[0].StudyInstanceUID
    assert ground.receive([late]) == [Intake.NEW], "the scanner goes on under what it was told"
    ground.settle()
    third = run(ground, pipeline)
    assert {str(item.PatientID) for item in third} == {"P-9"}

    ground.store.overrides.correct(ground.study().id, {}, unset=list(values), **ADA)
    ground.settle()
    assert {str(item.PatientID) for item in run(ground, pipeline)} == {first[0].PatientID}


@pytest.mark.long
def test_another_birth_date_makes_another_age(screened, ends: Ends) -> None:
    ground, pipeline, _ = screened
    ground.store.overrides.correct(ground.study().id, {"PatientBirthDate": "20200101"}, **ADA)
    ground.settle()
    run(ground, pipeline)
    assert "younger than 18" in ends.decisions[-1].reason


@pytest.mark.parametrize("moment", ["screening", "delivery"])
def test_a_correction_of_the_patient_at_any_moment(
    ground: Ground, tiny_bundle: Bundle, ends: Ends, moment: str
) -> None:
    """Whatever it meets: nothing more of the wrong patient leaves, and what may have left is taken back."""
    ground.store.operations.go_live("demo", "tester", "test")
    ground.receive(phantom_series(patches=6))
    ground.settle()
    pipeline = ground.pipeline(tiny_bundle, ends, max_heatmaps=1)
    right = corrected(PatientID="P-9", PatientName="Right^Patient")
    screening = ground.claim()
    if moment == "screening":
        ground.receive(right)
        pipeline.run(screening)
        assert ends.ends[-1][0] is ScreeningEnd.OVERTAKEN
        under_way = []
    else:
        pipeline.run(screening)
        under_way = ground.store.outbox.claim("demo", limit=2)
        ground.receive(right)
        assert not any(ground.store.outbox.may_leave(item.id) for item in under_way)
    assert ground.study().state is StudyState.HELD
    assert ground.store.outbox.claim("demo", limit=100) == []

    compare(ground)
    ground.store.asides.confirm_correction(ground.study().id, **ADA)
    for item in under_way:  # the answer comes late
        ground.store.outbox.accepted(item.id, "0000H")
    rejected = notes(ground)
    assert len(rejected) == bool(under_way)
    ground.settle()
    second = run(ground, pipeline)
    assert {(str(item.PatientID), str(item.PatientName)) for item in second} == {("P-9", "Right^Patient")}
    assert not any(str(item.PatientID) == "P-9" for item in rejected)
    states = {
        item.state for item in ground.store.outbox.for_study(ground.study().id) if item.kind != "rejection"
    }
    assert DeliveryState.PENDING in states


@pytest.mark.long
def test_a_second_correction_takes_back_what_the_first_one_issued(screened) -> None:
    ground, pipeline, _ = screened
    let_leave(ground)
    for patient in ("P-8", "P-9"):
        ground.receive(corrected(PatientID=patient))
        compare(ground)
        ground.store.asides.confirm_correction(ground.study().id, **ADA)
        ground.settle()
        run(ground, pipeline)
        let_leave(ground)
    rejected = notes(ground)
    assert [str(item.PatientID) for item in rejected] == ["PHANTOM", "P-8"]
    current = ground.store.screenings.current_version(ground.study().id, "tiny")
    assert current is not None
    assert current.version == 3


@pytest.mark.long
def test_a_correction_that_is_withdrawn_too_leaves_one_note_a_version(screened) -> None:
    ground, pipeline, first = screened
    let_leave(ground)
    ground.receive(corrected(PatientID="P-9"))
    compare(ground)
    ground.store.asides.confirm_correction(ground.study().id, **ADA)
    ground.settle()
    second = run(ground, pipeline)
    let_leave(ground)
    ground.store.withdrawals.withdraw(ground.study().id, title=Withdrawal.QUALITY, **ADA)
    rejected = notes(ground)
    assert [item.ConceptNameCodeSequence[0].CodeValue for item in rejected] == ["113037", "113001"]
    third = again(ground, pipeline)
    assert {str(item.PatientID) for item in third} == {"P-9"}
    assert not uids(third) & (uids(first) | uids(second))
