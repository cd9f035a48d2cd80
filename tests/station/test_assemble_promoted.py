"""The sweep looks for the lungs as the version does that is active now."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.assemble.sweep import Sweep
from node.dicom.write import write_phantom
from node.domain.errors import ModelNotServed
from node.domain.selection_spec import SelectionSpec
from node.domain.study import SeriesState, Verdict
from node.store.store import open_store
from tests.station.sweep_ground import QUIET, SELECTION, by_covid
from tests.station.test_assemble_sweep import PHANTOM, Ward


class Chosen:
    """How the active version selects; nothing where its folder is gone."""

    now: SelectionSpec | None = SELECTION

    def __call__(self) -> SelectionSpec:
        if self.now is None:
            raise ModelNotServed("no model 'covid'")
        return self.now


@pytest.fixture
def chosen() -> Chosen:
    return Chosen()


@pytest.fixture
def ward(tmp_path: Path, clock: Any, uids: Any, chosen: Chosen) -> Iterator[Ward]:
    store = open_store(tmp_path / "store", clock=clock, uids=uids)
    made = Ward(store, clock, Sweep(store, clock, QUIET, chosen, by_covid))
    made.receive(write_phantom(tmp_path / "series", PHANTOM))
    yield made
    store.close()


def test_a_version_promoted_meanwhile_looks_for_the_lungs(ward: Ward, chosen: Chosen) -> None:
    chosen.now = dataclasses.replace(SELECTION, minimum_slices=17)
    ward.pass_time(30)
    assert ward.study.series[0].state is SeriesState.RECEIVING, "16 slices are too few for this version"
    chosen.now = SELECTION
    ward.pass_time(0)
    assert ward.study.series[0].verdict is Verdict.GEOMETRY


def test_a_model_folder_that_is_gone_stops_no_sweep(
    ward: Ward, chosen: Chosen, caplog: pytest.LogCaptureFixture
) -> None:
    chosen.now = None
    ward.pass_time(30)
    assert ward.study.series[0].verdict is Verdict.GEOMETRY
    assert "the lungs are looked for as before: no model 'covid'" in caplog.text
