"""Procedure steps and notifications of availability on the network, and what the verdict makes of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import InstanceAvailabilityNotification, ModalityPerformedProcedureStep

from node.assemble.sweep import Sweep
from node.dimse.incoming import MAX_LIST_BYTES
from node.domain.identity import derived_uid
from node.domain.study import Series, SeriesState, StudyState, Verdict
from tests.station.asking_ground import Node, Scanner, running_node
from tests.station.receiving_node import AE_TITLE
from tests.station.sweep_ground import QUIET, SELECTION, by_covid

NUMBERS = itertools.count(1)
STEP, NOTICE = ModalityPerformedProcedureStep, InstanceAvailabilityNotification


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("told") / "node") as made:
        yield made


@pytest.fixture
def study() -> str:
    return f"told{next(NUMBERS)}"


@pytest.fixture
def uid() -> str:
    return f"2.25.9{next(NUMBERS)}"


@contextmanager
def calling(node: Node, ae_title: str = "CT1") -> Iterator[Association]:
    entity = AE(ae_title=ae_title)
    for sop_class in (STEP, NOTICE):
        entity.add_requested_context(sop_class)
    association = entity.associate("127.0.0.1", node.port, ae_title=AE_TITLE)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def series_uid(study: str) -> str:
    return derived_uid("test", "series", study)


def step(status: str | None = None, listed: dict[str, Sequence[str]] | None = None) -> Dataset:
    """Return the attributes of a step, with patient data as modalities send them."""
    attributes = Dataset()
    attributes.PatientName, attributes.PatientID = "Never^Kept", "NEVERKEPT"
    if status is not None:
        attributes.PerformedProcedureStepStatus = status
    if listed is not None:
        attributes.PerformedSeriesSequence = [performed(*item) for item in listed.items()]
    return attributes


def performed(series: str, uids: Sequence[str]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series
    item.ReferencedImageSequence = [referenced(uid) for uid in uids[1:]]
    item.ReferencedNonImageCompositeSOPInstanceSequence = [referenced(uid) for uid in uids[:1]]
    return item


def referenced(uid: str, availability: str | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
    if availability is not None:
        item.InstanceAvailability = availability
    return item


def notice(study: str, available: Sequence[str], gone: Sequence[str] = ()) -> Dataset:
    attributes = Dataset()
    attributes.StudyInstanceUID = derived_uid("test", "study", study)
    item = Dataset()
    item.SeriesInstanceUID = series_uid(study)
    item.ReferencedSOPSequence = [
        *(referenced(uid, "ONLINE") for uid in available),
        *(referenced(uid, "UNAVAILABLE") for uid in gone),
    ]
    attributes.ReferencedSeriesSequence = [item]
    return attributes


def rows(node: Node, table: str) -> list:
    with node.store.database.read() as connection:
        return connection.exec_driver_sql(f"SELECT * FROM {table}").all()


def swept(node: Node, study: str) -> Series:
    """Return a series after a sweep."""
    expectations = [node.store.announcements.expectations]
    Sweep(node.store, node.clock, QUIET, lambda: SELECTION, by_covid, expectations=expectations).run()
    (series,) = node.store.studies.get(derived_uid("test", "study", study)).series
    return series


def test_a_completed_step_ends_the_waiting(node, tmp_path: Path, study, uid):
    here = node.receive(tmp_path, 3, study=study)
    path = tmp_path / "later"
    path.mkdir()
    with calling(node) as association:
        status, _ = association.send_n_create(step("IN PROGRESS"), STEP, uid)
        assert status.Status == 0x0000
        fourth = derived_uid("test", "instance", study, "4", "1.2.840.10008.1.2.1", CTImageStorage)
        change = step("COMPLETED", {series_uid(study): [*here, fourth]})
        assert association.send_n_set(change, STEP, uid)[0].Status == 0x0000
    node.clock.at += QUIET.plain
    assert swept(node, study).state is SeriesState.RECEIVING  # quiet for long enough, but one is missing
    (series_id,) = [item.id for item in node.store.studies.receiving_series()]
    assert node.store.announcements.missing(series_id) == [fourth]

    assert node.receive(path, 1, study=study, first=4) == [fourth]
    series = swept(node, study)
    assert (series.state, series.verdict) == (SeriesState.COMPLETE, Verdict.PROCEDURE_STEP)
    assert "all 4 instances that the completed procedure step lists" in series.verdict_reason
    kept = str(rows(node, "announcements") + rows(node, "announced_instances"))
    assert fourth in kept
    assert "never" not in kept.lower()


@pytest.mark.parametrize("wrong", ["too short", "of another series"])
def test_a_step_that_contradicts_what_is_here_ends_no_waiting(node, tmp_path, study, uid, wrong):
    """A mistake, or a forger: more has come than is listed, or what is listed lies elsewhere."""
    here = node.receive(tmp_path, 3, study=study)
    other = tmp_path / "other"
    other.mkdir()
    elsewhere = node.receive(other, 3, study=f"{study}-other")
    listed = here[:2] if wrong == "too short" else [here[0], *elsewhere[:2]]
    with calling(node) as association:
        association.send_n_create(step("IN PROGRESS"), STEP, uid)
        association.send_n_set(step("COMPLETED", {series_uid(study): listed}), STEP, uid)
    assert swept(node, study).state is SeriesState.RECEIVING
    node.clock.at += QUIET.plain
    assert swept(node, study).verdict is Verdict.QUIET


def test_a_discontinued_step_is_final_but_not_whole(node, tmp_path, study, uid):
    here = node.receive(tmp_path, 2, study=study)
    with calling(node) as association:
        association.send_n_create(step("IN PROGRESS", {series_uid(study): here}), STEP, uid)
        association.send_n_set(step("DISCONTINUED"), STEP, uid)
    series = swept(node, study)
    assert (series.state, series.verdict) == (SeriesState.INCOMPLETE, Verdict.DISCONTINUED)


def test_a_step_that_ends_after_the_cap_makes_a_series_count_after_all(node, tmp_path, study, uid):
    here = node.receive(tmp_path, 2, study=study)
    begun = step("IN PROGRESS", {series_uid(study): [*here, "1.2.3.66"]})
    with calling(node) as association:
        association.send_n_create(begun, STEP, uid)
        node.clock.at += QUIET.cap
        assert swept(node, study).verdict is Verdict.CAP
        assert node.store.studies.get(derived_uid("test", "study", study)).state is StudyState.SETTLED
        association.send_n_set(step("COMPLETED", {series_uid(study): here}), STEP, uid)
    series = swept(node, study)
    assert (series.state, series.verdict) == (SeriesState.COMPLETE, Verdict.PROCEDURE_STEP)
    assert node.store.studies.get(derived_uid("test", "study", study)).state is StudyState.SETTLED


def test_what_is_available_elsewhere_is_waited_for_until_the_cap(node, tmp_path, study, uid):
    here = node.receive(tmp_path, 2, study=study)
    with calling(node, "PACS") as association:
        told = notice(study, [*here, "1.2.3.77"], gone=["1.2.3.78"])
        assert association.send_n_create(told, NOTICE, uid)[0].Status == 0x0000
        assert association.send_n_create(told, NOTICE, uid)[0].Status == 0x0111
    node.clock.at += QUIET.plain
    assert swept(node, study).state is SeriesState.RECEIVING
    node.clock.at += QUIET.cap
    series = swept(node, study)
    assert (series.state, series.verdict) == (SeriesState.INCOMPLETE, Verdict.CAP)
    assert "1 of the 3 instances that an instance availability" in series.verdict_reason


def test_a_request_for_commitment_is_a_lower_bound(node, tmp_path, study, uid):
    here = node.receive(tmp_path, 2, study=study)
    assert Scanner("CT2").ask(node, [*here, "1.2.3.99"], uid) == 0x0000
    node.clock.at += QUIET.plain
    assert swept(node, study).state is SeriesState.RECEIVING
    node.clock.at += QUIET.cap - timedelta(seconds=1) - QUIET.plain
    assert swept(node, study).state is SeriesState.RECEIVING
    node.clock.at += timedelta(seconds=1)
    assert swept(node, study).verdict is Verdict.CAP


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # the library's, of what is sent
def test_what_a_step_may_and_may_not(node, uid):
    with calling(node) as association:
        assert association.send_n_set(step("COMPLETED"), STEP, uid)[0].Status == 0x0112
        assert association.send_n_create(step("COMPLETED"), STEP, uid)[0].Status == 0x0106
        assert association.send_n_create(step("RUNNING"), STEP, uid)[0].Status == 0x0106
        assert association.send_n_create(step(), STEP, uid)[0].Status == 0x0120
        malformed = step("IN PROGRESS", {"1.2.3": ["1.2"]})
        del malformed.PerformedSeriesSequence[0].SeriesInstanceUID
        assert association.send_n_create(malformed, STEP, uid)[0].Status == 0x0106
        assert association.send_n_create(step("IN PROGRESS"), STEP, uid)[0].Status == 0x0000
        assert association.send_n_create(step("IN PROGRESS"), STEP, uid)[0].Status == 0x0111
        assert association.send_n_set(step("IN PROGRESS", {"1.2.3": ["1.2"]}), STEP, uid)[0].Status == 0x0000
        assert association.send_n_set(step("COMPLETED"), STEP, uid)[0].Status == 0x0000
        refused, _ = association.send_n_set(step("DISCONTINUED"), STEP, uid)
        assert (refused.Status, refused.ErrorID) == (0x0110, 0xA710)
        assert refused.ErrorComment == "Performed Procedure Step Object may no longer be updated"
        assert association.send_n_create(step("IN PROGRESS"), STEP, "1.02.x")[0].Status == 0x0117
        named, _ = association.send_n_create(step("IN PROGRESS"), STEP)
        assert (named.Status, rows(node, "announcements")[-1].sop_instance_uid[:5]) == (0x0000, "2.25.")
        long = step("IN PROGRESS")
        long.TextValue = "x" * (MAX_LIST_BYTES + 1)
        assert association.send_n_create(long, STEP, f"{uid}.1")[0].Status == 0x0213


def test_a_step_is_changed_only_by_who_created_it(node, uid):
    """Else one scanner could end the step of another, and with it the waiting for its images."""
    with calling(node, "CT2") as owner, calling(node, "CT1") as other:
        assert owner.send_n_create(step("IN PROGRESS"), STEP, uid)[0].Status == 0x0000
        refused, _ = other.send_n_set(step("COMPLETED", {"1.2.3": ["1.2.3.55"]}), STEP, uid)
        assert (refused.Status, refused.ErrorComment) == (0x0124, "another AE created this step")
        kept = [row for row in rows(node, "announcements") if row.sop_instance_uid == uid]
        assert [row.status for row in kept] == ["in-progress"]
        assert "1.2.3.55" not in [row.sop_instance_uid for row in rows(node, "announced_instances")]
        assert owner.send_n_set(step("COMPLETED"), STEP, uid)[0].Status == 0x0000


def test_a_step_is_told_to_nobody(node):
    """Too little of it is kept to answer N-GET (PS3.4 F.8) or to notify (F.9): refused, not half done."""
    others = ("1.2.840.10008.3.1.2.3.4", "1.2.840.10008.3.1.2.3.5")
    entity = AE(ae_title="CT2")
    for sop_class in (*others, STEP):
        entity.add_requested_context(sop_class)
    association = entity.associate("127.0.0.1", node.port, ae_title=AE_TITLE)
    refused = {context.abstract_syntax: context.result for context in association.rejected_contexts}
    assert refused == dict.fromkeys(others, 3)  # abstract syntax not supported, PS3.8 table 9-18
    assert association.send_n_create(step("IN PROGRESS"), STEP, "2.25.990")[0].Status == 0x0000
    association.release()


def test_an_operation_that_a_sop_class_does_not_have_is_not_recognised(node, uid):
    """PS3.7 C.5.23; the association goes on."""
    with calling(node) as association:
        assert association.send_n_get([0x00100010], STEP, uid)[0].Status == 0x0211
        assert association.send_n_delete(NOTICE, uid).Status == 0x0211
        assert association.send_n_set(step("COMPLETED"), NOTICE, uid)[0].Status == 0x0211
        assert association.send_n_action(step(), 1, STEP, uid)[0].Status == 0x0211
        assert association.send_n_create(step("IN PROGRESS"), STEP, uid)[0].Status == 0x0000


def test_who_may_tell(node):
    with calling(node, "SENDER") as association:
        assert association.accepted_contexts == []
