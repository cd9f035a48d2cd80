"""A disk that cannot read one object any more, under a sweep that has others to see to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
import pytest

from node.assemble.sweep import Sweep
from node.dicom.read import read_header
from node.dicom.write import PhantomLabels, write_phantom
from node.domain.study import Arrival, AsideReason, Instance, SeriesState, Study, Verdict
from node.imaging.phantom import ThoraxPhantom
from node.store.store import Store, open_store
from tests.station.sweep_ground import QUIET, SELECTION, by_covid

UNREADABLE = Path("/proc/self/mem")
"""A regular file whose first bytes give EIO, as those on a failing disk do."""


@pytest.fixture
def store(tmp_path: Path, clock: Any, uids: Any) -> Iterator[Store]:
    opened = open_store(tmp_path / "store", clock=clock, uids=uids)
    yield opened
    opened.close()


def receive(store: Store, paths: Sequence[Path]) -> None:
    for path in paths:
        stored = store.files.store(path.read_bytes())
        store.intake.add(
            Arrival(
                header=read_header(path),
                object_key=stored.key,
                sha256=stored.sha256,
                size=stored.size,
                received_at=store.database.clock.now(),
                calling_ae_title="CT1",
                association_id=None,
            )
        )


def spoil(store: Store, object_key: str) -> None:
    """Let the disk fail under one object."""
    path = store.files.path(object_key)
    path.unlink()
    path.symlink_to(UNREADABLE)


def study_of(store: Store, patient_id: str) -> Study:
    return next(study for study in store.studies.list() if study.patient.patient_id == patient_id)


def instances_of(store: Store, patient_id: str) -> list[Instance]:
    return store.studies.instances(study_of(store, patient_id).series[0].id)


def test_an_unreadable_series_neither_stops_the_others_nor_waits_for_ever(
    store: Store, clock: Any, tmp_path: Path
) -> None:
    phantom = ThoraxPhantom(slices=16, rows=96)
    for name in ("first", "second"):
        labels = PhantomLabels(identity=name, patient_id=name)
        receive(store, write_phantom(tmp_path / name, phantom, labels))
    spoil(store, instances_of(store, "first")[3].object_key)
    sweep = Sweep(store, clock, QUIET, lambda: SELECTION, by_covid)
    clock.advance(30)
    sweep.run()
    assert study_of(store, "second").series[0].verdict is Verdict.GEOMETRY
    assert study_of(store, "first").series[0].state is SeriesState.RECEIVING
    clock.advance(90)
    sweep.run()
    (series,) = study_of(store, "first").series
    assert series.verdict is Verdict.QUIET
    assert "cannot be read" in series.verdict_reason


@pytest.mark.parametrize("fate", ["unreadable", "missing"])
def test_what_cannot_be_compared_for_the_disk_is_kept_and_holds_up_nobody(
    store: Store, clock: Any, tmp_path: Path, fate: str
) -> None:
    phantom = ThoraxPhantom(slices=6, rows=64)
    paths = write_phantom(tmp_path / "series", phantom)
    receive(store, paths)
    for path in paths[:2]:
        data_set = pydicom.dcmread(path)
        data_set.StudyDescription = "corrected"
        data_set.save_as(path)
    first = instances_of(store, PhantomLabels().patient_id)[0]
    spoil(store, first.object_key)
    if fate == "missing":
        store.files.delete(first.object_key)
    receive(store, paths[:2])
    Sweep(store, clock, QUIET, lambda: SELECTION, by_covid).run()
    assert [aside.reason for aside in store.asides.list()] == [
        AsideReason.UNREADABLE,
        AsideReason.CORRECTION,
    ]
