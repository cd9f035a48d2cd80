"""Whatever arrives and whatever is decided, nothing acknowledged is lost and no row contradicts another."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from node.domain.delivery import DeliveryState
from node.domain.identity import PatientKey
from node.domain.job import Assignment
from node.domain.study import Arrival, Intake, SeriesEvent, SeriesState, StudyState, Verdict
from node.store import schema
from node.store.integrity import check
from node.store.naming import NAMING_TABLES
from node.store.store import open_store


class StoreMachine(RuleBasedStateMachine):
    """Two patients, two studies, three series, a few instances, in every order."""

    index = clock_type = uids_type = header = finding = None

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        shutil.copy(self.index, self.folder.name)
        self.clock = self.clock_type()
        self.store = open_store(Path(self.folder.name), clock=self.clock, uids=self.uids_type())
        self.acknowledged: set[str] = set()
        self.dismissed: set[str] = set()

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def studies(self, state: StudyState) -> list:
        return [study for study in self.store.studies.list() if study.state is state]

    @rule(
        instance=st.integers(1, 4),
        series=st.integers(1, 3),
        study=st.integers(1, 2),
        patient=st.integers(1, 2),
        sex=st.sampled_from(["F", "F", "F", "M"]),
        data=st.integers(1, 3),
        swapped=st.booleans(),
    )
    def arrive(self, instance, series, study, patient, sex, data, swapped) -> None:
        if not swapped:  # most arrivals are in order
            series, study, patient = 1 + instance % 3, 1 + instance % 3 // 2, 1 + instance % 3 // 2
        self.clock.advance(1)
        header = self.header(
            instance,
            series_instance_uid=f"1.2.3.{series}",
            study_instance_uid=f"1.2.4.{study}",
            patient=PatientKey(patient_id=f"P-{patient}"),
            patient_sex=sex,
        )
        stored = self.store.files.store(repr((header, data)).encode())
        intake = self.store.intake.add(
            Arrival(
                header=header,
                object_key=stored.key,
                sha256=stored.sha256,
                size=stored.size,
                received_at=self.clock.now(),
                calling_ae_title="CT1",
                association_id=None,
            )
        )
        assert intake is not Intake.OWN
        self.acknowledged.add(stored.key)
        self.dismissed.discard(stored.key)

    @rule()
    def conclude(self) -> None:
        for series in self.store.studies.receiving_series():
            count = series.instance_count
            assert self.store.studies.conclude_series(
                series.id, SeriesEvent.EVIDENCE, Verdict.QUIET, "quiet", instance_count=count
            )
            assert not self.store.studies.conclude_series(
                series.id, SeriesEvent.EVIDENCE, Verdict.QUIET, "quiet", instance_count=count
            )

    @rule()
    def settle(self) -> None:
        for study in self.store.studies.unsettled():
            is_open = any(series.state is SeriesState.RECEIVING for series in study.series)
            settled = self.store.studies.settle(
                study.id, [Assignment(model_name="covid")], last_arrival_at=study.last_arrival_at
            )
            assert settled is not is_open

    @rule(grows=st.booleans())
    def screen(self, grows) -> None:
        screening = self.store.screenings.claim("worker", lease=timedelta(hours=1))
        if screening is None:
            return
        study = self.store.studies.by_id(screening.study_id)
        assert study.state is StudyState.SETTLED
        if grows:
            self.store.studies.hold(study.id, "Ada", "look")
        finished = self.store.screenings.finish(
            screening.id, self.finding(), recipe="r", version=None, results=[], outlets=[]
        )
        assert finished is not grows

    @rule()
    def release(self) -> None:
        for study in self.studies(StudyState.HELD):
            self.store.studies.release(study.id, "Ada", "fine")

    @precondition(lambda self: self.store.asides.to_compare())
    @rule(verdict=st.sampled_from(["same", "correction", "other", "unreadable"]))
    def compare(self, verdict) -> None:
        aside = self.store.asides.to_compare()[0]
        if verdict == "same":
            self.store.asides.same(aside.id)
            self.dismissed.add(aside.object_key)
        elif verdict == "correction":
            self.store.asides.correction(aside.id)
            assert self.store.studies.by_id(aside.study_id).state is StudyState.HELD
        elif verdict == "other":
            self.store.asides.other_pixels(aside.id)
        else:
            self.store.asides.unreadable(aside.id, "no decoder")

    @precondition(lambda self: any(a.reason == "correction" for a in self.store.asides.list()))
    @rule()
    def confirm(self) -> None:
        study_id = next(a.study_id for a in self.store.asides.list() if a.reason == "correction")
        if self.store.studies.by_id(study_id).state is StudyState.HELD:
            self.store.asides.confirm_correction(study_id, "Ada", "right")

    @invariant()
    def every_acknowledged_object_is_named_by_exactly_one_row(self) -> None:
        with self.store.database.read() as connection:
            named = [
                key
                for table in NAMING_TABLES
                for key in connection.execute(select(table.c.object_key)).scalars()
            ]
        assert sorted(named) == sorted(set(named))
        assert set(named) == self.acknowledged - self.dismissed
        assert check(self.store) == []

    @invariant()
    def counts_and_states_agree(self) -> None:
        with self.store.database.read() as connection:
            counted = dict(
                connection.execute(
                    select(schema.instances.c.series_id, func.count()).group_by(schema.instances.c.series_id)
                ).all()
            )
            sent = connection.execute(
                select(schema.deliveries.c.id).where(schema.deliveries.c.state == DeliveryState.SENDING)
            ).all()
        assert sent == []
        for study in self.store.studies.list():
            assert (study.state is StudyState.HELD) == bool(study.hold_reason)
            for series in study.series:
                assert counted[series.id] == series.instance_count
                assert (series.state is SeriesState.RECEIVING) == (series.verdict is None)


def test_the_store_under_every_order_of_events(empty_index, clock, uids, make_header, make_finding):
    machine = type(
        "Machine",
        (StoreMachine,),
        {
            "index": empty_index,
            "clock_type": type(clock),
            "uids_type": type(uids),
            "header": staticmethod(make_header),
            "finding": staticmethod(make_finding),
        },
    )
    machine.TestCase.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
    machine.TestCase("runTest").runTest()
