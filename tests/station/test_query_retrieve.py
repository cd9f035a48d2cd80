"""C-GET and C-MOVE against a running node, with pynetdicom and DCMTK as peers."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import time

import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian, JPEGLosslessSV1
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
)

from node.decide.matching import OneOf
from node.dimse.retrieving import PENDING_SECONDS
from node.domain.identity import derived_uid
from node.domain.network import MoveDestination
from tests.free_ports import free_port
from tests.station.finding_ground import VIEWER, answering, calling, identifier_of
from tests.station.receiving_node import AE_TITLE, LIMITS, wait_until
from tests.station.retrieving_ground import GET, MOVE, SINK, STUDY, Sink, counts, fill, get, move, run


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def archive(tmp_path, port):
    with answering(tmp_path / "node", MoveDestination(ae_title=SINK, host="127.0.0.1", port=port)) as running:
        yield running


def test_stored_bytes_come_back_as_they_lie(archive, tmp_path):
    stored = fill(archive, tmp_path, 1, 2, 3)
    sink = Sink()
    begun = time.monotonic()
    *pending, (last, _) = get(archive, sink)
    assert sink.objects == stored
    assert [status.NumberOfRemainingSuboperations for status, _ in pending][:1] == [2]
    assert len(pending) <= 1 + (time.monotonic() - begun) / PENDING_SECONDS
    assert (last.Status, counts(last)) == (0x0000, (3, 0, 0))


def test_an_object_of_many_pdus_comes_back_whole(archive, tmp_path):
    stored = fill(archive, tmp_path, 1, pixel_bytes=3 * 128 * 8192)
    sink = Sink()
    ((last, _),) = get(archive, sink)
    (uid,) = stored
    assert last.Status == 0x0000
    assert hashlib.sha256(sink.objects[uid]).digest() == hashlib.sha256(stored[uid]).digest()


def test_the_sibling_of_an_uncompressed_syntax_is_written_anew(archive, tmp_path):
    fill(archive, tmp_path, 1)
    sink = Sink()
    ((last, _),) = get(archive, sink, ImplicitVRLittleEndian)
    assert last.Status == 0x0000
    assert set(sink.syntaxes.values()) == {ImplicitVRLittleEndian}
    (data,) = sink.objects.values()
    assert b"Test^Person" in data


def test_what_the_peer_cannot_take_fails_and_is_named(archive, tmp_path):
    stored = fill(archive, tmp_path, 1, 2)
    compressed = fill(archive, tmp_path, 3, transfer_syntax=JPEGLosslessSV1)
    sink = Sink()
    *_, (last, failed) = get(archive, sink)
    assert set(sink.objects) == set(stored)
    assert (last.Status, counts(last)) == (0xB000, (2, 1, 0))
    assert failed.FailedSOPInstanceUIDList == next(iter(compressed))
    sink = Sink()
    *_, (last, _) = get(archive, sink, JPEGLosslessSV1)
    assert last.Status == 0xB000
    assert sink.objects == compressed


def test_warnings_and_failures_of_the_peer_are_counted(archive, tmp_path):
    first, second, third = fill(archive, tmp_path, 1, 2, 3)
    sink = Sink()
    sink.answers = {first: 0xB000, second: 0xA700}
    *_, (last, failed) = get(archive, sink)
    assert (last.Status, counts(last)) == (0xB000, (1, 1, 1))
    assert failed.FailedSOPInstanceUIDList == second
    sink.answers = dict.fromkeys([first, second, third], 0xA700)
    *_, (last, failed) = get(archive, sink)
    assert (last.Status, counts(last)) == (0xA702, (0, 3, 0))
    assert list(failed.FailedSOPInstanceUIDList) == [first, second, third]


def test_a_missing_file_fails_alone(archive, tmp_path):
    first, second = fill(archive, tmp_path, 1, 2)
    (page,) = archive.store.matches.find("IMAGE", {}, frozenset({"SOPInstanceUID"}))
    archive.store.files.delete(page[0].object_key)
    sink = Sink()
    *_, (last, failed) = get(archive, sink)
    assert archive.store.damage.count() == 1
    assert (set(sink.objects), last.Status) == ({second}, 0xB000)
    assert failed.FailedSOPInstanceUIDList == first


def cut_short(archive, uid):
    """Shorten a stored file within its data set; return its path."""
    criteria = {"SOPInstanceUID": OneOf(values=frozenset({uid}))}
    ((found,),) = archive.store.matches.find("IMAGE", criteria, frozenset({"SOPInstanceUID"}))
    path = archive.store.files.path(found.object_key)
    with path.open("rb+") as file:
        file.truncate(found.size - 2)
    return path


def test_a_file_that_became_shorter_fails_alone(archive, tmp_path, caplog):
    """Not one byte of it leaves: nobody takes it for the whole object."""
    first, second = fill(archive, tmp_path, 1, 2)
    path = cut_short(archive, first)
    sink = Sink()
    *_, (last, failed) = get(archive, sink)
    assert (set(sink.objects), last.Status) == ({second}, 0xB000)
    assert failed.FailedSOPInstanceUIDList == first
    assert path.stem in caplog.text
    assert archive.store.damage.count() == 1
    path.write_bytes((tmp_path / "1.dcm").read_bytes())  # out of a backup
    assert archive.store.damage.count() == 0


def test_a_file_that_became_shorter_is_not_moved(archive, tmp_path, port):
    first, second = fill(archive, tmp_path, 1, 2)
    cut_short(archive, first)
    sink = Sink()
    with sink.listening(port, ImplicitVRLittleEndian):  # written anew, which finds nothing wrong with it
        *_, (last, failed) = move(archive)
    assert (set(sink.objects), last.Status) == ({second}, 0xB000)
    assert failed.FailedSOPInstanceUIDList == first


@pytest.mark.parametrize(
    ("model", "level", "keys", "status"),
    [
        (GET, "STUDY", {"StudyInstanceUID": ""}, 0xA900),
        (GET, "STUDY", {"StudyInstanceUID": "*"}, 0xA900),
        (GET, "SERIES", {"SeriesInstanceUID": "1.2"}, 0xA900),
        (GET, "STUDY", {"StudyInstanceUID": "1.2.3.4"}, 0x0000),
        (PatientRootQueryRetrieveInformationModelGet, "STUDY", {"StudyInstanceUID": STUDY}, 0xA900),
    ],
)
def test_what_is_not_named_is_not_sent(archive, tmp_path, model, level, keys, status):
    fill(archive, tmp_path, 1)
    sink = Sink()
    ((last, _),) = get(archive, sink, model=model, QueryRetrieveLevel=level, **keys)
    assert (last.Status, sink.objects) == (status, {})


def test_only_who_has_the_right_may_get(archive, tmp_path):
    fill(archive, tmp_path, 1)
    sink = Sink()
    for title in ("CT1", "LIST"):
        assert get(archive, sink, ae_title=title) == []
    assert sink.objects == {}


def test_a_study_is_moved_to_a_listed_destination(archive, tmp_path, port):
    stored = fill(archive, tmp_path, 1, 2, 3)
    sink = Sink()
    with sink.listening(port):
        *pending, (last, _) = move(archive)
    assert sink.objects == stored
    assert sink.originators == {(VIEWER, 9)}
    assert [status.NumberOfRemainingSuboperations for status, _ in pending][:1] == [2]
    assert (last.Status, counts(last)) == (0x0000, (3, 0, 0))


def test_nothing_is_moved_elsewhere(archive, tmp_path):
    fill(archive, tmp_path, 1)
    ((last, _),) = move(archive, "ELSEWHERE")
    assert last.Status == 0xA801


def test_a_destination_that_does_not_answer_fails_every_instance(archive, tmp_path):
    stored = fill(archive, tmp_path, 1, 2)
    *_, (last, failed) = move(archive)
    assert (last.Status, counts(last)) == (0xA702, (0, 2, 0))
    assert set(failed.FailedSOPInstanceUIDList) == set(stored)


@pytest.mark.long
def test_a_destination_that_aborts_fails_what_is_left(archive, tmp_path, port):
    _, *rest = fill(archive, tmp_path, 1, 2, 3, 4)

    class Aborting(Sink):
        def take(self, event):
            if self.objects:
                event.assoc.abort(block=False)
            return super().take(event)

    sink = Aborting()
    with sink.listening(port):
        *_, (last, failed) = move(archive)
    assert (last.Status, counts(last)) == (0xB000, (1, 3, 0))
    assert list(failed.FailedSOPInstanceUIDList) == rest


@pytest.mark.long
def test_lists_of_uids_are_moved_by_the_patient_root(archive, tmp_path, port):
    stored = fill(archive, tmp_path, 1, 2, 3)
    first, second, _ = stored
    sink = Sink()
    keys = {
        "PatientID": "P1",
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": derived_uid("test", "series", "1"),
        "SOPInstanceUID": [first, second],
    }
    model = PatientRootQueryRetrieveInformationModelMove
    with sink.listening(port), calling(archive.port, model=model) as association:
        *_, (last, _) = association.send_c_move(identifier_of("IMAGE", keys), SINK, model)
    assert last.Status == 0x0000
    assert set(sink.objects) == {first, second}


def test_a_retrieval_is_cancelled_between_its_instances(archive, tmp_path, port):
    fill(archive, tmp_path, *range(1, 31))
    sink = Sink()
    with sink.listening(port), calling(archive.port, model=MOVE) as association:
        identifier = identifier_of("STUDY", {"StudyInstanceUID": STUDY})
        statuses = []
        for status, _ in association.send_c_move(identifier, SINK, MOVE, msg_id=3):
            if not statuses:
                association.send_c_cancel(3, query_model=MOVE)
            statuses.append(status)
    last = statuses[-1]
    assert last.Status == 0xFE00
    assert last.NumberOfRemainingSuboperations == 30 - last.NumberOfCompletedSuboperations > 0
    assert len(sink.objects) == last.NumberOfCompletedSuboperations


@pytest.mark.long
def test_a_get_is_cancelled_between_its_instances(archive, tmp_path):
    stored = fill(archive, tmp_path, *range(1, 31))

    class Impatient(Sink):
        def take(self, event):
            if len(self.objects) == 2:
                event.assoc.send_c_cancel(1, query_model=GET)
            return super().take(event)

    sink = Impatient()
    *_, (last, _) = get(archive, sink)
    assert last.Status == 0xFE00
    assert last.NumberOfRemainingSuboperations == 30 - len(sink.objects) > 0
    assert sink.objects.items() <= stored.items()


@pytest.mark.long
def test_a_peer_that_vanishes_ends_its_retrieval(archive, tmp_path):
    fill(archive, tmp_path, *range(1, 11))

    class Vanishing(Sink):
        def take(self, event):
            self.connection = event.assoc.dul.socket.socket
            self.connection.shutdown(socket.SHUT_RDWR)
            return super().take(event)

    begun = time.monotonic()
    vanishing = Vanishing()
    get(archive, vanishing)
    vanishing.connection.close()  # the library leaves it open
    wait_until(lambda: archive.listener.connections == 0, "the association to end")
    assert time.monotonic() - begun < LIMITS.dimse_seconds


def test_dcmtk_gets_and_moves_a_study(archive, tmp_path, port):
    stored = fill(archive, tmp_path, 1, 2, 3)
    here = ("-aet", VIEWER, "-aec", AE_TITLE, "127.0.0.1", str(archive.port))
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}")
    got = tmp_path / "got"
    got.mkdir()
    shown = run("getscu", "-v", "-S", "-od", str(got), *here, *keys, folder=tmp_path)
    assert {str(dcmread(path).SOPInstanceUID) for path in got.iterdir()} == set(stored), shown
    moved = tmp_path / "moved"
    moved.mkdir()
    sink = subprocess.Popen(["storescp", "-aet", SINK, "-od", str(moved), str(port)])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        shown = run("movescu", "-v", "-S", "-aem", SINK, *here, *keys, folder=tmp_path)
    finally:
        sink.terminate()
        sink.wait(10)
    assert {str(dcmread(path).SOPInstanceUID) for path in moved.iterdir()} == set(stored), shown
