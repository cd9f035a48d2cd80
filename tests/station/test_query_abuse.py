"""Retrievals that go wrong half-way, and peers that ask for more than they may."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from threading import Event

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role
from pynetdicom.sop_class import (
    CTImageStorage,
    PatientRootQueryRetrieveInformationModelGet,
    Verification,
)

from node.dicom.part10 import data_set_offset
from node.domain.identity import derived_uid
from node.domain.network import MoveDestination
from node.query.retrieve import RetrieveService
from node.store.schema import own_objects
from tests.free_ports import free_port
from tests.station.finding_ground import VIEWER, answering, calling, identifier_of
from tests.station.receiving_node import AE_TITLE, LIMITS, wait_until, write_instance
from tests.station.test_query_retrieve import GET, MOVE, SINK, STUDY, Sink, counts, fill, get

SERIES = derived_uid("test", "series", "1")


@pytest.fixture
def archive(tmp_path):
    with answering(tmp_path / "node") as running:
        yield running


# the library's client does not close a socket whose shutdown fails, as it does after a reset by the node
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_the_right_to_retrieve_is_none_to_store(archive, tmp_path):
    path, _ = write_instance(tmp_path / "1.dcm", 1)
    entity = AE(ae_title=VIEWER)
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    role = build_role(CTImageStorage, scp_role=True, scu_role=True)
    association = entity.associate("127.0.0.1", archive.port, ae_title=AE_TITLE, ext_neg=[role])
    (context,) = association.accepted_contexts
    assert not context.as_scu
    context._as_scu = True  # a peer that does not keep to what was negotiated
    association.send_c_store(dcmread(path))
    wait_until(lambda: archive.listener.connections == 0, "the association to end")
    wait_until(lambda: association.is_aborted, "the peer to notice it")
    assert list(archive.store.matches.find("IMAGE", {}, frozenset())) == []


def test_a_retrieval_of_one_instance_sends_no_result_of_another_node(archive, tmp_path):
    first, _ = fill(archive, tmp_path, 1, 2)
    path, other = write_instance(tmp_path / "3.dcm", 3)
    kept = archive.store.files.store(path.read_bytes())
    at = archive.store.database.clock.now()
    with archive.store.database.write() as connection:
        connection.execute(
            own_objects.insert().values(
                sop_instance_uid=other,
                sop_class_uid=CTImageStorage,
                study_instance_uid=STUDY,
                object_key=kept.key,
                sha256=kept.sha256,
                size=kept.size,
                calling_ae_title="CT1",
                first_at=at,
                last_at=at,
                arrivals=1,
            )
        )
    keys = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    for uid in (first, other):
        sink = Sink()
        *_, (last, _) = get(archive, sink, QueryRetrieveLevel="IMAGE", SOPInstanceUID=uid, **keys)
        assert (last.Status, set(sink.objects)) == (0x0000, {uid})


def path_of(archive, uid):
    pages = archive.store.matches.find("IMAGE", {}, frozenset({"SOPInstanceUID"}))
    (key,) = [item.object_key for page in pages for item in page if item.values["SOPInstanceUID"] == uid]
    return archive.store.files.path(key)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("how", ["garbage", "head", "folder"])
def test_an_unreadable_file_fails_alone(archive, tmp_path, how, syntax):
    first, second = fill(archive, tmp_path, 1, 2)
    path = path_of(archive, first)
    data = path.read_bytes()
    path.unlink()
    if how == "garbage":
        path.write_bytes(b"\x00garbage" * 100)
    elif how == "head":
        path.write_bytes(data[: data_set_offset(BytesIO(data))])
    else:
        path.mkdir()
    sink = Sink()
    *_, (last, failed) = get(archive, sink, syntax)
    assert (last.Status, counts(last), set(sink.objects)) == (0xB000, (1, 1, 0), {second})
    assert failed.FailedSOPInstanceUIDList == first


def test_an_association_is_not_idle_while_it_is_served(tmp_path):
    port = free_port()
    destination = MoveDestination(ae_title=SINK, host="127.0.0.1", port=port)

    class Slow(Sink):
        def take(self, event):
            Event().wait(0.2)
            return super().take(event)

    limits = replace(LIMITS, idle_seconds=0.4)
    with answering(tmp_path / "node", destination, limits=limits) as archive, Slow().listening(port):
        fill(archive, tmp_path, 1, 2, 3)
        with calling(archive.port, model=MOVE) as association:
            for _ in range(2):
                identifier = identifier_of("STUDY", {"StudyInstanceUID": STUDY})
                *_, (last, _) = association.send_c_move(identifier, SINK, MOVE)
                assert last.Status == 0x0000


def test_an_association_polls_no_faster_than_before_once_all_is_sent(archive, tmp_path):
    fill(archive, tmp_path, 1)
    entity = AE(ae_title=VIEWER)
    entity.add_requested_context(GET)
    entity.add_requested_context(Verification)
    association = entity.associate("127.0.0.1", archive.port, ae_title=AE_TITLE)
    (session,) = archive.listener._open_sessions()
    before = session._association.dul._run_loop_delay
    list(association.send_c_get(identifier_of("STUDY", {"StudyInstanceUID": STUDY}), GET))
    assert association.send_c_echo().Status == 0x0000
    assert session._association.dul._run_loop_delay == before
    association.release()


@pytest.mark.parametrize(("issuer", "found"), [("", 1), ("ELSEWHERE", 0)])
def test_the_patient_of_another_issuer_is_not_sent(archive, tmp_path, issuer, found):
    fill(archive, tmp_path, 1)
    sink = Sink()
    model = PatientRootQueryRetrieveInformationModelGet
    keys = {"PatientID": "P1", "IssuerOfPatientID": issuer}
    *_, (last, _) = get(archive, sink, model=model, QueryRetrieveLevel="PATIENT", **keys)
    assert (last.Status, len(sink.objects)) == (0x0000, found)


def test_of_two_patients_with_one_id_nobody_is_sent_by_chance(archive, tmp_path):
    fill(archive, tmp_path, 1, study="1", issuer="HERE")
    fill(archive, tmp_path, 2, study="2", issuer="THERE")
    model = PatientRootQueryRetrieveInformationModelGet
    sink = Sink()
    *_, (last, _) = get(archive, sink, model=model, QueryRetrieveLevel="PATIENT", PatientID="P1")
    assert (last.Status, len(sink.objects)) == (0xA900, 0)
    keys = {"PatientID": "P1", "IssuerOfPatientID": "THERE"}
    *_, (last, _) = get(archive, sink, model=model, QueryRetrieveLevel="PATIENT", **keys)
    assert (last.Status, len(sink.objects)) == (0x0000, 1)


def test_no_more_is_noted_than_can_be_counted(archive, tmp_path, monkeypatch):
    fill(archive, tmp_path, *range(1, 6))
    monkeypatch.setattr("node.query.retrieve.MOST_SUBOPERATIONS", 2)
    monkeypatch.setattr("node.dimse.retrieving.MOST_SUBOPERATIONS", 2)
    noted = []
    plain = RetrieveService.instances
    monkeypatch.setattr(
        RetrieveService, "instances", lambda *args, **kept: noted.extend(plain(*args, **kept)) or noted
    )
    sink = Sink()
    ((last, _),) = get(archive, sink)
    assert (last.Status, len(noted), sink.objects) == (0xA701, 3, {})
