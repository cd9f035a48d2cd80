"""A real store in a temporary folder, and what fills it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from node.domain.delivery import Outlet
from node.domain.identity import derived_uid
from node.domain.job import Assignment, Screening
from node.domain.model import ModelIdentity, ModelStatus, Precision
from node.domain.result import (
    Finding,
    OperatingPoint,
    Outcome,
    ResultKind,
    ResultObject,
    RunOutcome,
    SeriesChoice,
    SliceScore,
)
from node.domain.study import Arrival, InstanceHeader, Intake, SeriesEvent, SeriesState, Verdict
from node.store.database import Database
from node.store.store import Store, open_store
from tests.conftest import CountingUids, FrozenClock, ct_header

MODEL = "covid"


@dataclass(frozen=True)
class Ward:
    """The store with the acts that most tests begin with."""

    store: Store
    clock: Any
    make_header: Callable[..., InstanceHeader]

    def arrival(
        self, header: InstanceHeader, *, data: bytes = b"", association_id: int | None = None
    ) -> Arrival:
        stored = self.store.files.store(data or header.sop_instance_uid.encode())
        return Arrival(
            header=header,
            object_key=stored.key,
            sha256=stored.sha256,
            size=stored.size,
            received_at=self.clock.now(),
            calling_ae_title="CT1",
            association_id=association_id,
        )

    def add(
        self,
        number: int = 1,
        *,
        data: bytes = b"",
        association_id: int | None = None,
        own: frozenset[str] = frozenset(),
        **changes: Any,
    ) -> Intake:
        arrival = self.arrival(self.make_header(number, **changes), data=data, association_id=association_id)
        return self.store.intake.add(arrival, own_device_uids=own)

    @property
    def study(self) -> Any:
        return self.store.studies.list(1)[0]

    def conclude(self) -> None:
        for series in self.store.studies.receiving_series():
            assert self.store.studies.conclude_series(
                series.id,
                SeriesEvent.EVIDENCE,
                Verdict.GEOMETRY,
                "gap-free",
                instance_count=series.instance_count,
            )

    def settle(self) -> None:
        self.conclude()
        study = self.study
        assert self.store.studies.settle(
            study.id, [Assignment(model_name=MODEL)], last_arrival_at=study.last_arrival_at
        )

    def claim(self) -> Screening:
        claimed = self.store.screenings.claim("worker", lease=timedelta(minutes=30))
        assert claimed is not None
        return claimed

    def results(self, recipe: str, *, heatmaps: int = 2) -> list[ResultObject]:
        """Return a stored result set, the report first: the store orders them."""
        made = []
        for kind, index in [(ResultKind.REPORT, 0), *((ResultKind.HEATMAP, i + 1) for i in range(heatmaps))]:
            uid = derived_uid(kind, str(index), recipe)
            stored = self.store.files.store(f"{uid} {recipe}".encode())
            made.append(
                ResultObject(
                    kind=kind,
                    index=index,
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
                    sop_instance_uid=uid,
                    series_instance_uid=derived_uid(kind),
                    transfer_syntax_uid="1.2.840.10008.1.2.1",
                    object_key=stored.key,
                    sha256=stored.sha256,
                    size=stored.size,
                )
            )
        return made

    def finish(
        self,
        screening: Screening,
        recipe: str = "recipe-1",
        *,
        version: int | None = 1,
        destinations: tuple[tuple[str, bool], ...] = (("pacs", True),),
        heatmaps: int = 2,
    ) -> bool:
        return self.store.screenings.finish(
            screening.id,
            a_finding(),
            recipe=recipe,
            version=version,
            results=self.results(recipe, heatmaps=heatmaps) if version is not None else [],
            outlets=[Outlet(name=name, leaves=leaves) for name, leaves in destinations],
            seconds={"infer": 1.5},
        )

    def screened(self, recipe: str = "recipe-1", *, version: int | None = 1, **how: Any) -> Screening:
        """Settle, claim and finish what arrived."""
        self.settle()
        screening = self.claim()
        assert self.finish(screening, recipe, version=version, **how)
        return screening


def a_finding(**changes: Any) -> Finding:
    fields: dict[str, Any] = {
        "outcome": Outcome.NEGATIVE,
        "run_outcome": RunOutcome.SUCCEEDED,
        "reason": "1 of 2 selected slices is positive",
        "warnings": ("the operating point is not validated", "Grüße"),
        "choices": (
            SeriesChoice(
                series_instance_uid="1.2.826.0.1.10.1",
                series_number=None,
                series_description="thin",
                modality="CT",
                instance_count=2,
                state=SeriesState.COMPLETE,
                verdict=Verdict.GEOMETRY,
                verdict_reason="gap-free",
                chosen=True,
                eligible=True,
                reason="the only one",
            ),
        ),
        "series_instance_uid": "1.2.826.0.1.10.1",
        "selection_rule": "in-body",
        "selection_threshold": "1/7",
        "slices": tuple(
            SliceScore(
                sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                sop_instance_uid=f"1.2.826.0.1.1.{number}",
                frame=1,
                instance_number=number,
                position=number / 3,
                dark_count=1000,
                selected=probability is not None,
                probability=probability,
                positive=probability is not None and probability > 0.5,
            )
            for number, probability in enumerate([0.1, None, 0.9000000000000001])
        ),
        "operating_point": OperatingPoint(
            name="paper", slice_threshold=0.5, share=Fraction(3, 10), chosen_on="COVID-CTset", validated=False
        ),
        "model": ModelIdentity(
            name=MODEL,
            version=1,
            status=ModelStatus.DEMONSTRATION,
            spec_sha256="a" * 64,
            weights_sha256="b" * 64,
            engine="openvino",
            engine_version="2026.0",
            precision=Precision.F32,
            device="CPU",
        ),
    }
    return Finding(**{**fields, **changes})


class NoClock:
    """Making an index needs no time."""

    def now(self) -> datetime:
        raise AssertionError

    monotonic = now


@pytest.fixture(scope="session")
def empty_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated index to copy, for migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "index.sqlite"
    Database.open(f"sqlite:///{path}", clock=NoClock()).close()
    return path


@pytest.fixture
def store(tmp_path: Path, empty_index: Path, clock: Any, uids: Any) -> Iterator[Store]:
    (tmp_path / "data").mkdir()
    shutil.copy(empty_index, tmp_path / "data")
    opened = open_store(tmp_path / "data", clock=clock, uids=uids)
    yield opened
    opened.close()


@pytest.fixture
def ward(store: Store, clock: Any, make_header: Callable[..., InstanceHeader]) -> Ward:
    return Ward(store, clock, make_header)


@pytest.fixture(scope="session")
def make_ward(empty_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Ward]]:
    """Return a function that makes a ward of its own, for tests with many examples."""
    opened: list[Store] = []

    def make() -> Ward:
        folder = tmp_path_factory.mktemp("ward")
        shutil.copy(empty_index, folder)
        clock = FrozenClock()
        opened.append(open_store(folder, clock=clock, uids=CountingUids()))
        return Ward(opened[-1], clock, ct_header)

    yield make
    for item in opened:
        item.close()


@pytest.fixture
def make_finding() -> Callable[..., Finding]:
    return a_finding
