"""Other programs over TLS, as callers and called: DCMTK and Orthanc."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as GET

from node.deliver.dicom_sender import DicomSender
from node.dimse.admission import Admission
from node.dimse.fetching import associate_to_fetch
from node.dimse.scu import Remote, echo
from node.domain.errors import DestinationUnavailable, DestinationUntrusted
from node.domain.network import DicomDestination, Peer, Proof, Right, TlsCall
from tests.certificates import Signed
from tests.free_ports import free_port
from tests.journey.orthanc import Orthanc
from tests.station.processes_ground import Ground, receiving_in_processes
from tests.station.proof_ground import TRANSACTION, make_objects
from tests.station.receiving_node import (
    AE_TITLE,
    SCANNER,
    TIMEOUTS,
    Receiving,
    send_files,
    wait_until,
    write_instance,
)
from tests.station.tls_ground import Certificates, program, receiving_over_tls

pytestmark = pytest.mark.long

EVERYTHING = ["store", "echo", "query", "retrieve"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@contextmanager
def node_in_processes(root: Path, made: Certificates, sink: int) -> Iterator[Ground]:
    tls = made.call(made.node)
    sections = {
        "tls": {
            "port": 0,
            "certificate": made.node.certificate,
            "key": made.node.key,
            "ca_file": tls.ca_file,
        },
        "peers": [
            {
                "ae_title": SCANNER,
                "addresses": ["127.0.0.1"],
                "rights": EVERYTHING,
                "certificates": ["dns:ct1.example"],
            }
        ],
        "move_destinations": [
            {
                "ae_title": "SINK",
                "host": "127.0.0.1",
                "port": sink,
                "tls": True,
                "ca_file": tls.ca_file,
                "client_certificate": tls.client_certificate,
                "client_key": tls.client_key,
            }
        ],
    }
    with receiving_in_processes(root, places=8, sections=sections) as ground:
        yield ground


def dcmtk(
    name: str, port: int, made: Certificates, own: Signed, *more: object
) -> subprocess.CompletedProcess[str]:
    tls = ["+tls", own.key, own.certificate, "+cf", made.ca_file]
    return program(name, *tls, "-aet", SCANNER, "-aec", AE_TITLE, "127.0.0.1", port, *more)


@contextmanager
def storescp(folder: Path, port: int, made: Certificates) -> Iterator[None]:
    folder.mkdir()
    tls = ["+tls", str(made.node.key), str(made.node.certificate), "+cf", str(made.ca_file)]
    command = ["storescp", *tls, "-aet", "SINK", "-od", str(folder), str(port)]
    with subprocess.Popen(command) as running:
        try:
            remote = Remote(ae_title="SINK", host="127.0.0.1", port=port, tls=made.call(made.node))
            wait_until(lambda: answers(remote), "storescp answers")
            yield
        finally:
            running.terminate()


def answers(remote: Remote) -> bool:
    try:
        echo(remote, calling_ae_title=AE_TITLE, timeouts=TIMEOUTS)
    except DestinationUntrusted:
        raise
    except DestinationUnavailable:
        return False
    return True


def test_dcmtk_stores_asks_and_fetches_over_tls(tmp_path: Path, made: Certificates) -> None:
    """Two receiving processes, four associations at once: every object is there, with its digest."""
    folders = [tmp_path / f"from{number}" for number in range(4)]
    sent = {}
    for number, folder in enumerate(folders):
        folder.mkdir()
        for index in range(50):
            path, uid = write_instance(folder / f"{index}.dcm", 100 * number + index, pixel_bytes=128 * 512)
            sent[uid] = path
    sink = free_port()
    with node_in_processes(tmp_path / "data", made, sink) as ground:
        port = ground.listener.tls_port
        assert dcmtk("echoscu", port, made, made.scanner).returncode == 0
        for refused in (made.node, made.foreign):
            assert dcmtk("echoscu", port, made, refused).returncode != 0
        assert dcmtk("echoscu", ground.port, made, made.scanner).returncode != 0, "TLS to the plain port"
        assert program("echoscu", "-aet", SCANNER, "-aec", AE_TITLE, "127.0.0.1", port).returncode != 0

        with ThreadPoolExecutor(4) as pool:
            ended = list(
                pool.map(lambda folder: dcmtk("storescu", port, made, made.scanner, "+sd", folder), folders)
            )
        assert [item.returncode for item in ended] == [0] * 4, ended
        rows = ground.rows("SELECT sop_instance_uid, object_key, sha256 FROM instances")
        assert {uid for uid, _, _ in rows} == sent.keys()
        for uid, key, sha256 in rows:
            stored = ground.store.files.path(key)
            assert hashlib.sha256(stored.read_bytes()).hexdigest() == sha256
            assert pydicom.dcmread(sent[uid]).PixelData == pydicom.dcmread(stored).PixelData

        study = pydicom.dcmread(next(iter(sent.values()))).StudyInstanceUID
        keys = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
        found = dcmtk("findscu", port, made, made.scanner, *keys, "-k", "NumberOfStudyRelatedInstances")
        assert found.returncode == 0
        assert "[200 ]" in found.stdout + found.stderr
        remote = Remote(ae_title=AE_TITLE, host="127.0.0.1", port=port, tls=made.call(made.scanner))
        with (
            storescp(tmp_path / "sink", sink, made),
            associate_to_fetch(remote, calling_ae_title=SCANNER, timeouts=TIMEOUTS, move=True) as asking,
        ):
            moved = asking.move(study_of(study), destination="SINK")
            assert (moved.success, moved.completed) == (True, 200)
        assert len(list((tmp_path / "sink").iterdir())) == 200
        got = by_pynetdicom(port, made, study)
        assert {uid: pydicom.dcmread(path).PixelData for uid, path in sent.items()} == got


def study_of(study_instance_uid: str) -> pydicom.Dataset:
    """Return the identifier of a study."""
    identifier = pydicom.Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study_instance_uid
    return identifier


def by_pynetdicom(port: int, made: Certificates, study: str) -> dict[str, bytes]:
    """Return the pixels of a study, got by C-GET as the library does it over TLS."""
    came = {}

    def take(event: evt.Event) -> int:
        came[str(event.request.AffectedSOPInstanceUID)] = event.dataset.PixelData
        return 0x0000

    context = ssl.create_default_context(cafile=made.ca_file)
    context.load_cert_chain(made.scanner.certificate, made.scanner.key)
    entity = AE(SCANNER)
    entity.add_requested_context(GET)
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate(
        "127.0.0.1",
        port,
        ae_title=AE_TITLE,
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, take)],
        tls_args=(context, "127.0.0.1"),
    )
    assert association.is_established
    *_, (last, _) = association.send_c_get(study_of(study), GET)
    assert last.Status == 0x0000
    association.release()
    return came


def test_an_object_that_is_broken_off_leaves_nothing(tmp_path: Path, made: Certificates) -> None:
    path, _ = write_instance(tmp_path / "1.dcm", 1, pixel_bytes=128 * 6000)
    with receiving_over_tls(tmp_path / "node", made.listen()) as node:
        port = node.listener.tls_port
        ended = dcmtk("storescu", port, made, made.scanner, "--abort", path)
        assert ended.returncode == 0
        wait_until(lambda: node.listener.connections == 0, "it is over")
        assert node.ends() == ["aborted"]
        assert node.instance_count() == 1, "what was acknowledged before the abort is there"
        assert node.spooled() == []


def test_storescp_takes_what_is_sent_to_it(tmp_path: Path, made: Certificates) -> None:
    path, _ = write_instance(tmp_path / "1.dcm", 1, pixel_bytes=128 * 6000)
    port = free_port()
    remote = Remote(ae_title="SINK", host="127.0.0.1", port=port, tls=made.call(made.node))
    with storescp(tmp_path / "sink", port, made):
        assert send_files(remote, path)[0].delivered
        for wrong in (made.call(made.foreign), made.call(made.node, ca_file=made.foreign.certificate)):
            with pytest.raises(DestinationUntrusted):
                echo(replace(remote, tls=wrong), calling_ae_title=AE_TITLE, timeouts=TIMEOUTS)
    (came,) = (tmp_path / "sink").iterdir()
    assert pydicom.dcmread(came).PixelData == pydicom.dcmread(path).PixelData


def test_orthanc_calls_and_is_called_over_tls(tmp_path: Path, made: Certificates) -> None:
    listen = made.listen()
    gate_tls = made.call(made.node)
    with receiving_over_tls(tmp_path / "node", listen, _gate()) as node:
        orthanc = Orthanc(
            tmp_path / "orthanc",
            node_port=0,
            node_ae_title=AE_TITLE,
            more={
                "DicomTlsEnabled": True,
                "DicomTlsCertificate": str(made.scanner.certificate),
                "DicomTlsPrivateKey": str(made.scanner.key),
                "DicomTlsTrustedCertificates": str(made.ca_file),
                "DicomAlwaysAllowFind": True,
                "DicomModalities": {
                    "node": {
                        "AET": AE_TITLE,
                        "Host": "127.0.0.1",
                        "Port": node.listener.tls_port,
                        "UseDicomTls": True,
                    }
                },
            },
        )
        try:
            both_ways(node, orthanc, gate_tls, tmp_path)
        finally:
            orthanc.stop()


def both_ways(node: Receiving, orthanc: Orthanc, tls: TlsCall, folder: Path) -> None:
    remote = Remote(ae_title="PACS", host="127.0.0.1", port=orthanc.dicom_port, tls=tls)
    destination = DicomDestination(
        name="pacs",
        ae_title="PACS",
        host="127.0.0.1",
        port=orthanc.dicom_port,
        accept_demonstration=True,
        proof=Proof.FIND,
        tls=tls,
    )
    objects = make_objects(folder / "objects", 3)
    sender = DicomSender(destination, calling_ae_title=AE_TITLE, timeouts=TIMEOUTS)
    assert all(reply.delivered for reply in sender.send(objects, may_leave=lambda _: True))
    proofs = sender.prove(objects, transaction_uid=TRANSACTION, asked=0)
    assert [reply.standing.value for reply in proofs] == ["proven"] * 3
    with associate_to_fetch(remote, calling_ae_title=AE_TITLE, timeouts=TIMEOUTS) as asking:
        identifier = study_of(objects[0].study_instance_uid)
        assert len(asking.find(identifier, limit=5, go_on=lambda: None)) == 1
    with pytest.raises(DestinationUntrusted):
        echo(
            replace(remote, tls=replace(tls, client_certificate=None, client_key=None)),
            calling_ae_title=AE_TITLE,
            timeouts=TIMEOUTS,
        )

    instances = orthanc.instances(objects[0].study_instance_uid)
    assert orthanc.post("/modalities/node/store", instances)["FailedInstancesCount"] == 0
    assert node.instance_count() == 3


def _gate() -> Admission:
    rights = frozenset({Right.STORE, Right.ECHO})
    names = frozenset({"cn:scanner"})
    return Admission(
        AE_TITLE, [Peer(ae_title="PACS", addresses=("127.0.0.1",), rights=rights, certificates=names)]
    )
