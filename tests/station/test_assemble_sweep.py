"""From stored objects to a queued screening, on a real store, with the phantom's slices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest

from node.assemble.sweep import Sweep
from node.dicom.read import read_header
from node.dicom.write import PhantomLabels, write_phantom
from node.domain.study import (
    CORRECTION_HOLD,
    Arrival,
    AsideReason,
    AssociationEnd,
    Intake,
    SeriesState,
    Study,
    StudyState,
    Verdict,
)
from node.imaging.phantom import ThoraxPhantom
from node.store.store import Store, open_store
from tests.station.sweep_ground import QUIET, SELECTION, by_covid

MODEL = "covid"
PHANTOM = ThoraxPhantom(slices=16, rows=96)


@dataclass
class Ward:
    """A store into which files are received by hand, and the sweep over it."""

    store: Store
    clock: Any
    sweep: Sweep

    def receive(
        self,
        paths: Sequence[Path],
        *,
        sender: str = "CT1",
        end: AssociationEnd | None = AssociationEnd.RELEASED,
    ) -> list[Intake]:
        association = self.store.intake.association_opened(sender, "127.0.0.1")
        taken = []
        for path in paths:
            stored = self.store.files.store(path.read_bytes())
            arrival = Arrival(
                header=read_header(path),
                object_key=stored.key,
                sha256=stored.sha256,
                size=stored.size,
                received_at=self.clock.now(),
                calling_ae_title=sender,
                association_id=association,
            )
            taken.append(self.store.intake.add(arrival))
        if end is not None:
            self.store.intake.association_closed(association, end)
        return taken

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.sweep.run()

    @property
    def study(self) -> Study:
        (study,) = self.store.studies.list()
        return study


@pytest.fixture
def make_ward(tmp_path: Path, clock: Any, uids: Any) -> Iterator[Callable[..., Ward]]:
    opened: list[Store] = []

    def make(authorities: frozenset[str] = frozenset()) -> Ward:
        store = open_store(tmp_path / "store", clock=clock, uids=uids)
        opened.append(store)
        sweep = Sweep(store, clock, QUIET, lambda: SELECTION, by_covid, authorities=authorities)
        return Ward(store, clock, sweep)

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def ward(make_ward: Callable[..., Ward]) -> Ward:
    return make_ward()


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_phantom(tmp_path_factory.mktemp("series"), PHANTOM)


@pytest.fixture
def corrected(series: list[Path], tmp_path: Path) -> Callable[..., list[Path]]:
    """Return a function that writes copies of files with other attributes."""

    def make(count: int = len(PHANTOM), **attributes: object) -> list[Path]:
        made = []
        for path in series[:count]:
            data_set = pydicom.dcmread(path)
            for keyword, value in attributes.items():
                setattr(data_set, keyword, value)
            made.append(tmp_path / f"corrected-{path.name}")
            data_set.save_as(made[-1])
        return made

    return make


def test_a_whole_chest_is_complete_by_its_geometry(ward: Ward, series: list[Path]) -> None:
    ward.receive(list(reversed(series)))
    ward.pass_time(29)
    assert ward.study.series[0].state is SeriesState.RECEIVING
    ward.pass_time(1)
    (found,) = ward.study.series
    assert (found.state, found.verdict) == (SeriesState.COMPLETE, Verdict.GEOMETRY)
    assert "16 slices, one every 21.25 mm without gap or duplicate" in found.verdict_reason
    assert "closed at both ends" in found.verdict_reason
    assert ward.study.state is StudyState.RECEIVING
    ward.pass_time(90)
    assert ward.study.state is StudyState.SETTLED
    screening = ward.store.screenings.claim("w", lease=timedelta(days=1))
    assert screening is not None
    assert screening.study_instance_uid == ward.study.study_instance_uid
    assert screening.model_name == MODEL
    ward.pass_time(9999)
    assert ward.store.screenings.claim("w", lease=timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (slice(0, 10), "the lungs do not close at both ends"),
        (slice(6, None), "the lungs do not close at both ends"),
        (slice(0, 5), "too few to see the lungs close"),
        (slice(0, None, 2), None),
    ],
)
def test_a_part_of_a_chest_waits_for_the_long_quiet_time(
    ward: Ward, series: list[Path], part: slice, why: str | None
) -> None:
    ward.receive(series[part])
    ward.pass_time(119)
    if why is None:  # every other slice is a whole chest of thicker steps
        assert ward.study.series[0].verdict is Verdict.GEOMETRY
        return
    assert ward.study.series[0].state is SeriesState.RECEIVING
    ward.pass_time(1)
    assert ward.study.series[0].verdict is Verdict.QUIET
    assert why in ward.study.series[0].verdict_reason


def test_a_missing_slice_is_no_evidence(ward: Ward, series: list[Path]) -> None:
    ward.receive(series[:8] + series[9:])
    ward.pass_time(60)
    assert ward.study.series[0].state is SeriesState.RECEIVING
    ward.receive([series[8]])
    ward.pass_time(30)
    assert ward.study.series[0].verdict is Verdict.GEOMETRY


def test_an_open_association_holds(ward: Ward, series: list[Path]) -> None:
    ward.receive(series, end=None)
    ward.pass_time(9999)
    assert ward.study.series[0].state is SeriesState.RECEIVING


def test_an_abort_waits_for_the_cap_or_for_the_rest(ward: Ward, series: list[Path]) -> None:
    ward.receive(series[:12], end=AssociationEnd.ABORTED)
    ward.pass_time(1799)
    assert ward.study.series[0].state is SeriesState.RECEIVING
    ward.receive(series[12:])
    ward.pass_time(30)
    assert ward.study.series[0].verdict is Verdict.GEOMETRY


def test_the_cap_is_incomplete_and_settles(ward: Ward, series: list[Path]) -> None:
    ward.receive(series, end=AssociationEnd.ABORTED)
    ward.pass_time(1800)
    assert (ward.study.series[0].state, ward.study.series[0].verdict) == (SeriesState.INCOMPLETE, Verdict.CAP)
    assert ward.study.state is StudyState.SETTLED


def test_after_a_restart_nothing_is_judged_at_once(ward: Ward, series: list[Path]) -> None:
    ward.receive(series, end=None)
    ward.clock.advance(500)
    ward.store.studies.defer_after_restart(timedelta(seconds=120))
    ward.pass_time(119)
    assert ward.study.series[0].state is SeriesState.RECEIVING
    ward.pass_time(1)
    assert ward.study.series[0].verdict is Verdict.GEOMETRY
    assert "cut off by a restart" in ward.study.series[0].verdict_reason


@pytest.mark.parametrize("settling", [False, True], ids=["series", "study"])
def test_a_clock_that_is_set_back_delays_a_verdict_by_a_quiet_time_alone(
    ward: Ward, series: list[Path], settling: bool
) -> None:
    ward.receive(series)
    if settling:
        ward.pass_time(30)
        assert ward.study.series[0].state is SeriesState.COMPLETE
    ward.clock.advance(-86400)
    ward.pass_time(0)
    assert ward.study.state is StudyState.RECEIVING
    ward.pass_time(120)
    assert ward.study.series[0].state is SeriesState.COMPLETE
    assert ward.study.state is StudyState.SETTLED


def test_a_late_slice_opens_the_study_again(ward: Ward, series: list[Path]) -> None:
    ward.receive(series[:-1])
    ward.pass_time(30)
    ward.pass_time(90)
    assert ward.study.state is StudyState.SETTLED
    ward.receive(series[-1:])
    assert ward.study.state is StudyState.RECEIVING
    ward.pass_time(120)
    assert ward.study.state is StudyState.SETTLED
    assert ward.study.series[0].instance_count == len(series)


def test_a_trickling_report_does_not_hold_the_images(ward: Ward, series: list[Path], tmp_path: Path) -> None:
    ward.receive(series)
    ward.pass_time(119)
    report = pydicom.dcmread(series[0])
    del report.PixelData
    report.SOPClassUID, report.SOPInstanceUID = (
        "1.2.840.10008.5.1.4.1.1.88.67",
        "1.2.3",
    )  # X-Ray Radiation Dose
    report.SeriesInstanceUID, report.Modality = "1.2.4", "SR"
    report.save_as(tmp_path / "report.dcm")
    ward.receive([tmp_path / "report.dcm"])
    ward.pass_time(1)
    assert ward.study.state is StudyState.SETTLED


def test_by_hand_nothing_is_waited_for(ward: Ward, series: list[Path]) -> None:
    ward.receive(series[:12], end=AssociationEnd.ABORTED)
    ward.store.studies.complete(ward.study.id, "operator", "the scan was stopped")
    ward.sweep.run()
    assert ward.study.state is StudyState.SETTLED


def test_the_same_again_changes_nothing(ward: Ward, series: list[Path], tmp_path: Path) -> None:
    ward.receive(series)
    again = write_phantom(tmp_path, PHANTOM, transfer_syntax_uid="1.2.840.10008.1.2.5")
    assert ward.receive(series) == [Intake.REPEATED] * len(series)
    assert ward.receive(again) == [Intake.TO_COMPARE] * len(series)
    assert ward.sweep.run().compared == len(series)
    assert ward.store.asides.list() == []
    assert ward.study.state is StudyState.RECEIVING


def test_a_correction_holds_the_study(
    ward: Ward, series: list[Path], corrected: Callable[..., list[Path]]
) -> None:
    ward.receive(series)
    ward.receive(corrected(PatientName="Other^Name"))
    ward.pass_time(9999)
    assert ward.study.state is StudyState.HELD
    assert ward.study.hold_reason == f"{CORRECTION_HOLD}: PatientName"
    assert "Other" not in ward.study.hold_reason
    ward.store.asides.confirm_correction(ward.study.id, "operator", "the name was wrong")
    assert ward.study.patient_name == "Other^Name"
    ward.pass_time(120)
    assert ward.study.state is StudyState.SETTLED


def test_an_authority_confirms_its_correction_when_it_has_come_to_an_end(
    make_ward: Callable[..., Ward], series: list[Path], corrected: Callable[..., list[Path]]
) -> None:
    ward = make_ward(frozenset({"RIS"}))
    ward.receive(series)
    ward.pass_time(120)
    ward.receive(corrected(8, PatientName="Other^Name"), sender="RIS")
    ward.pass_time(60)
    ward.receive(corrected(PatientName="Other^Name")[8:], sender="RIS")
    ward.pass_time(60)
    assert ward.study.state is StudyState.HELD
    ward.pass_time(60)
    assert ward.study.state is not StudyState.HELD
    assert ward.study.patient_name == "Other^Name"
    assert "RIS" in {act.by for act in ward.store.operations.audit_trail(10)}


@pytest.mark.parametrize("attribute", ["PatientID", "IssuerOfPatientID"])
def test_an_authority_moves_a_whole_study_to_another_patient(
    make_ward: Callable[..., Ward], series: list[Path], corrected: Callable[..., list[Path]], attribute: str
) -> None:
    ward = make_ward(frozenset({"RIS"}))
    ward.receive(series)
    ward.pass_time(120)
    moved = corrected(**{attribute: "MOVED"})
    assert ward.receive(moved[:-1], sender="RIS") == [Intake.CONFLICT] * (len(series) - 1)
    ward.pass_time(9999)
    assert ward.study.state is StudyState.HELD, "one image is still the other patient's"
    assert ward.study.patient.patient_id == "PHANTOM"
    assert ward.study.patient.issuer == ""
    ward.receive(moved[-1:], sender="RIS")
    ward.pass_time(119)
    assert ward.study.state is StudyState.HELD
    ward.pass_time(1)
    assert ward.study.state is not StudyState.HELD
    assert "MOVED" in {ward.study.patient.patient_id, ward.study.patient.issuer}
    ward.pass_time(120)
    assert ward.study.state is StudyState.SETTLED


@pytest.mark.parametrize("sender", ["CT1", "RIS"])
def test_an_authority_does_not_lift_another_hold(
    make_ward: Callable[..., Ward], series: list[Path], corrected: Callable[..., list[Path]], sender: str
) -> None:
    ward = make_ward(frozenset({"RIS"}))
    ward.receive(series)
    if sender == "RIS":
        ward.store.studies.hold(ward.study.id, "operator", "asked the ward")
    ward.receive(corrected(2, PatientName="Other^Name"), sender=sender)
    ward.pass_time(9999)
    assert ward.study.state is StudyState.HELD


def test_other_pixels_are_kept_and_the_first_stay_in_force(
    ward: Ward, series: list[Path], corrected: Callable[..., list[Path]]
) -> None:
    ward.receive(series)
    before = ward.store.studies.instances(ward.study.series[0].id)
    ward.receive(corrected(1, RescaleIntercept=-1000))
    ward.pass_time(1)
    (aside,) = ward.store.asides.list()
    assert aside.reason is AsideReason.OTHER_PIXELS
    assert ward.store.files.path(aside.object_key).is_file()
    assert ward.store.studies.instances(ward.study.series[0].id) == before
    assert ward.study.state is StudyState.RECEIVING


def test_what_cannot_be_compared_is_kept(
    ward: Ward, series: list[Path], corrected: Callable[..., list[Path]]
) -> None:
    ward.receive(series)
    ward.receive(corrected(1, BitsAllocated=12, PatientName="Other^Name"))
    ward.pass_time(1)
    (aside,) = ward.store.asides.list()
    assert aside.reason is AsideReason.UNREADABLE
    assert "BitsAllocated" in aside.detail


def test_one_bad_series_does_not_stop_the_others(ward: Ward, series: list[Path], tmp_path: Path) -> None:
    other = write_phantom(tmp_path, PHANTOM, PhantomLabels(identity="other", patient_id="P2"))
    ward.receive(other)
    ward.receive(series)
    for instance in ward.store.studies.instances(ward.store.studies.receiving_series()[0].id):
        ward.store.files.path(instance.object_key).unlink()
    ward.pass_time(30)
    states = {study.patient.patient_id: study.series[0].state for study in ward.store.studies.list()}
    assert states == {"P2": SeriesState.RECEIVING, "PHANTOM": SeriesState.COMPLETE}


def test_a_sender_with_pauses_is_waited_for(ward: Ward, series: list[Path], tmp_path: Path) -> None:
    for number, identity in enumerate(("a", "b", "c", "d")):
        labels = dataclasses.replace(PhantomLabels(), identity=identity, patient_id=identity)
        paths = write_phantom(tmp_path / str(number), PHANTOM, labels)
        association = ward.store.intake.association_opened("SLOW", "127.0.0.1")
        for path in paths:
            ward.clock.advance(25)
            stored = ward.store.files.store(path.read_bytes())
            ward.store.intake.add(
                Arrival(
                    header=read_header(path),
                    object_key=stored.key,
                    sha256=stored.sha256,
                    size=stored.size,
                    received_at=ward.clock.now(),
                    calling_ae_title="SLOW",
                    association_id=association,
                )
            )
        ward.store.intake.association_closed(association, AssociationEnd.RELEASED)
    ward.pass_time(60)
    last = ward.store.studies.list()[0]
    assert last.series[0].state is SeriesState.RECEIVING
    ward.pass_time(40)
    assert ward.store.studies.list()[0].series[0].verdict is Verdict.GEOMETRY
